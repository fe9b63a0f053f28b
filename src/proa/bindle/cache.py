"""What was fetched before, on disk, in bounds.

The layout is that of the reference client's cache: of a storage. Parcels never change; invoices only by being
yanked, which is why a server is asked again now and then.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from proa.app import logs
from proa.app.threads import SharedWork
from proa.bindle.client import BindleClient, Progress
from proa.bindle.errors import InvoiceNotFoundError, ParcelExistsError, ServerUnavailableError, YankedError
from proa.bindle.invoice import Id, Invoice, Label
from proa.bindle.keys import Keyring
from proa.bindle.signing import Strategy
from proa.bindle.storage import Storage

__all__ = ("Cache",)

_IN_USE: Final = 300.0

log = logs.get_logger(__name__)


class Cache:
    """Invoices and parcels on disk. An async context manager; any number of processes may share a directory.

    Args:
        directory: where; made if need be.
        max_bytes: what parcels may take together; the least recently used go first, those used in the last
        five
            minutes never. None: as much as there is room.
        max_age: seconds for which an invoice is taken from memory without asking the server.
        strategy: what signatures must amount to; None: anything goes.
        keyring: whom to trust.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int | None = None,
        max_age: float = 0.0,
        strategy: Strategy | None = None,
        keyring: Keyring | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = Storage(directory, exclusive=False)
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._strategy = strategy
        self._keyring = keyring or Keyring.of()
        self._clock = clock
        self._fresh: dict[Id, tuple[float, Invoice]] = {}
        self._fetching: SharedWork[Path] = SharedWork()

    async def __aenter__(self) -> Self:
        await self._storage.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._storage.__aexit__()

    async def invoice(self, client: BindleClient, bindle: Id, *, yanked: bool = False) -> Invoice:
        """Return an invoice that satisfies the strategy, from the server or, where that gives no answer,
        the cache.

        Args:
            client: whom to ask.
            bindle: which.
            yanked: return it even where it was yanked.

        Raises:
            InvoiceNotFoundError: there is none.
            YankedError: it was yanked.
            VerificationError: its signatures do not satisfy the strategy.
            ServerUnavailableError: no usable answer, and nothing in the cache.
        """
        until, invoice = self._fresh.get(bindle, (0.0, None))
        if invoice is None or until < self._clock():
            invoice = await self._ask(client, bindle, yanked=yanked)
            self._fresh[bindle] = self._clock() + self._max_age, invoice
        if self._strategy is not None:
            self._strategy.verify(invoice, self._keyring)
        if invoice.yanked and not yanked:
            reason = f": {invoice.yanked_reason}" if invoice.yanked_reason else ""
            raise YankedError(f"{bindle} was yanked{reason}")
        return invoice

    async def parcel(
        self, client: BindleClient, bindle: Id, label: Label, progress: Progress | None = None
    ) -> Path:
        """Return a parcel's file, fetching it where it is not here; raises as `BindleClient.get_parcel` does.

        All who ask for one parcel at a time share one transfer. The file stays for at least five minutes.
        """
        path = self._storage.parcels.path(label.sha256)
        if not await asyncio.to_thread(_touch, path):
            await self._fetching.run(label.sha256, lambda: self._fetch(client, bindle, label, progress))
            await self._evict()
        elif progress:
            progress(label.size)
        return path

    async def parcels(self) -> dict[str, float]:
        """Return the digests of all parcels here, and when each was last used, in seconds since the epoch."""
        return await asyncio.to_thread(self._used)

    async def use(self, sha256: str) -> None:
        """Note that a parcel is in use now; one that is not here is no error."""
        await asyncio.to_thread(_touch, self._storage.parcels.path(sha256))

    async def remove(self, sha256: str) -> None:
        """Remove a parcel; one that is not here is no error."""
        await self._storage.parcels.delete(sha256)

    async def clean(self) -> None:
        """Remove everything."""
        self._fresh.clear()
        for sha256 in await self._storage.parcels.sizes():
            await self._storage.parcels.delete(sha256)
        await self._storage.forget_invoices()

    async def _ask(self, client: BindleClient, bindle: Id, *, yanked: bool) -> Invoice:
        try:
            # Asked for in whatever state, so that a yank becomes known here.
            invoice = await client.get_invoice(bindle, yanked=True)
        except ServerUnavailableError as error:
            try:
                stored = await self._storage.get(bindle, yanked=yanked)
            except InvoiceNotFoundError:
                raise error from None
            log.warning("no answer: taken from the cache", bindle=str(bindle), error=str(error))
            return stored.invoice
        await self._storage.put(invoice)
        return invoice

    async def _fetch(self, client: BindleClient, bindle: Id, label: Label, progress: Progress | None) -> Path:
        offset = await self._storage.arrived(label.sha256)
        if progress and offset:
            progress(offset)
        with contextlib.suppress(ParcelExistsError):  # another process was faster
            async with self._storage.parcels.writer(label, offset) as writer:
                await client.get_parcel(bindle, label, writer, progress)
        return self._storage.parcels.path(label.sha256)

    async def _evict(self) -> None:
        if self._max_bytes is None:
            return
        for sha256 in await asyncio.to_thread(self._surplus, self._max_bytes):
            await self._storage.parcels.delete(sha256)

    def _used(self) -> dict[str, float]:
        found = {}
        for sha256, _ in self._storage.parcels.scan():
            with contextlib.suppress(FileNotFoundError):
                found[sha256] = self._storage.parcels.path(sha256).stat().st_mtime
        return found

    def _surplus(self, room: int) -> list[str]:
        """Return the least recently used parcels beyond what there is room for."""
        used = []
        for sha256, size in self._storage.parcels.scan():
            used.append((self._storage.parcels.path(sha256).stat().st_mtime, size, sha256))
        surplus = []
        total = sum(size for _, size, _ in used)
        for last, size, sha256 in sorted(used):
            if total <= room or time.time() - last < _IN_USE:
                break
            surplus.append(sha256)
            total -= size
        return surplus


def _touch(path: Path) -> bool:
    """Note that the file is in use; False where it is not there."""
    try:
        os.utime(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
