"""The command line: which sub-commands there are, and their flags."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from proa.cli.bindle._options import add_shared

if TYPE_CHECKING:
    Parsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no other name

__all__ = ("make_parser",)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of `proa bindle`; what it parses has `run`: MODULE.FUNCTION, loaded when run."""
    parser = argparse.ArgumentParser(
        prog="proa bindle",
        description="Signed aggregate object storage. `proa bindle serve` starts a server.",
        allow_abbrev=False,
    )
    add_shared(parser, defaults=True)
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_fetching(commands)
    _add_storing(commands)
    _add_local(commands)
    _add_signing(commands)
    _add_registry(commands)
    return parser


def _command(commands: "Parsers", name: str, run: str, summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=f"{summary.capitalize()}.", allow_abbrev=False
    )
    add_shared(parser, defaults=False)
    parser.set_defaults(run=run)
    return parser


def _format(parser: argparse.ArgumentParser, *choices: str) -> None:
    parser.add_argument("-f", "--format", choices=choices, default=choices[0], help="how it looks")


def _yanked(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yanked", action="store_true", help="take it even where it was yanked")


def _add_fetching(commands: "Parsers") -> None:
    info = _command(commands, "info", "_fetching.info", "show a bindle's invoice")
    info.add_argument("id", metavar="ID")
    _yanked(info)
    _format(info, "toml", "json")
    get = _command(commands, "get", "_fetching.get", "fetch a bindle with all its parcels")
    get.add_argument("id", metavar="ID")
    _yanked(get)
    get.add_argument("-e", "--export", type=Path, metavar="DIR", help="write parcels there, by their names")
    invoice = _command(commands, "get-invoice", "_fetching.get_invoice", "fetch a bindle's invoice")
    invoice.add_argument("id", metavar="ID")
    invoice.add_argument("-o", "--output", type=Path, default=Path("invoice.toml"))
    _yanked(invoice)
    parcel = _command(commands, "get-parcel", "_fetching.get_parcel", "fetch one parcel")
    parcel.add_argument("id", metavar="ID")
    parcel.add_argument("sha256", metavar="SHA256")
    parcel.add_argument("-o", "--output", type=Path, default=Path("parcel.dat"))
    search = _command(commands, "search", "_fetching.search", "find bindles")
    search.add_argument("-q", "--query", default="", help="words that the name must contain")
    search.add_argument("-b", "--bindle-version", default="", metavar="RANGE", help="as 1.2.3 or ^1.2")
    search.add_argument("--offset", type=int, default=0)
    search.add_argument("--limit", type=int, default=50)
    search.add_argument("--strict", choices=("true", "false"), default="false", help="mind upper case")
    search.add_argument("--yanked", choices=("true", "false"), default="false")
    _format(search, "table", "toml", "json")
    _command(commands, "clean", "_fetching.clean", "empty the cache")


def _add_storing(commands: "Parsers") -> None:
    push = _command(commands, "push", "_storing.push_standalone", "store a standalone bindle")
    push.add_argument("id", metavar="ID")
    push.add_argument("-p", "--path", type=Path, default=Path(), help="directory or .tar.gz")
    invoice = _command(commands, "push-invoice", "_storing.push_invoice", "store an invoice")
    invoice.add_argument("file", type=Path, nargs="?", default=Path("invoice.toml"), metavar="FILE")
    file = _command(commands, "push-file", "_storing.push_file", "store a file as a parcel")
    file.add_argument("id", metavar="ID")
    file.add_argument("file", type=Path, metavar="FILE")
    _label(file)
    yank = _command(commands, "yank", "_storing.yank", "mark a bindle as not to be used")
    yank.add_argument("id", metavar="ID")
    yank.add_argument("--reason", default="", help="why; everybody sees it")
    login = _command(commands, "login", "_storing.log_in", "log in with the server's identity provider")
    login.add_argument("--provider", default="oidc", help=argparse.SUPPRESS)


def _label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--name", help="the parcel's name (default: the file's)")
    parser.add_argument("-m", "--media-type", help="the parcel's type (default: by the file's name)")


