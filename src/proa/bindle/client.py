"""The client: invoices and parcels of any Bindle server, nothing believed that was not checked."""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, Self

import aiohttp

from proa.app import Backoff, bulk
from proa.bindle._answers import check
from proa.bindle._connection import TOML, Basic, Connection, Credentials
from proa.bindle.errors import (
    BindleError,
    InvoiceNotFoundError,
    ParcelMismatchError,
    ParcelNotFoundError,
    ServerError,
    ServerUnavailableError,
)
from proa.bindle.invoice import Id, Invoice, Label, encode
from proa.bindle.keys import Keyring
from proa.bindle.storage.index import Query
from proa.bindle.storage.parcels import ParcelWriter
from proa.bindle.wire import (
    CONTENT_TYPES,
    UPLOAD_OFFSET,
    DeviceAuthorization,
    InvoiceCreated,
    Matches,
    MissingParcels,
)

__all__ = ("Basic", "BindleClient", "Credentials", "Progress")

_PAGE_LIMIT: Final = 64 * 1024 * 1024

Progress = Callable[[int], None]
"""Told the bytes that were transferred since the last call; negative where a transfer begins again."""


class BindleClient:
    """Speaks to one server. An async context manager; share one widely.

    Requests that only read are repeated a few times, with growing pauses, where a server gave no usable
    answer; parcels are carried on, in both directions, from where a transfer broke. Credentials never follow
    a redirect to another host.

    Args:
        url: the base of the protocol, as `http://localhost:8080/v1/`.
        credentials: what to show the server.
        ssl_context: how to check a server's certificate; the system's authorities by default.
        timeout: seconds to wait for a connection, and then for each piece of data.
        backoff: the pauses between attempts.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | None = None,
        ssl_context: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        backoff: Backoff | None = None,
    ) -> None:
        self._timeout = timeout
        self._server = Connection(
            url, credentials, ssl_context, timeout, backoff or Backoff(initial=0.2, maximum=5.0, jitter=0.5)
        )
        self.url = self._server.url

    async def __aenter__(self) -> Self:
        await self._server.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def create_invoice(self, invoice: Invoice) -> InvoiceCreated:
        """Store a new invoice; return it as the server keeps it, and what is still to be uploaded.

        Raises:
            InvoiceExistsError: there is one of this id.
            ServerError: the server does not want it; says why.
        """
        content = encode(invoice)
        headers = {**TOML, "Content-Type": CONTENT_TYPES["toml"]}
        answer = await self._server.document("POST", "_i", headers=headers, body=content)
        return self._server.decoded(answer, InvoiceCreated)

    async def get_invoice(self, bindle: Id, *, yanked: bool = False) -> Invoice:
        """Return an invoice. Its signatures are not judged here: see `proa.bindle.signing.Strategy`.

        Args:
            bindle: which.
            yanked: return it even where it was yanked.

        Raises:
            InvoiceNotFoundError: there is none.
            YankedError: it was yanked.
        """
        query = {"yanked": "true"} if yanked else {}
        invoice = await self._server.read(Invoice, f"_i/{bindle}", query, missing=InvoiceNotFoundError)
        if invoice.id != bindle:
            raise ServerError(f"{self.url} answered {invoice.id} when asked for {bindle}")
        return invoice

    async def yank(self, bindle: Id, reason: str = "") -> None:
        """Mark an invoice as not to be used any more.

        Raises:
            InvoiceNotFoundError: there is none.
        """
        query = {"reason": reason} if reason else {}
        await self._server.document(
            "DELETE", f"_i/{bindle}", query, headers=TOML, missing=InvoiceNotFoundError
        )

    async def missing(self, bindle: Id) -> list[Label]:
        """Return the labels of the parcels that were not uploaded yet; raises as `get_invoice` does."""
        path = f"_r/missing/{bindle}"
        return (await self._server.read(MissingParcels, path, missing=InvoiceNotFoundError)).missing

    async def search(self, query: Query) -> Matches:
        """Return a page of invoices."""
        parameters = {
            "query": query.text,
            "version": query.version,
            "offset": str(query.offset),
            "limit": str(query.limit),
            "strict": str(query.strict).lower(),
            "yanked": str(query.yanked).lower(),
        }
        given = {name: value for name, value in parameters.items() if value}
        return await self._server.read(Matches, "_q", given, limit=_PAGE_LIMIT)

    async def host_keys(self) -> Keyring:
        """Return the keys that the server signs with. Trust them only where the connection is trusted."""
        return await self._server.read(Keyring, "bindle-keys", {"roles": "host"})

    async def begin_login(self) -> DeviceAuthorization:
        """Begin a login with the server's identity provider; see `proa.bindle.login`."""
        return await self._server.read(DeviceAuthorization, "login", {"provider": "oidc"})

    async def has_parcel(self, bindle: Id, sha256: str) -> bool:
        """Whether the parcel was uploaded. The reference server says so of parcels that were not, too."""
        async with self._server.request("HEAD", f"_i/{bindle}@{sha256}") as response:
            return response.status == 200

    async def get_parcel(
        self, bindle: Id, label: Label, writer: ParcelWriter, progress: Progress | None = None
    ) -> None:
        """Fetch a parcel into a writer, carrying on where the writer stands, and commit it.

        Raises:
            ParcelNotFoundError: it was not uploaded yet.
            ParcelMismatchError: what came is not what the label says; nothing is kept.
            ServerUnavailableError: no usable answer, after several attempts.
        """

        async def attempt() -> None:
            if writer.offset == label.size and writer.offset:
                return
            async with self._parcel(bindle, label, writer.offset) as response:
                await self._receive(response, writer, progress)
            if writer.offset < label.size:
                raise ServerUnavailableError(
                    f"{self.url} sent {writer.offset} of {label.size} bytes of {label.name}"
                )

        await self._server.insisting(attempt)
        await writer.commit()

    async def stream_parcel(self, bindle: Id, label: Label) -> AsyncIterator[bytes]:
        """Yield a parcel's content as it comes; it is checked at its end, when the last piece was yielded.

        Raises:
            ParcelMismatchError: what came is not what the label says. Throw away what was yielded.
        """
        digest, size = hashlib.sha256(), 0
        async with self._parcel(bindle, label, 0) as response:
            async for chunk in response.content.iter_any():
                await asyncio.to_thread(digest.update, chunk)
                size += len(chunk)
                yield chunk
        if (digest.hexdigest(), size) != (label.sha256, label.size):
            raise ParcelMismatchError(f"parcel {label.sha256} of {bindle} came damaged")

    async def push_parcel(
        self, bindle: Id, label: Label, source: Path, progress: Progress | None = None
    ) -> None:
        """Upload a parcel from a file, and after a broken transfer only what is missing of it.

        Raises:
            ParcelExistsError: it is there already.
            ParcelMismatchError: the file has not the label's size.
            ServerError: the server does not want it; says why.
            ServerUnavailableError: no usable answer, after several attempts.
        """
        await asyncio.to_thread(_check_size, source, label)
        sent = 0
        broken = False

        async def attempt() -> None:
            nonlocal sent, broken
            offset = await self._arrived(bindle, label.sha256) if broken else 0
            broken = True
            if progress:
                progress(offset - sent)
            sent = offset

            def went(count: int) -> None:
                nonlocal sent
                sent += count
                if progress:
                    progress(count)

            headers = {**TOML, "Content-Type": "application/octet-stream"}
            headers["Content-Length"] = str(label.size - offset)
            if offset:
                headers[UPLOAD_OFFSET] = str(offset)
            path = f"_i/{bindle}@{label.sha256}"
            body = bulk.FilePayload(source, offset, label.size - offset, went)
            async with self._server.request("POST", path, headers=headers, body=body) as response:
                await check(response, self.url, missing=InvoiceNotFoundError)
            if sent < label.size:  # the answer was here before the sender could tell of the last bytes
                went(label.size - sent)

        await self._server.insisting(attempt)

    async def _arrived(self, bindle: Id, sha256: str) -> int:
        async with self._server.request("HEAD", f"_i/{bindle}@{sha256}") as response:
            value = response.headers.get(UPLOAD_OFFSET, "0")
            return int(value) if value.isdigit() else 0

    @contextlib.asynccontextmanager
    async def _parcel(self, bindle: Id, label: Label, offset: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a parcel from a byte on."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        async with self._server.request("GET", f"_i/{bindle}@{label.sha256}", headers=headers) as response:
            await check(response, self.url, missing=ParcelNotFoundError)
            expected = f"bytes {offset}-"
            if response.status == 206 and not response.headers.get("Content-Range", "").startswith(expected):
                raise ServerError(f"{self.url} sent another part of a parcel than it was asked for")
            yield response

    async def _receive(
        self, response: aiohttp.ClientResponse, writer: ParcelWriter, progress: Progress | None
    ) -> None:
        if response.status == 200 and writer.offset:
            async for chunk in _without(writer.offset, response.content):
                await writer.write(chunk)
                if progress:
                    progress(len(chunk))
            return
        connection = response.connection
        await bulk.receive(
            response.content,
            connection.transport if connection is not None else None,
            None if "Content-Encoding" in response.headers else response.content_length,
            writer,
            progress=progress,
            timeout=self._timeout,
        )


def _check_size(source: Path, label: Label) -> None:
    try:
        size = source.stat().st_size
    except OSError as error:
        raise BindleError(f"can't read {source}: {error.strerror or error}") from None
    if size != label.size:
        raise ParcelMismatchError(f"{source} has {size} bytes, the label of {label.name!r} says {label.size}")


async def _without(skip: int, content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield what comes after the first `skip` bytes."""
    async for chunk in content.iter_any():
        if skip < len(chunk):
            yield chunk[skip:]
        skip = max(skip - len(chunk), 0)
