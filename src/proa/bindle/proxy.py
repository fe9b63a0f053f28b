"""A server's backend that caches another server, and vouches for what it passes on."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from proa.bindle.cache import Cache
from proa.bindle.client import BindleClient
from proa.bindle.errors import NotInInvoiceError, ReadOnlyError, YankedError
from proa.bindle.invoice import Id, Invoice, Label
from proa.bindle.keys import SecretKey
from proa.bindle.signing import has_signed, sign
from proa.bindle.storage import Created, Found, StoredInvoice
from proa.bindle.storage.index import Query
from proa.bindle.storage.parcels import ParcelWriter

__all__ = ("Proxy",)

_REMEMBERED: Final = 10_000


class Proxy:
    """Passes reading on to another server, through a cache, and refuses to write.

    Invoices get a signature as `proxy` in addition; parcels are hashed before they are passed on.

    Args:
        client: the other server.
        cache: where what it answers is kept.
        key: signs as `proxy`; None: nothing is signed.
    """

    def __init__(self, client: BindleClient, cache: Cache, key: SecretKey | None = None) -> None:
        self._client = client
        self._cache = cache
        self._key = key
        self._signed: dict[Id, tuple[Invoice, StoredInvoice]] = {}

    async def get(self, bindle: Id, *, yanked: bool = False) -> StoredInvoice:
        """Return an invoice, signed by this proxy."""
        invoice = await self._cache.invoice(self._client, bindle, yanked=True)
        if invoice.yanked and not yanked:
            raise YankedError(f"{bindle} was yanked")
        original, stored = self._signed.get(bindle, (None, None))
        if stored is None or original != invoice:
            stored = self._sign(invoice)
            if len(self._signed) >= _REMEMBERED:
                self._signed.clear()
            self._signed[bindle] = invoice, stored
        return stored

    def _sign(self, invoice: Invoice) -> StoredInvoice:
        signed = invoice
        if self._key is not None and not has_signed(invoice, self._key.public().key):
            signed = sign(invoice, self._key, "proxy", int(time.time()))
        return StoredInvoice(signed)

    async def label(self, bindle: Id, sha256: str) -> Label:
        """Return what an invoice says about a parcel."""
        label = (await self.get(bindle)).invoice.label(sha256)
        if label is None:
            raise NotInInvoiceError(f"{bindle} has no parcel {sha256[:140]}")
        return label

    async def parcel(self, bindle: Id, label: Label) -> Path:
        """Return a parcel's file, fetching it first where it is not here."""
        return await self._cache.parcel(self._client, bindle, label)

    async def missing(self, bindle: Id) -> list[Label]:
        """Return what the other server misses."""
        return await self._client.missing(bindle)

    async def search(self, query: Query) -> Found:
        """Return what the other server finds."""
        found = await self._client.search(query)
        return Found(found.invoices, found.total)

    async def arrived(self, sha256: str) -> int:
        """Return 0: nothing is uploaded here."""
        del sha256
        return 0

    async def create(self, invoice: Invoice, finish: Callable[[Invoice], Invoice]) -> Created:
        """Refuse."""
        raise self._read_only()

    async def yank(self, bindle: Id, yank: Callable[[Invoice], Invoice]) -> None:
        """Refuse."""
        raise self._read_only()

    def receiving(self, label: Label, offset: int = 0) -> AbstractAsyncContextManager[ParcelWriter]:
        """Refuse."""
        raise self._read_only()

    def _read_only(self) -> ReadOnlyError:
        return ReadOnlyError(f"this server only mirrors another; write to {self._client.url}")
