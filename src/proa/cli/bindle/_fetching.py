"""`info`, `get`, `get-invoice`, `get-parcel`, `search`, `clean`."""

import argparse
import asyncio
import shutil
from pathlib import Path

from proa.app import App
from proa.bindle.cache import Cache
from proa.bindle.client import BindleClient
from proa.bindle.errors import BindleError, NotInInvoiceError
from proa.bindle.export import export
from proa.bindle.invoice import Id, Invoice, encode
from proa.bindle.storage.index import MOST_RESULTS, Query
from proa.bindle.transfer import fetch
from proa.cli.bindle._files import write_new
from proa.cli.bindle._options import open_cache, open_client
from proa.cli.bindle._output import progress, show, table, tell

__all__ = ("clean", "get", "get_invoice", "get_parcel", "info", "search")


async def info(_app: App, chosen: argparse.Namespace) -> None:
    """Show an invoice."""
    async with open_client(chosen) as client, open_cache(chosen) as cache:
        show(await _invoice(client, cache, chosen), chosen.format)


async def get(_app: App, chosen: argparse.Namespace) -> None:
    """Fetch a bindle into the cache, and write its parcels where the user wants them."""
    async with open_client(chosen) as client, open_cache(chosen) as cache:
        invoice = await _invoice(client, cache, chosen)
        with progress(str(invoice.id), sum(label.size for label in invoice.labels)) as moved:
            paths = await fetch(client, cache, invoice, invoice.labels, moved)
        if chosen.export is None:
            table(
                ("sha256", "name", "file"), ((x.sha256, x.name, str(paths[x.sha256])) for x in invoice.labels)
            )
            return
        pairs = [(parcel.label, paths[parcel.label.sha256]) for parcel in invoice.parcels or []]
        for path in await asyncio.to_thread(export, chosen.export, pairs):
            tell(str(path))


async def get_invoice(_app: App, chosen: argparse.Namespace) -> None:
    """Write an invoice to a file."""
    async with open_client(chosen) as client, open_cache(chosen) as cache:
        invoice = await _invoice(client, cache, chosen)
    await asyncio.to_thread(write_new, chosen.output, encode(invoice))
    tell(str(chosen.output))


async def get_parcel(_app: App, chosen: argparse.Namespace) -> None:
    """Write a parcel to a file."""
    chosen.yanked = False
    async with open_client(chosen) as client, open_cache(chosen) as cache:
        invoice = await _invoice(client, cache, chosen)
        label = invoice.label(chosen.sha256)
        if label is None:
            raise NotInInvoiceError(f"{invoice.id} has no parcel {chosen.sha256[:140]}")
        with progress(label.name, label.size) as moved:
            paths = await fetch(client, cache, invoice, [label], moved)
        await asyncio.to_thread(_copy, paths[label.sha256], chosen.output)
    tell(str(chosen.output))


async def search(_app: App, chosen: argparse.Namespace) -> None:
    """Find bindles."""
    if not (1 <= chosen.limit <= MOST_RESULTS and chosen.offset >= 0):
        raise BindleError(f"--limit must lie between 1 and {MOST_RESULTS}, --offset not below 0")
    query = Query(
        text=chosen.query,
        version=chosen.bindle_version,
        strict=chosen.strict == "true",
        yanked=chosen.yanked == "true",
        offset=chosen.offset,
        limit=chosen.limit,
    )
    async with open_client(chosen) as client:
        matches = await client.search(query)
    if chosen.format != "table":
        show(matches, chosen.format)
        return
    rows = (
        (
            each.bindle.name,
            each.bindle.version,
            "yanked" if each.yanked else "",
            each.bindle.description or "",
        )
        for each in matches.invoices
    )
    table(("name", "version", "", "description"), rows)


async def clean(_app: App, chosen: argparse.Namespace) -> None:
    """Empty the cache."""
    async with open_cache(chosen) as cache:
        await cache.clean()


async def _invoice(client: BindleClient, cache: Cache, chosen: argparse.Namespace) -> Invoice:
    return await cache.invoice(client, Id.parse(chosen.id), yanked=chosen.yanked)


def _copy(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as content, target.open("xb") as copy:
            shutil.copyfileobj(content, copy, 1024 * 1024)
    except FileExistsError:
        raise BindleError(f"{target} exists already; nothing is overwritten") from None
    except OSError as error:
        raise BindleError(f"can't write {target}: {error.strerror or error}") from None
