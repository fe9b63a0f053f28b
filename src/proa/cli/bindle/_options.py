"""Flags that sub-commands share, with the reference's environment variables, and what is made of them."""

import argparse
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from proa.app import ProaError, Secret
from proa.bindle.keys import Keyring, SecretKeys
from proa.bindle.signing import Strategy

if TYPE_CHECKING:
    import aiohttp

    from proa.bindle.cache import Cache
    from proa.bindle.client import BindleClient, Credentials

__all__ = ("add_shared", "default_config", "keyring", "open_cache", "open_client", "secret_keys")


class UsageError(ProaError):
    """Flags that do not go together."""

    exit_code = 2


def default_config() -> Path:
    """Return where configuration is kept, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "bindle"


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bindle"


def _env(name: str, fallback: object) -> str:
    return os.environ.get(name) or str(fallback)


def add_shared(parser: argparse.ArgumentParser, *, defaults: bool) -> None:
    """Add the shared flags.

    Args:
        parser: the command's, or a sub-command's: flags may stand before or after its name.
        defaults: whether what was not given gets a default; true for the outer parser alone.
    """
    group = parser.add_argument_group("shared options")

    def add(*flags: str, variable: str, default: object, text: str) -> None:
        group.add_argument(
            *flags,
            default=_env(variable, default) if defaults else argparse.SUPPRESS,
            help=f"{text} [${variable}; default {default or 'none'}]".replace("%", "%%"),
        )

    config = default_config()
    add("-s", "--server", variable="BINDLE_URL", default="http://localhost:8080/v1/", text="the server")
    add("-d", "--bindle-dir", variable="BINDLE_DIRECTORY", default=_default_cache(), text="the cache")
    add("-r", "--keyring", variable="BINDLE_KEYRING", default=config / "keyring.toml", text="whom to trust")
    add("-t", "--token-file", variable="BINDLE_TOKEN_FILE", default=config / ".token", text="the login")
    add("--secrets-file", variable="BINDLE_SECRETS", default=config / "secret_keys.toml", text="own keys")
    add("--http-user", variable="BINDLE_HTTP_USER", default="", text="user name")
    add("--http-password", variable="BINDLE_HTTP_PASSWORD", default="", text="password")
    add(
        "--strategy",
        variable="BINDLE_STRATEGY",
        default="MultipleAttestationGreedy[Host]",
        text="what signatures must amount to, or `none`",
    )
    add("--cache-size", variable="BINDLE_CACHE_SIZE", default=10_000, text="the cache's bound in MB")
    group.add_argument(
        "-k",
        "--insecure",
        action="store_true",
        default=False if defaults else argparse.SUPPRESS,
        help="do not check the server's certificate",
    )


def keyring(chosen: argparse.Namespace) -> Keyring:
    """Return the keyring; it may be missing."""
    return Keyring.load(Path(chosen.keyring), missing_ok=True)


def secret_keys(chosen: argparse.Namespace) -> SecretKeys:
    """Return one's own keys; they may be missing."""
    return SecretKeys.load(Path(chosen.secrets_file), missing_ok=True)


def strategy(chosen: argparse.Namespace) -> Strategy | None:
    """Return what fetched invoices must satisfy."""
    return None if chosen.strategy.lower() == "none" else Strategy.parse(chosen.strategy)


@contextlib.asynccontextmanager
async def open_client(chosen: argparse.Namespace) -> AsyncIterator["BindleClient"]:
    """Open a client of the server, with password or login where there is one."""
    import aiohttp

    from proa.bindle.client import BindleClient

    async with (
        aiohttp.ClientSession() as session,
        BindleClient(
            chosen.server, credentials=_credentials(chosen, session), ssl_context=_unchecked(chosen)
        ) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def open_cache(chosen: argparse.Namespace) -> AsyncIterator["Cache"]:
    """Open the cache, which judges what is fetched."""
    from proa.bindle.cache import Cache

    if not chosen.cache_size.isdigit():
        raise UsageError(f"--cache-size: {chosen.cache_size!r} is no number of megabytes")
    async with Cache(
        Path(chosen.bindle_dir),
        max_bytes=int(chosen.cache_size) * 1_000_000,
        strategy=strategy(chosen),
        keyring=keyring(chosen),
    ) as cache:
        yield cache


def _credentials(chosen: argparse.Namespace, session: "aiohttp.ClientSession") -> "Credentials":
    from proa.bindle.client import Basic
    from proa.bindle.login import TokenFile

    if bool(chosen.http_user) is not bool(chosen.http_password):
        raise UsageError("--http-user and --http-password are needed together")
    if chosen.http_user:
        return Basic(chosen.http_user, Secret(chosen.http_password))
    return TokenFile(Path(chosen.token_file), session)


def _unchecked(chosen: argparse.Namespace) -> ssl.SSLContext | None:
    if not chosen.insecure:
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
