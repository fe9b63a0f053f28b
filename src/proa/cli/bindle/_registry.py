"""`push-oci`, `pull-oci`: bindles in OCI registries."""

import argparse
import asyncio
from pathlib import Path

from proa.app import App
from proa.bindle.invoice import Id
from proa.bindle.oci import pull_bindle, push_bindle
from proa.bindle.standalone import write_standalone
from proa.bindle.transfer import fetch, push
from proa.cli.bindle._options import open_cache, open_client
from proa.cli.bindle._output import progress, tell
from proa.oci import BlobStore, Reference, RegistryClient

__all__ = ("pull_oci", "push_oci")


async def push_oci(_app: App, chosen: argparse.Namespace) -> None:
    """Copy a bindle from the server to a registry."""
    reference = Reference.parse(chosen.reference)
    async with open_client(chosen) as client, open_cache(chosen) as cache, RegistryClient() as registry:
        invoice = await cache.invoice(client, Id.parse(chosen.id))
        with progress(chosen.id, sum(label.size for label in invoice.labels)) as moved:
            paths = await fetch(client, cache, invoice, invoice.labels, moved)
        digest = await push_bindle(registry, reference, invoice, lambda label: paths[label.sha256])
    tell(f"{reference}@{digest}" if reference.digest is None else str(reference))


async def pull_oci(_app: App, chosen: argparse.Namespace) -> None:
    """Copy a bindle from a registry to the server, or into a standalone directory."""
    reference = Reference.parse(chosen.reference)
    store = BlobStore(Path(chosen.bindle_dir) / "oci")
    async with RegistryClient() as registry:
        pulled = await pull_bindle(registry, reference, store)
    if chosen.export is not None:
        written = await asyncio.to_thread(write_standalone, chosen.export, pulled.invoice, pulled.path)
        tell(str(written.directory))
        return
    async with open_client(chosen) as client:
        pushed = await push(client, pulled.invoice, pulled.path)
    tell(f"{pulled.invoice.id}: {len(pushed.uploaded)} parcels uploaded")
