"""`proa delete -f FILE`, `proa delete RESOURCE NAME`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from proa.app import App, run
from proa.cli._apply import add_files, read_files
from proa.cli._kube import add_target, target
from proa.kube.applying import delete
from proa.kube.discovery import discover
from proa.kube.models import DynamicObject
from proa.kube.models.meta_v1 import ObjectMeta


def main(arguments: Sequence[str]) -> int:
    """Delete objects and print what became of each; returns 1 if one of those named was not there."""
    parser = argparse.ArgumentParser(prog="proa delete", description="Delete objects of a cluster.")
    parser.add_argument("resource", metavar="RESOURCE", nargs="?", help="pods, po, Pod, ...")
    parser.add_argument("names", metavar="NAME", nargs="*")
    add_files(parser, required=False)
    parser.add_argument("--grace-period", type=int, metavar="SECONDS", help="until pods are killed")
    parser.add_argument("--dry-run", action="store_true", help="check all, delete nothing")
    add_target(parser)
    words = parser.parse_args(arguments)
    if bool(words.files) == bool(words.resource) or bool(words.resource) != bool(words.names):
        parser.error("say what to delete: -f FILE, or RESOURCE NAME")

    async def body(app: App) -> int:
        del app
        missing = False
        async with target(words) as found:
            objects = await asyncio.to_thread(read_files, words.files)
            if words.resource:
                resource = (await discover(found.client)).resolve(words.resource)
                objects = [
                    DynamicObject(
                        api_version=resource.api_version, kind=resource.kind, metadata=ObjectMeta(name=name)
                    )
                    for name in words.names
                ]
            async for outcome in delete(
                found.client,
                objects,
                namespace=found.namespace,
                grace_period=words.grace_period,
                dry_run=words.dry_run,
            ):
                missing = missing or outcome.action == "absent"
                sys.stdout.write(f"{outcome}{' (dry run)' if words.dry_run else ''}\n")
        return int(missing and bool(words.resource))

    return run(body)
