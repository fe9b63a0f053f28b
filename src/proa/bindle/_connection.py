"""Requests to a Bindle server: with credentials, patience with failures, and documents of bounded size."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar

import aiohttp
from yarl import URL

import proa
from proa.app import Backoff, Secret, bulk
from proa.bindle._answers import check, unavailable_on_failure
from proa.bindle.errors import BindleError, ServerError, ServerUnavailableError
from proa.bindle.invoice import INVOICE_LIMIT, decode
from proa.bindle.wire import CONTENT_TYPES

__all__ = ("TOML", "Basic", "Connection", "Credentials")

_ATTEMPTS: Final = 5
_BLOCK: Final = 1024 * 1024
_DOCUMENT_DEADLINE: Final = 60.0
TOML: Final = {"Accept": CONTENT_TYPES["toml"]}

T = TypeVar("T")


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


class Connection:
    """Requests to one server; `open` it first, and `close` it.

    Args:
        url: the base of the protocol.
        credentials: what to show the server.
        ssl_context: how to check its certificate; the system's authorities by default.
        timeout: seconds to wait for a connection, and then for each piece of data.
        backoff: the pauses between attempts.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None,
        ssl_context: ssl.SSLContext | None,
        timeout: float,
        backoff: Backoff,
    ) -> None:
        self.url = _base(url)
        self._credentials = credentials
        self._ssl = ssl_context
        self._timeout = timeout
        self._backoff = backoff

    async def open(self) -> None:
        """Begin; a connection is made when there is something to ask."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._ssl or True, limit=64),
            headers={"User-Agent": f"proa/{proa.__version__}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=self._timeout),
            read_bufsize=_BLOCK,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Let go of all connections."""
        await self._session.close()

    async def read(
        self,
        kind: type[T],
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        missing: type[BindleError] | None = None,
        limit: int = INVOICE_LIMIT,
    ) -> T:
        """Fetch a document, with several attempts.

        Args:
            kind: what it is decoded to.
            path: where it is, below the base.
            query: parameters.
            missing: what 404 means.
            limit: the most bytes that it may have.

        Raises:
            ServerError: it is too large, or makes no sense.
        """
        return self.decoded(
            await self.insisting(
                lambda: self.document("GET", path, query, headers=TOML, missing=missing, limit=limit)
            ),
            kind,
        )

    async def document(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        missing: type[BindleError] | None = None,
        limit: int = INVOICE_LIMIT,
    ) -> bytes:
        """Send a request, once, and return the whole answer, as yet undecoded."""

        async def whole() -> AsyncIterator[bytes]:
            yield body or b""

        if body is not None:
            headers = {**headers, "Content-Length": str(len(body))}
        source = None if body is None else whole()
        with unavailable_on_failure(self.url):
            async with (
                asyncio.timeout(_DOCUMENT_DEADLINE),
                self.request(method, path, query, headers=headers, body=source) as response,
            ):
                await check(response, self.url, missing=missing)
                content = await _up_to(response, limit + 1)
        if len(content) > limit:
            raise ServerError(f"{self.url} sent a document of more than {limit} bytes")
        return content

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | bulk.FilePayload | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, once, and have its answer, whatever its status."""
        given = dict(headers or {})
        if self._credentials is not None and (value := await self._credentials.header()) is not None:
            given["Authorization"] = value
        with unavailable_on_failure(self.url):
            async with self._session.request(
                method,
                self.url.join(URL.build(path=path, query=query or {})),
                headers=given,
                data=body,
                allow_redirects=method in {"GET", "HEAD"},
            ) as response:
                yield response

    async def insisting(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again, with growing pauses, while the server gives no usable answer."""
        timer = self._backoff.start()
        while True:
            try:
                return await attempt()
            except ServerUnavailableError:
                pause = timer.next()
                if timer.attempts == _ATTEMPTS:
                    raise
                await asyncio.sleep(pause)

    def decoded(self, content: bytes, kind: type[T]) -> T:
        """Decode a document; raises ServerError where it makes no sense."""
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
