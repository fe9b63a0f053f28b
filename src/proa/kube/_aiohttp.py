"""The transport of the real network, on aiohttp."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiohttp
from yarl import URL

from proa.kube._tls import ssl_context
from proa.kube.config import Config
from proa.kube.core.request import Request
from proa.kube.core.response import Response
from proa.kube.errors import ConnectError, RequestTimeoutError, TransportError
from proa.kube.transport import Timeouts

TOKEN_LIFETIME = 60.0
CHUNK = 2**18


class AiohttpTransport:
    """Keeps connections open between requests."""

    @classmethod
    async def open(cls, config: Config, timeouts: Timeouts, user_agent: str) -> Self:
        """Load the credentials; raises ConfigError if they cannot be used."""
        tls = await asyncio.to_thread(ssl_context, config) if config.server.startswith("https:") else None
        return cls(config, timeouts, user_agent, tls)

    def __init__(
        self, config: Config, timeouts: Timeouts, user_agent: str, tls: ssl.SSLContext | None
    ) -> None:
        self._config = config
        self._timeouts = timeouts
        self._token = _Token(config)
        self._tls = tls
        # Streams last: sharing a bounded pool with them, requests would wait for ever.
        self._requests = self._session(100, user_agent)
        self._streams = self._session(0, user_agent)

    def _session(self, connections: int, user_agent: str) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections, ssl=self._tls or True, socket_factory=_kept_alive)
        return aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": user_agent},
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=CHUNK,
        )

    async def request(self, request: Request) -> Response:
        """See `Transport.request`."""
        timeout = aiohttp.ClientTimeout(total=self._timeouts.total, sock_connect=self._timeouts.connect)
        with self._translated(request, f"no answer within {self._timeouts.total:g} s"):
            async with self._requests.request(**await self._arguments(request, timeout)) as answer:
                return Response(answer.status, _lowered(answer), await answer.read())
        raise AssertionError  # for mypy, which takes the context manager for one that swallows exceptions

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float | None) -> AsyncIterator[_Stream]:
        """See `Transport.stream`."""
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeouts.connect, sock_read=silence)
        translated = partial(self._translated, request, f"silent for {silence} s")
        with translated():
            answer = await self._streams.request(**await self._arguments(request, timeout))
        try:
            yield _Stream(answer, translated)
        finally:
            answer.close()

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._requests.close()
        await self._streams.close()

    async def _arguments(self, request: Request, timeout: aiohttp.ClientTimeout) -> dict[str, Any]:
        headers = {"Accept": request.accept}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if token := await self._token.get():
            headers["Authorization"] = f"Bearer {token}"
        url = URL(self._config.server + request.path, encoded=True)
        return {
            "method": request.method,
            "url": url.with_query(dict(request.query)) if request.query else url,
            "data": request.body,
            "headers": headers,
            "timeout": timeout,
            "allow_redirects": False,
            "server_hostname": self._config.tls_server_name if self._tls else None,
        }

    @contextmanager
    def _translated(self, request: Request, slow: str) -> Iterator[None]:
        """Raise what aiohttp raises as errors of this package."""
        what = f"{request.method} {self._config.server}{request.path}"
        try:
            yield
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError, aiohttp.InvalidURL) as error:
            raise ConnectError(f"cannot connect to {self._config.server}: {_reason(error)}") from error
        except TimeoutError as error:
            raise RequestTimeoutError(f"{what}: {slow}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(f"{what}: the connection broke: {_reason(error)}") from error


class _Stream:
    """An answer of aiohttp's."""

    def __init__(
        self, answer: aiohttp.ClientResponse, translated: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.status = answer.status
        self.headers = _lowered(answer)
        self._answer = answer
        self._translated = translated

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `Stream.chunks`."""
        with self._translated():
            async for chunk in self._answer.content.iter_any():
                yield chunk


class _Token:
    """The bearer token; one from a file is read again each minute, and kept while the file cannot be read."""

    def __init__(self, config: Config) -> None:
        self._file = config.token_file
        self._token = config.token
        self._fresh_until = 0.0

    async def get(self) -> str | None:
        if self._file is not None and time.monotonic() >= self._fresh_until:
            self._fresh_until = time.monotonic() + TOKEN_LIFETIME
            self._token = await asyncio.to_thread(_read_token, self._file) or self._token
        return self._token


def _read_token(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _kept_alive(address: Any) -> socket.socket:
    """Make a socket that notices a vanished peer, for streams that may rightly be silent for hours."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


def _lowered(answer: aiohttp.ClientResponse) -> Mapping[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def _reason(error: BaseException) -> str:
    """Say in a few words why a connection failed."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        certificate = error.certificate_error
        return getattr(certificate, "verify_message", "") or str(certificate)
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or cause}"
        return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else str(cause)
    if isinstance(error, TimeoutError):
        return "no connection in time"
    return str(error) or type(error).__name__
