"""Where bindles are kept: invoices in files or SQLite, parcels in files, an index of names and versions.

`Storage` is all there is to use; `parcels`, `files`, `sqlite` and `index` are behind it.
"""

import asyncio
import contextlib
import fcntl
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, Self

from proa.app.files import StorageError, storage_errors
from proa.app.threads import in_thread
from proa.bindle.errors import (
    InvoiceExistsError,
    InvoiceNotFoundError,
    NotInInvoiceError,
    ParcelNotFoundError,
    QuotaExceededError,
    YankedError,
)
from proa.bindle.invoice import Id, Invoice, Label
from proa.bindle.storage._stored import StoredInvoice
from proa.bindle.storage.files import FileInvoices
from proa.bindle.storage.index import Found, Query
from proa.bindle.storage.parcels import ParcelStore, ParcelWriter
from proa.bindle.storage.sqlite import SqliteInvoices

__all__ = ("Found", "Garbage", "Quota", "Storage", "StoredInvoice")

_CACHED: Final = 10_000


class InvoiceStore(Protocol):
    """What keeps invoices. All methods block; see `FileInvoices`."""

    def open(self) -> None: ...
    def close(self) -> None: ...
    def get(self, bindle: Id) -> StoredInvoice | None: ...
    def add(self, invoice: Invoice) -> StoredInvoice: ...
    def replace(self, invoice: Invoice) -> StoredInvoice: ...
    def search(self, query: Query) -> Found: ...
    def __len__(self) -> int: ...
    def all(self) -> Iterator[Invoice]: ...
    def clear(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What may be stored; None: as much as there is room.

    Attributes:
        parcel: bytes of one parcel.
        total: bytes of all parcels together.
    """

    parcel: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Garbage:
    """Parcels that no invoice names."""

    parcels: list[str]
    size: int


class Storage:
    """Bindles in a directory. Enter it to use it.

    What a method has acknowledged survives a crash. The directory's layout is the reference implementation's
    (with `kind="sqlite"`, the parcels' is).

    Args:
        directory: where; made if need be.
        kind: how invoices are kept.
        quota: what uploads may take.
        exclusive: be the only process that uses the directory, which keeps the index right. A client's
            cache, which needs none, is not.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kind: Literal["files", "sqlite"] = "files",
        quota: Quota | None = None,
        exclusive: bool = True,
    ) -> None:
        self.directory = directory
        self.parcels = ParcelStore(directory)
        self._invoices: InvoiceStore = (
            SqliteInvoices(directory) if kind == "sqlite" else FileInvoices(directory, indexed=exclusive)
        )
        self._quota = quota or Quota()
        self._exclusive = exclusive
        self._cache: OrderedDict[Id, StoredInvoice] = OrderedDict()
        self._writing = asyncio.Lock()
        self._stored = 0
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make the directory, and bring the index up to date with what is in it.

        Raises:
            StorageError: it can't be used, or another process serves it.
        """
        async with self._stack:
            if self._exclusive:
                self._stack.callback(os.close, await in_thread(self._lock))
            await self.parcels.prepare()
            self._stack.callback(self._invoices.close)
            await in_thread(self._invoices.open)
            if self._exclusive:
                self._stored = sum((await self.parcels.sizes()).values())
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def __len__(self) -> int:
        return len(self._invoices)

    @property
    def stored_bytes(self) -> int:
        """The bytes of all parcels, those being uploaded included."""
        return self._stored

    async def create(
        self, invoice: Invoice, finish: Callable[[Invoice], Invoice] = lambda it: it
    ) -> "Created":
        """Store a new invoice and say which of its parcels are still missing.

        Args:
            invoice: what to store.
            finish: what to do to it (verify, sign) once it is known to be new.

        Raises:
            InvoiceExistsError: there is one of this id.
            StorageError: the disk refused.
        """
        async with self._writing:
            if await self._find(invoice.id) is not None:
                raise InvoiceExistsError(f"{invoice.id} exists already; invoices never change")
            finished = await in_thread(finish, invoice)
            self._remember(await in_thread(self._invoices.add, finished))
            return Created(finished, await self.parcels.missing(finished.labels))

    async def get(self, bindle: Id, *, yanked: bool = False) -> StoredInvoice:
        """Return an invoice.

        Args:
            bindle: which.
            yanked: return it even where it was yanked.

        Raises:
            InvoiceNotFoundError: there is none.
            YankedError: it was yanked.
        """
        stored = await self._find(bindle)
        if stored is None:
            raise InvoiceNotFoundError(f"there is no {bindle} here")
        if stored.invoice.yanked and not yanked:
            reason = stored.invoice.yanked_reason
            raise YankedError(f"{bindle} was yanked" + (f": {reason}" if reason else ""))
        return stored

    async def put(self, invoice: Invoice) -> StoredInvoice:
        """Store an invoice in whatever state it has elsewhere: for caches."""
        async with self._writing:
            stored = await in_thread(self._invoices.replace, invoice)
            self._remember(stored)
            return stored

    async def forget_invoices(self) -> None:
        """Remove all invoices: for caches."""
        await in_thread(self._invoices.clear)

    async def yank(self, bindle: Id, yank: Callable[[Invoice], Invoice]) -> None:
        """Mark an invoice as yanked; once it is, nothing changes any more.

        Args:
            bindle: which.
            yank: returns the yanked form of the invoice.

        Raises:
            InvoiceNotFoundError: there is none.
        """
        async with self._writing:
            stored = await self.get(bindle, yanked=True)
            if not stored.invoice.yanked:
                yanked = await in_thread(yank, stored.invoice)
                self._remember(await in_thread(self._invoices.replace, yanked))

    async def missing(self, bindle: Id) -> list[Label]:
        """Return the labels of the parcels that were not uploaded yet; raises as `get` does."""
        return await self.parcels.missing((await self.get(bindle)).invoice.labels)

    async def label(self, bindle: Id, sha256: str) -> Label:
        """Return what an invoice says about a parcel.

        Raises:
            InvoiceNotFoundError: there is no such invoice.
            YankedError: it was yanked.
            NotInInvoiceError: it names no such parcel.
        """
        label = (await self.get(bindle)).invoice.label(sha256)
        if label is None:
            raise NotInInvoiceError(f"{bindle} has no parcel {sha256[:140]}")
        return label

    async def parcel(self, bindle: Id, label: Label) -> Path:
        """Return the file that holds a parcel of a bindle.

        Raises:
            ParcelNotFoundError: it was not uploaded yet.
        """
        if await self.parcels.size(label.sha256) is None:
            raise ParcelNotFoundError(f"parcel {label.sha256} of {bindle} was not uploaded yet")
        return self.parcels.path(label.sha256)

    async def arrived(self, sha256: str) -> int:
        """Return how many bytes of an upload that broke off are here to carry on from."""
        return await self.parcels.arrived(sha256)

    @contextlib.asynccontextmanager
    async def receiving(self, label: Label, offset: int = 0) -> AsyncIterator[ParcelWriter]:
        """Write a parcel within the quota; see `ParcelStore.writer`.

        Raises:
            QuotaExceededError: there is no room for it.
        """
        self._reserve(label)
        kept = False
        try:
            async with self.parcels.writer(label, offset) as writer:
                yield writer
                kept = True
        finally:
            if not kept:
                self._stored -= label.size

    async def search(self, query: Query) -> Found:
        """Return a page of invoices."""
        return await asyncio.to_thread(self._invoices.search, query)

    async def collect_garbage(self, *, dry_run: bool = False) -> Garbage:
        """Delete the parcels that no invoice names, yanked ones included, and say which they were.

        Invoices that come meanwhile wait, so that none is told that it has a parcel which then goes.
        """
        async with self._writing:
            sizes = await self.parcels.sizes()
            named = await asyncio.to_thread(
                lambda: {label.sha256 for invoice in self._invoices.all() for label in invoice.labels}
            )
            orphans = sorted(sizes.keys() - named)
            for sha256 in [] if dry_run else orphans:
                self._stored -= await self.parcels.delete(sha256)
            await self.parcels.prepare()
            return Garbage(orphans, sum(sizes[sha256] for sha256 in orphans))

    def _reserve(self, label: Label) -> None:
        if self._quota.parcel is not None and label.size > self._quota.parcel:
            raise QuotaExceededError(
                f"parcel {label.sha256} has {label.size} bytes; {self._quota.parcel} are allowed"
            )
        if self._quota.total is not None and self._stored + label.size > self._quota.total:
            raise QuotaExceededError(
                f"no room for {label.size} bytes: {self._stored} of {self._quota.total} are taken"
            )
        self._stored += label.size

    async def _find(self, bindle: Id) -> StoredInvoice | None:
        if (stored := self._cache.get(bindle)) is not None:
            self._cache.move_to_end(bindle)
            return stored
        stored = await asyncio.to_thread(self._invoices.get, bindle)
        if stored is not None and self._exclusive:
            self._keep(stored)
        return stored

    def _remember(self, stored: StoredInvoice) -> None:
        if self._exclusive:
            self._keep(stored)

    def _keep(self, stored: StoredInvoice) -> None:
        self._cache[stored.invoice.id] = stored
        self._cache.move_to_end(stored.invoice.id)
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)

    def _lock(self) -> int:
        with storage_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.directory / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StorageError(
                f"{self.directory} is served by another process; stop it or choose another directory"
            ) from None
        return descriptor


@dataclass(frozen=True, slots=True)
class Created:
    """A new invoice as it was stored, and the labels of its parcels that were not uploaded yet."""

    invoice: Invoice
    missing: list[Label]
