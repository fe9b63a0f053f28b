"""Whole bindles to and from a server: many parcels at a time, and only those that are missing."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proa.bindle.cache import Cache
from proa.bindle.client import BindleClient, Progress
from proa.bindle.errors import BindleError, InvoiceExistsError, ParcelExistsError
from proa.bindle.invoice import Invoice, Label

__all__ = ("PARALLEL", "Pushed", "fetch", "push")

PARALLEL: Final = 16
"""How many parcels are under way at a time."""

Source = Callable[[Label], Path]
"""Says where the content of a parcel is."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did.

    Attributes:
        invoice: as the server keeps it, its own signature included.
        created: whether the server did not have it before.
        uploaded: the labels of the parcels that went over the wire.
    """

    invoice: Invoice
    created: bool
    uploaded: list[Label]


async def push(
    client: BindleClient, invoice: Invoice, source: Source, progress: Progress | None = None
) -> Pushed:
    """Store a bindle: its invoice, if the server does not have it, and the parcels that are missing.

    Safe to repeat after any failure: what has arrived is not sent again.

    Raises:
        InvoiceExistsError: the server has another invoice of this id.
        ServerError: the server does not want it; says why.
    """
    try:
        answer = await client.create_invoice(invoice)
        stored, missing, created = answer.invoice, answer.missing or [], True
    except InvoiceExistsError:
        stored = await client.get_invoice(invoice.id)
        if stored.parcels != invoice.parcels or stored.groups != invoice.groups:
            raise InvoiceExistsError(f"{client.url} has another {invoice.id}; choose a new version") from None
        missing, created = await client.missing(invoice.id), False

    async def upload(label: Label) -> None:
        try:
            await client.push_parcel(invoice.id, label, source(label), progress)
        except ParcelExistsError:
            return  # somebody else was faster

    await together(upload(label) for label in missing)
    return Pushed(stored, created, missing)


async def fetch(
    client: BindleClient,
    cache: Cache,
    invoice: Invoice,
    labels: Iterable[Label],
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Bring parcels of a bindle into the cache and return where each is, by digest.

    Raises:
        ParcelNotFoundError: one was not uploaded yet.
        ParcelMismatchError: what came is not what its label says; nothing of it is kept.
        ServerUnavailableError: no usable answer, after several attempts.
    """
    wanted = {label.sha256: label for label in labels}
    paths: dict[str, Path] = {}

    async def bring(label: Label) -> None:
        paths[label.sha256] = await cache.parcel(client, invoice.id, label, progress)

    await together(bring(label) for label in wanted.values())
    return paths


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do several things, `PARALLEL` at a time; at the first failure cancel the others and raise it."""
    slots = asyncio.Semaphore(PARALLEL)

    async def one(job: Coroutine[Any, Any, None]) -> None:
        async with slots:
            await job

    jobs = list(work)
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(one(job))
    except BaseExceptionGroup as failures:
        known, _ = failures.split(BindleError)
        raise (known or failures).exceptions[0] from None
    finally:
        for job in jobs:
            job.close()  # those whose turn never came
