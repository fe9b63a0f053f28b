"""`generate-label`, `package`, `gc`: what needs no server."""

import argparse
import asyncio

from proa.app import App
from proa.bindle.invoice import Id
from proa.bindle.standalone import pack, read_standalone
from proa.bindle.storage import Storage
from proa.cli.bindle._files import label_of
from proa.cli.bindle._output import show, tell

__all__ = ("collect", "generate_label", "package")


async def generate_label(_app: App, chosen: argparse.Namespace) -> None:
    """Print a file's label."""
    show(await asyncio.to_thread(label_of, chosen.file, chosen.name, chosen.media_type), "toml")


async def package(_app: App, chosen: argparse.Namespace) -> None:
    """Check a standalone bindle and make its tarball."""
    standalone = await asyncio.to_thread(read_standalone, chosen.path, Id.parse(chosen.id).sha256)
    await asyncio.to_thread(standalone.verify)
    tell(str(await asyncio.to_thread(pack, standalone, chosen.export_dir)))


async def collect(_app: App, chosen: argparse.Namespace) -> None:
    """Delete parcels that no invoice names."""
    async with Storage(chosen.directory, kind="sqlite" if chosen.sqlite else "files") as storage:
        garbage = await storage.collect_garbage(dry_run=chosen.dry_run)
    for sha256 in garbage.parcels:
        tell(sha256)
    did = "would be" if chosen.dry_run else "were"
    tell(f"{len(garbage.parcels)} parcels of {garbage.size} bytes {did} deleted")
