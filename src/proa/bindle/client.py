"""The client: invoices and parcels of any Bindle server, nothing believed that was not checked."""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Protocol, Self, TypeVar

import aiohttp
from yarl import URL

import proa
from proa.app import Backoff, Secret, bulk
from proa.bindle._answers import check, unavailable_on_failure
from proa.bindle.errors import (
    BindleError,
    InvoiceNotFoundError,
    ParcelMismatchError,
    ParcelNotFoundError,
    ServerError,
    ServerUnavailableError,
)
from proa.bindle.invoice import INVOICE_LIMIT, Id, Invoice, Label, decode, encode
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

_ATTEMPTS: Final = 5
_BLOCK: Final = 1024 * 1024
_PAGE_LIMIT: Final = 64 * 1024 * 1024
_DOCUMENT_DEADLINE: Final = 60.0
_TOML: Final = {"Accept": CONTENT_TYPES["toml"]}

T = TypeVar("T")
Progress = Callable[[int], None]
"""Told the bytes that were transferred since the last call; negative where a transfer begins again."""


class Credentials(Protocol):
    """What a client shows a server."""

    async def header(self) -> str | None:
        """Return the `Authorization` header for the next request."""
        ...


class Basic:
    """User and password."""

    def __init__(self, user: str, password: Secret) -> None:
        self._header = aiohttp.encode_basic_auth(user, password.reveal())

    async def header(self) -> str:
        """Return the header."""
        return self._header


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
        self.url = _base(url)
        self._credentials = credentials
        self._ssl = ssl_context
        self._timeout = timeout
        self._backoff = backoff or Backoff(initial=0.2, maximum=5.0, jitter=0.5)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._ssl or True, limit=64),
            headers={"User-Agent": f"proa/{proa.__version__}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=self._timeout),
            read_bufsize=_BLOCK,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def create_invoice(self, invoice: Invoice) -> InvoiceCreated:
        """Store a new invoice; return it as the server keeps it, and what is still to be uploaded.

        Raises:
            InvoiceExistsError: there is one of this id.
            ServerError: the server does not want it; says why.
        """
        content = encode(invoice)
        headers = {**_TOML, "Content-Type": CONTENT_TYPES["toml"]}
        answer = await self._document("POST", self._path("_i"), headers=headers, body=content)
        return self._decoded(answer, InvoiceCreated)

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
        path = self._path(f"_i/{bindle}", query)
        invoice = self._decoded(await self._read(path, missing=InvoiceNotFoundError), Invoice)
        if invoice.id != bindle:
            raise ServerError(f"{self.url} answered {invoice.id} when asked for {bindle}")
        return invoice

    async def yank(self, bindle: Id, reason: str = "") -> None:
        """Mark an invoice as not to be used any more.

        Raises:
            InvoiceNotFoundError: there is none.
        """
        query = {"reason": reason} if reason else {}
        path = self._path(f"_i/{bindle}", query)
        await self._document("DELETE", path, headers=_TOML, missing=InvoiceNotFoundError)

    async def missing(self, bindle: Id) -> list[Label]:
        """Return the labels of the parcels that were not uploaded yet; raises as `get_invoice` does."""
        path = self._path(f"_r/missing/{bindle}")
        return self._decoded(await self._read(path, missing=InvoiceNotFoundError), MissingParcels).missing

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
        return self._decoded(await self._read(self._path("_q", given), limit=_PAGE_LIMIT), Matches)

    async def host_keys(self) -> Keyring:
        """Return the keys that the server signs with. Trust them only where the connection is trusted."""
        return self._decoded(await self._read(self._path("bindle-keys", {"roles": "host"})), Keyring)

    async def begin_login(self) -> DeviceAuthorization:
        """Begin a login with the server's identity provider; see `proa.bindle.login`."""
        return self._decoded(await self._read(self._path("login", {"provider": "oidc"})), DeviceAuthorization)

    async def has_parcel(self, bindle: Id, sha256: str) -> bool:
        """Whether the parcel was uploaded. The reference server says so of parcels that were not, too."""
        async with self._request("HEAD", self._path(f"_i/{bindle}@{sha256}")) as response:
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

        await self._insisting(attempt)
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

            headers = {**_TOML, "Content-Type": "application/octet-stream"}
            headers["Content-Length"] = str(label.size - offset)
            if offset:
                headers[UPLOAD_OFFSET] = str(offset)
            path = self._path(f"_i/{bindle}@{label.sha256}")
            body = bulk.FilePayload(source, offset, label.size - offset, went)
            async with self._request("POST", path, headers=headers, body=body) as response:
                await check(response, self.url, missing=InvoiceNotFoundError)
            if sent < label.size:  # the answer was here before the sender could tell of the last bytes
                went(label.size - sent)

        await self._insisting(attempt)

    async def _arrived(self, bindle: Id, sha256: str) -> int:
        async with self._request("HEAD", self._path(f"_i/{bindle}@{sha256}")) as response:
            value = response.headers.get(UPLOAD_OFFSET, "0")
            return int(value) if value.isdigit() else 0

    @contextlib.asynccontextmanager
    async def _parcel(self, bindle: Id, label: Label, offset: int) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a parcel from a byte on."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        async with self._request(
            "GET", self._path(f"_i/{bindle}@{label.sha256}"), headers=headers
        ) as response:
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

    async def _read(
        self, path: URL, *, missing: type[BindleError] | None = None, limit: int = INVOICE_LIMIT
    ) -> bytes:
        return await self._insisting(
            lambda: self._document("GET", path, headers=_TOML, missing=missing, limit=limit)
        )

    async def _document(
        self,
        method: str,
        path: URL,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        missing: type[BindleError] | None = None,
        limit: int = INVOICE_LIMIT,
    ) -> bytes:
        async def whole() -> AsyncIterator[bytes]:
            yield body or b""

        if body is not None:
            headers = {**headers, "Content-Length": str(len(body))}
        source = None if body is None else whole()
        with unavailable_on_failure(self.url):
            async with (
                asyncio.timeout(_DOCUMENT_DEADLINE),
                self._request(method, path, headers=headers, body=source) as response,
            ):
                await check(response, self.url, missing=missing)
                content = await _up_to(response, limit + 1)
        if len(content) > limit:
            raise ServerError(f"{self.url} sent a document of more than {limit} bytes")
        return content

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | bulk.FilePayload | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        given = dict(headers or {})
        if self._credentials is not None and (value := await self._credentials.header()) is not None:
            given["Authorization"] = value
        with unavailable_on_failure(self.url):
            async with self._session.request(
                method,
                path,
                headers=given,
                data=body,
                allow_redirects=method in {"GET", "HEAD"},
            ) as response:
                yield response

    async def _insisting(self, attempt: Callable[[], Awaitable[T]]) -> T:
        timer = self._backoff.start()
        while True:
            try:
                return await attempt()
            except ServerUnavailableError:
                pause = timer.next()
                if timer.attempts == _ATTEMPTS:
                    raise
                await asyncio.sleep(pause)

    def _path(self, path: str, query: Mapping[str, str] | None = None) -> URL:
        return self.url.join(URL.build(path=path, query=query or {}))

    def _decoded(self, content: bytes, kind: type[T]) -> T:
        try:
            return decode(content, "toml", kind)
        except BindleError as error:
            raise ServerError(f"{self.url} sent an answer that makes no sense: {error}") from None


def _base(url: str) -> URL:
    try:
        base = URL(url if url.endswith("/") else f"{url}/")
    except ValueError:
        base = URL()
    if base.scheme not in {"http", "https"} or not base.host:
        raise BindleError(f"{url[:200]!r} is not a server's URL: expected e.g. http://localhost:8080/v1/")
    return base


async def _up_to(response: aiohttp.ClientResponse, size: int) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) >= size:
            break
    return bytes(content)


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
