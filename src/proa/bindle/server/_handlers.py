"""The protocol's endpoints."""

import re
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec
from aiohttp import web

from proa.app.threads import in_thread
from proa.bindle.auth import Authenticator
from proa.bindle.errors import ParcelNotFoundError
from proa.bindle.invoice import Format, Id, Invoice, Label, encode
from proa.bindle.keys import Keyring, SecretKey, SecretKeys
from proa.bindle.server._requests import (
    BadRequestError,
    bindle_in,
    format_for,
    invoice_in,
    offset_in,
    parcel_in,
    query_in,
    switch,
)
from proa.bindle.signing import Strategy, has_signed, sign, sign_yank
from proa.bindle.storage import Created, Found, StoredInvoice
from proa.bindle.storage.index import Query
from proa.bindle.storage.parcels import ParcelWriter
from proa.bindle.wire import (
    CONTENT_TYPES,
    UPLOAD_OFFSET,
    InvoiceCreated,
    Matches,
    Message,
    MissingParcels,
)

__all__ = ("Backend", "Handlers", "Trust", "document")

_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+(?:\s*;\s*[\w.+-]+=(?:[\w.+-]+|\"[\w .+-]*\"))*", re.ASCII)
_LONGEST_REASON: Final = 1000


class Finish(Protocol):
    """What is done to a new invoice before it is stored."""

    def __call__(self, invoice: Invoice, /) -> Invoice: ...


class Backend(Protocol):
    """Where a server's bindles are; `proa.bindle.storage.Storage` says what its methods do and raise."""

    async def create(self, invoice: Invoice, finish: Finish) -> Created: ...
    async def get(self, bindle: Id, *, yanked: bool = False) -> StoredInvoice: ...
    async def yank(self, bindle: Id, yank: Finish) -> None: ...
    async def missing(self, bindle: Id) -> list[Label]: ...
    async def label(self, bindle: Id, sha256: str) -> Label: ...
    async def parcel(self, bindle: Id, label: Label) -> Path: ...
    async def arrived(self, sha256: str) -> int: ...
    def receiving(self, label: Label, offset: int = 0) -> AbstractAsyncContextManager[ParcelWriter]: ...
    async def search(self, query: Query) -> Found: ...


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Whom a server trusts, and as whom it signs.

    Attributes:
        keyring: keys that may vouch for invoices.
        strategy: what an invoice's signatures must amount to before it is stored.
        secret_keys: the server's own; the newest of each role signs, all host keys are published.
    """

    keyring: Keyring
    strategy: Strategy
    secret_keys: SecretKeys

    def accept(self, invoice: Invoice) -> Invoice:
        """Verify a new invoice and sign it as its host.

        Raises:
            KeyFileError: there is no key to sign with.
            VerificationError: it can't be trusted.
        """
        key = self.secret_keys.find("host")
        self.strategy.verify(invoice, self.keyring)
        # A bindle that comes back to a server that has signed it before is welcome.
        return (
            invoice if has_signed(invoice, key.public().key) else sign(invoice, key, "host", int(time.time()))
        )

    def host_keys(self) -> list[SecretKey]:
        """The keys that sign as host."""
        return [key for key in self.secret_keys.key if "host" in key.roles]


def document(request: web.Request, body: msgspec.Struct | bytes, status: int = 200) -> web.Response:
    """Answer with a document in the format that the client wants; bytes are in it already."""
    form: Format = format_for(request)
    content = body if isinstance(body, bytes) else encode(body, form)
    return web.Response(
        status=status, body=content, headers={"Content-Type": CONTENT_TYPES[form], "Vary": "Accept"}
    )


class Handlers:
    """Handlers of everything under `/v1`."""

    def __init__(self, backend: Backend, trust: Trust, authenticator: Authenticator) -> None:
        self._backend = backend
        self._trust = trust
        self._authenticator = authenticator

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        parcel = r"/_i/{id:[^@]+}@{sha256:.+}"
        router.add_post("/_i", self.create_invoice)
        router.add_get(parcel, self.get_parcel)
        router.add_post(parcel, self.create_parcel)
        router.add_get("/_i/{id:.+}", self.get_invoice)
        router.add_delete("/_i/{id:.+}", self.yank)
        router.add_get("/_q", self.query)
        router.add_get("/_r/missing/{id:.+}", self.missing)
        router.add_get("/login", self.login, allow_head=False)
        router.add_get("/bindle-keys", self.keys)

    async def create_invoice(self, request: web.Request) -> web.Response:
        """Store an invoice: 201 when all its parcels are here, 202 when some are missing."""
        invoice = await invoice_in(request)
        if invoice.yanked:
            raise web.HTTPUnprocessableEntity(reason="an invoice can't be created yanked")
        created = await self._backend.create(invoice, self._trust.accept)
        body = InvoiceCreated(invoice=created.invoice, missing=created.missing or None)
        return document(request, body, 202 if created.missing else 201)

    async def get_invoice(self, request: web.Request) -> web.Response:
        """Return an invoice, a yanked one only for `?yanked=true`."""
        yanked = switch(request.query.get("yanked", "false"))
        stored = await self._backend.get(bindle_in(request), yanked=yanked)
        return document(request, stored.content(format_for(request)))

    async def yank(self, request: web.Request) -> web.Response:
        """Mark an invoice as not to be used; `?reason=` says why."""
        reason = request.query.get("reason", "")
        if len(reason) > _LONGEST_REASON:
            raise BadRequestError(f"a reason has at most {_LONGEST_REASON} characters")
        await self._backend.yank(bindle_in(request), lambda invoice: self._yanked(invoice, reason))
        return document(request, Message(message="invoice yanked"))

    def _yanked(self, invoice: Invoice, reason: str) -> Invoice:
        return sign_yank(invoice, self._trust.secret_keys.find("host"), int(time.time()), reason)

    async def get_parcel(self, request: web.Request) -> web.StreamResponse:
        """Return a parcel, or a range of it."""
        bindle, sha256 = bindle_in(request), parcel_in(request)
        label = await self._backend.label(bindle, sha256)
        try:
            path = await self._backend.parcel(bindle, label)
        except ParcelNotFoundError:
            if request.method == "HEAD" and (arrived := await self._backend.arrived(sha256)):
                return web.Response(status=404, headers={UPLOAD_OFFSET: str(arrived)})
            raise
        return web.FileResponse(path, headers=_parcel_headers(label))

    async def create_parcel(self, request: web.Request) -> web.Response:
        """Store a parcel."""
        label = await self._backend.label(bindle_in(request), parcel_in(request))
        offset = offset_in(request.headers.get(UPLOAD_OFFSET, "0"))
        if request.content_length is not None and offset + request.content_length != label.size:
            raise BadRequestError(f"the parcel has {label.size} bytes, not {offset + request.content_length}")
        async with self._backend.receiving(label, offset) as writer:
            async for chunk in request.content.iter_any():
                await writer.write(chunk)
            await writer.commit()
        return document(request, Message(message="parcel created"))

    async def query(self, request: web.Request) -> web.Response:
        """Search."""
        query = query_in(request)
        page = await self._backend.search(query)
        body = Matches(
            query=query.text,
            strict=query.strict,
            offset=query.offset,
            limit=query.limit,
            total=page.total,
            more=query.offset + len(page.invoices) < page.total,
            yanked=query.yanked,
            invoices=page.invoices,
        )
        return document(request, await in_thread(encode, body, format_for(request)))

    async def missing(self, request: web.Request) -> web.Response:
        """Name the parcels that were not uploaded yet."""
        return document(request, MissingParcels(missing=await self._backend.missing(bindle_in(request))))

    async def login(self, request: web.Request) -> web.Response:
        """Begin a login with the identity provider."""
        if "provider" not in request.query:
            raise BadRequestError("parameter provider is missing")
        begun = await self._authenticator.device_authorization()
        if begun is None:
            raise BadRequestError("this server has no identity provider to log in with")
        return document(request, begun)

    async def keys(self, request: web.Request) -> web.Response:
        """Publish the keys that this server signs with as host."""
        if request.query.get("roles", "host").strip().lower() != "host":
            raise BadRequestError("this server publishes only its host keys: roles=host")
        public = [key.public() for key in self._trust.host_keys()]
        return document(
            request, Keyring.of(*(msgspec.structs.replace(key, roles=["host"]) for key in public))
        )


def _parcel_headers(label: Label) -> Mapping[str, str]:
    media_type = label.media_type if _MEDIA_TYPE.fullmatch(label.media_type) else "application/octet-stream"
    return {
        "Content-Type": media_type,
        "ETag": f'"{label.sha256}"',
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
