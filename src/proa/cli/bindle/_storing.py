"""`push`, `push-invoice`, `push-file`, `yank`, `login`."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import aiohttp

from proa.app import App
from proa.bindle.errors import NotInInvoiceError
from proa.bindle.invoice import Id
from proa.bindle.login import TokenFile, login
from proa.bindle.standalone import Standalone, read_standalone, unpack
from proa.bindle.transfer import push
from proa.bindle.wire import DeviceAuthorization
from proa.cli.bindle._files import label_of, read_invoice
from proa.cli.bindle._options import open_client
from proa.cli.bindle._output import progress, table, tell

__all__ = ("log_in", "push_file", "push_invoice", "push_standalone", "yank")


async def push_standalone(_app: App, chosen: argparse.Namespace) -> None:
    """Store a standalone bindle: only what the server misses goes over the wire."""
    bindle = Id.parse(chosen.id)
    with tempfile.TemporaryDirectory(prefix="proa-bindle-") as scratch:
        standalone = await asyncio.to_thread(_standalone, chosen.path, bindle, Path(scratch))
        total = sum(label.size for label in standalone.invoice.labels)
        async with open_client(chosen) as client:
            with progress(str(bindle), total) as moved:
                pushed = await push(client, standalone.invoice, standalone.path, moved)
    there = "stored" if pushed.created else "was there already"
    tell(f"{bindle} {there}; {len(pushed.uploaded)} of {len(pushed.invoice.labels)} parcels uploaded")


async def push_invoice(_app: App, chosen: argparse.Namespace) -> None:
    """Store an invoice and say what is still missing."""
    invoice = await asyncio.to_thread(read_invoice, chosen.file)
    async with open_client(chosen) as client:
        created = await client.create_invoice(invoice)
    tell(f"{invoice.id} stored; {len(created.missing or [])} parcels missing")
    table(("sha256", "name", "bytes"), ((x.sha256, x.name, str(x.size)) for x in created.missing or []))


async def push_file(_app: App, chosen: argparse.Namespace) -> None:
    """Store a file as a parcel of a bindle that is there."""
    bindle = Id.parse(chosen.id)
    label = await asyncio.to_thread(label_of, chosen.file, chosen.name, chosen.media_type)
    async with open_client(chosen) as client:
        if (await client.get_invoice(bindle)).label(label.sha256) is None:
            raise NotInInvoiceError(
                f"{bindle} has no parcel {label.sha256}, which is what {chosen.file} holds"
            )
        with progress(label.name, label.size) as moved:
            await client.push_parcel(bindle, label, chosen.file, moved)
    tell(label.sha256)


async def yank(_app: App, chosen: argparse.Namespace) -> None:
    """Mark a bindle as not to be used."""
    bindle = Id.parse(chosen.id)
    async with open_client(chosen) as client:
        await client.yank(bindle, chosen.reason)
    tell(f"{bindle} yanked")


async def log_in(_app: App, chosen: argparse.Namespace) -> None:
    """Log in, and keep the token."""

    def show(begun: DeviceAuthorization) -> None:
        where = begun.verification_uri_complete or begun.verification_uri
        sys.stderr.write(f"Open {where} and enter the code {begun.user_code}\n")
        sys.stderr.flush()

    async with open_client(chosen) as client, aiohttp.ClientSession() as session:
        token = await login(client, show, session)
        await TokenFile(Path(chosen.token_file), session).save(token)
    tell(f"logged in; the token is in {chosen.token_file}")


def _standalone(path: Path, bindle: Id, scratch: Path) -> Standalone:
    tarball = path / f"{bindle.sha256}.tar.gz" if path.is_dir() else path
    if not (path / bindle.sha256).is_dir() and tarball.is_file():
        return unpack(tarball, scratch)
    return read_standalone(path, bindle.sha256)
