"""`proa apply -f FILE`: objects of any kinds to a cluster, in the order in which they need each other."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from proa.app import App, run
from proa.cli._kube import add_target, target
from proa.kube import manifests
from proa.kube.applying import apply
from proa.kube.models import DynamicObject


def main(arguments: Sequence[str]) -> int:
    """Apply manifests on the server and print what became of each object."""
    parser = argparse.ArgumentParser(
        prog="proa apply", description="Apply manifests with server-side apply, in order of dependency."
    )
    add_files(parser)
    parser.add_argument(
        "--prune", metavar="SELECTOR", help="then delete what has these labels and is in no file"
    )
    parser.add_argument("--force-conflicts", action="store_true", help="take over fields of other managers")
    parser.add_argument("--field-manager", default="proa", help="whose the fields are from now on")
    parser.add_argument("--dry-run", action="store_true", help="go through all of it, but store nothing")
    add_target(parser)
    words = parser.parse_args(arguments)

    async def body(app: App) -> None:
        del app
        objects = await asyncio.to_thread(read_files, words.files)
        async with target(words) as found:
            outcomes = apply(
                found.client,
                objects,
                namespace=found.namespace,
                manager=words.field_manager,
                force=words.force_conflicts,
                dry_run=words.dry_run,
                prune=words.prune,
            )
            async for outcome in outcomes:
                sys.stdout.write(f"{outcome}{' (dry run)' if words.dry_run else ''}\n")

    return run(body)


def add_files(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the option that names manifests."""
    parser.add_argument(
        "-f",
        "--filename",
        dest="files",
        metavar="FILE",
        action="append",
        default=[],
        required=required,
        help="a file, a directory, or - for standard input; may be given many times",
    )


def read_files(files: Sequence[str]) -> list[DynamicObject]:
    """Read all manifests that the option names."""
    found = []
    for file in files:
        text = file == "-"
        found += manifests.parse(sys.stdin.read(), "standard input") if text else manifests.read(Path(file))
    return found