def _add_local(commands: "Parsers") -> None:
    label = _command(commands, "generate-label", "_local.generate_label", "print the label of a file")
    label.add_argument("file", type=Path, metavar="FILE")
    _label(label)
    package = _command(commands, "package", "_local.package", "make the tarball of a standalone bindle")
    package.add_argument("id", metavar="ID")
    package.add_argument("-p", "--path", type=Path, default=Path(), help="where its directory is")
    package.add_argument("-e", "--export-dir", type=Path, default=Path(), help="where to write it")
    collect = _command(commands, "gc", "_local.collect", "delete parcels that no invoice of a server names")
    collect.add_argument("directory", type=Path, metavar="DIR", help="of a server that is not running")
    collect.add_argument("--sqlite", action="store_true", help="its invoices are in SQLite")
    collect.add_argument("--dry-run", action="store_true", help="only say what would be deleted")


def _add_signing(commands: "Parsers") -> None:
    sign = _command(commands, "sign-invoice", "_signing.sign_invoice", "sign an invoice")
    sign.add_argument("file", type=Path, metavar="FILE")
    sign.add_argument("-f", dest="secrets_file", default=argparse.SUPPRESS, help="same as --secrets-file")
    sign.add_argument("--role", default="creator", help="creator, approver, host or proxy")
    which = sign.add_mutually_exclusive_group()
    which.add_argument("-l", "--label", help="of the key to sign with")
    which.add_argument("-m", "--label-matching", help="part of the label of the key to sign with")
    sign.add_argument("-o", "--out", type=Path, help="default: invoice-KEY.toml")
    verify = _command(
        commands, "verify", "_signing.verify", "say who signed a bindle, and whether to trust it"
    )
    verify.add_argument("subject", metavar="ID|FILE")
    _yanked(verify)
    _format(verify, "table", "json")
    keys = commands.add_parser("keys", help="make, add, print and fetch keys", allow_abbrev=False)
    _add_keys(keys.add_subparsers(title="commands", metavar="COMMAND", required=True))


def _add_keys(commands: "Parsers") -> None:
    create = _command(commands, "create", "_signing.create_key", "make a key")
    create.add_argument("label", metavar="LABEL", help="as 'Ada <ada@example.com>'")
    create.add_argument("--roles", default="creator", help="separated by commas")
    create.add_argument("-f", dest="secrets_file", default=argparse.SUPPRESS, help="same as --secrets-file")
    create.add_argument("--skip-keyring", action="store_true", help="do not trust it oneself")
    add = _command(commands, "add", "_signing.add_key", "trust a key")
    add.add_argument("label", metavar="LABEL")
    add.add_argument("roles", metavar="ROLES", help="separated by commas")
    add.add_argument("key", metavar="KEY", help="base64")
    show = _command(commands, "print", "_signing.print_keys", "print one's public keys as a keyring")
    show.add_argument("-f", dest="secrets_file", default=argparse.SUPPRESS, help="same as --secrets-file")
    show.add_argument("-m", "--label-matching", default="", help="part of the label")
    fetch = _command(commands, "fetch", "_signing.fetch_keys", "trust a server's keys")
    where = fetch.add_mutually_exclusive_group()
    where.add_argument("--key-server", help="the server [$BINDLE_KEY_SERVER; default --server]")
    where.add_argument("--host", action="store_true", help="the keys that --server itself signs with")


def _add_registry(commands: "Parsers") -> None:
    push = _command(
        commands, "push-oci", "_registry.push_oci", "copy a bindle from the server to an OCI registry"
    )
    push.add_argument("id", metavar="ID")
    push.add_argument("reference", metavar="REF", help="as localhost:5050/hello:1.0.0")
    pull = _command(
        commands, "pull-oci", "_registry.pull_oci", "copy a bindle from an OCI registry to the server"
    )
    pull.add_argument("reference", metavar="REF")
    pull.add_argument("-e", "--export", type=Path, metavar="DIR", help="a standalone bindle there instead")
