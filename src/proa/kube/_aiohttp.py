"""The transport of the real network, on aiohttp."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from proa.kube._credentials import Credential, credentials_of
from proa.kube._proxy import proxy_of
from proa.kube._sessions import RefusedError, Sessions, lowered, translated
from proa.kube._tls import expired, ssl_context
from proa.kube.config import Config
from proa.kube.core.request import Request
from proa.kube.core.response import Response
from proa.kube.errors import TlsError, TransportError
from proa.kube.transport import Socket, Stream, Timeouts

LARGEST_MESSAGE = 2**24
PING_EVERY = 30.0
AUTHORITY_LIFETIME = 60.0


class AiohttpTransport:
    """Keeps connections open between requests, and the credentials fresh."""

    @classmethod
    async def open(cls, config: Config, timeouts: Timeouts, user_agent: str) -> Self:
        """Load the credentials; raises ConfigError if they cannot be used."""
        self = cls(config, timeouts, user_agent)
        await self._authority_changed()
        await self._sessions_for(None)
        return self

    def __init__(self, config: Config, timeouts: Timeouts, user_agent: str) -> None:
        self._config = config
        self._timeouts = timeouts
        self._user_agent = user_agent
        self._credentials = credentials_of(config)
        self._proxy = proxy_of(config, os.environ)
        self._impersonation = config.impersonate.headers() if config.impersonate else []
        self._sessions: Sessions | None = None
        self._certificate: tuple[bytes, bytes] | None = None
        self._authority_read = -AUTHORITY_LIFETIME
        self._retired: list[Sessions] = []

    async def request(self, request: Request) -> Response:
        """See `Transport.request`."""
        response, credential = await self._request(request)
        if response.status == 401:
            if hint := expired(self._config.client_certificate_data):
                raise TlsError(f"{self._config.server} did not accept us: {hint}")
            if self._credentials.reject(credential):
                response, _ = await self._request(request)
        return response

    async def _request(self, request: Request) -> tuple[Response, Credential]:
        timeout = aiohttp.ClientTimeout(
            total=self._timeouts.total,
            sock_connect=self._timeouts.connect,
            sock_read=self._timeouts.silence,
        )
        credential = await self._credentials.get()
        arguments = self._arguments(request, credential) | {"timeout": timeout}
        with (
            (await self._sessions_for(credential.certificate)).used() as sessions,
            self._translated(request, f"no answer within {self._patience():g} s"),
        ):
            async with sessions.requests.request(**arguments) as answer:
                return Response(answer.status, lowered(answer), await answer.read()), credential
        raise AssertionError  # for mypy, which takes the context managers for ones that swallow exceptions

    def _patience(self) -> float:
        return min(self._timeouts.total, self._timeouts.silence)

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float | None) -> AsyncIterator[Stream]:
        """See `Transport.stream`."""
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeouts.connect, sock_read=silence)
        translated_ = partial(self._translated, request, f"silent for {silence} s")
        for last in (False, True):
            credential = await self._credentials.get()
            arguments = self._arguments(request, credential) | {"timeout": timeout}
            with (await self._sessions_for(credential.certificate)).used() as sessions:
                with translated_():
                    answer = await sessions.streams.request(**arguments)
                if answer.status == 401 and not last and self._credentials.reject(credential):
                    answer.close()
                    continue
                try:
                    yield _Stream(answer, translated_)
                finally:
                    answer.close()
                return

    @asynccontextmanager
    async def connect(self, request: Request, protocols: Sequence[str]) -> AsyncIterator[Socket | Response]:
        """See `Transport.connect`."""
        credential = await self._credentials.get()
        arguments = self._arguments(replace(request, accept="*/*"), credential)
        for unused in ("data", "allow_redirects", "server_hostname"):
            arguments.pop(unused)
        translated_ = partial(self._translated, request, f"no answer within {self._timeouts.connect:g} s")
        with (await self._sessions_for(credential.certificate)).used() as sessions:
            try:
                with translated_():
                    async with asyncio.timeout(self._timeouts.total):
                        opened = await sessions.sockets.ws_connect(
                            **arguments,
                            protocols=protocols,
                            heartbeat=PING_EVERY,
                            max_msg_size=LARGEST_MESSAGE,
                            server_hostname=self._server_name(),
                        )
            except RefusedError as refused:
                self._credentials.reject(credential)
                yield refused.response
                return
            try:
                yield _Socket(opened, translated_)
            finally:
                await opened.close()

    async def close(self) -> None:
        """See `Transport.close`."""
        for sessions in (*self._retired, self._sessions):
            if sessions is not None:
                await sessions.close()

    async def _sessions_for(self, certificate: tuple[bytes, bytes] | None) -> Sessions:
        """Return the connections for a client certificate; others are closed once nobody uses them."""
        if self._sessions is None or certificate != self._certificate or await self._authority_changed():
            tls = await asyncio.to_thread(self._trust, certificate)
            if self._sessions is not None:
                self._retired.append(self._sessions)
            self._sessions = Sessions(tls, self._proxy, self._user_agent)
            self._certificate = certificate
        retired, self._retired = self._retired, []
        for old in retired:
            if not await old.retire():
                self._retired.append(old)
        return self._sessions

    async def _authority_changed(self) -> bool:
        """Read the file of authorities again each minute; while it cannot be read, its last state counts."""
        path, now = self._config.ca_file, time.monotonic()
        if path is None or now < self._authority_read + AUTHORITY_LIFETIME:
            return False
        self._authority_read = now
        with suppress(OSError):
            data = await asyncio.to_thread(path.read_bytes)
            if data and data != self._config.ca_data:
                self._config = replace(self._config, ca_data=data)
                return True
        return False

    def _trust(self, certificate: tuple[bytes, bytes] | None) -> ssl.SSLContext | None:
        if not self._config.server.startswith("https:"):
            return None
        if certificate is None:
            return ssl_context(self._config)
        return ssl_context(
            replace(self._config, client_certificate_data=certificate[0], client_key_data=certificate[1])
        )

    def _arguments(self, request: Request, credential: Credential) -> dict[str, Any]:
        headers = CIMultiDict(self._impersonation)
        headers["Accept"] = request.accept
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if credential.authorization:
            headers["Authorization"] = credential.authorization
        url = URL(self._config.server + request.path, encoded=True)
        return {
            "method": request.method,
            "url": url.with_query(request.pairs()) if request.query else url,
            "data": request.body,
            "headers": headers,
            "allow_redirects": False,
            "proxy": None if self._proxy is None or self._proxy.startswith("socks") else self._proxy,
            "server_hostname": self._server_name(),
        }

    def _server_name(self) -> str | None:
        return self._config.tls_server_name if self._config.server.startswith("https:") else None

    def _translated(self, request: Request, slow: str) -> AbstractContextManager[None]:
        return translated(self._config, f"{request.method} {self._config.server}{request.path}", slow)


class _Stream:
    """An answer of aiohttp's."""

    def __init__(
        self, answer: aiohttp.ClientResponse, translated: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = lowered(answer)
        self._answer = answer
        self._translated = translated

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `Stream.chunks`."""
        with self._translated():
            async for chunk in self._answer.content.iter_any():
                yield chunk


class _Socket:
    """A WebSocket of aiohttp's."""

    def __init__(
        self,
        opened: aiohttp.ClientWebSocketResponse,
        translated: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.protocol = opened.protocol or ""
        self._opened = opened
        self._translated = translated

    async def send(self, message: bytes) -> None:
        """See `Socket.send`."""
        with self._translated():
            await self._opened.send_bytes(message)

    async def receive(self) -> bytes | None:
        """See `Socket.receive`."""
        with self._translated():
            message = await self._opened.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                return bytes(message.data)
            if message.type is aiohttp.WSMsgType.TEXT:
                return str(message.data).encode()
            if message.type is aiohttp.WSMsgType.ERROR:
                raise TransportError(f"the connection broke: {self._opened.exception() or 'bad message'}")
            if self._opened.close_code not in {None, 1000, 1005}:
                raise TransportError(f"the connection broke: closed with code {self._opened.close_code}")
            return None
        raise AssertionError  # for mypy, which takes the context manager for one that swallows exceptions
