"""Forwards one HTTP request to an endpoint of a Service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from proa.app import logs
from proa.controlplane.network._balancer import Balancer
from proa.controlplane.network._routes import Backend

log = logs.get_logger(__name__)

CONNECT_SECONDS = 5.0
REPEATABLE = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_OWN = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)


class Forwarder:
    """Sends requests on, bodies of any length in both directions as they come.

    An endpoint that cannot be connected to is passed over for another. A request that may not be repeated
    gets a connection of its own: one that was kept open may be closed at the other end just when it is used.
    """

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        for keeps in (True, False):
            connector = aiohttp.TCPConnector(limit=0, force_close=not keeps)
            self._sessions[keeps] = await self._stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    skip_auto_headers=_OWN,
                    timeout=_NO_LIMIT,
                )
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def forward(self, request: web.BaseRequest, balancer: Balancer) -> web.StreamResponse:
        """Return the endpoint's answer, or 502, 503 or 504 if there is none."""
        tried: set[Backend] = set()
        clock = asyncio.get_running_loop().time
        while (backend := balancer.pick(request.remote or "", clock(), tried)) is not None:
            tried.add(backend)
            try:
                if _wants_websocket(request):
                    return await self._tunnel(request, backend)
                return await self._exchange(request, backend)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                continue
            except TimeoutError:
                return plain(504, "the endpoint did not answer in time")
            except aiohttp.ClientError as error:
                log.debug("endpoint failed", endpoint=str(backend), error=str(error))
                return plain(502, f"the endpoint broke off the connection: {type(error).__name__}")
        if tried:
            return plain(502, "no endpoint of the Service could be connected to")
        return plain(503, "the Service has no endpoint that is ready")

    async def _exchange(self, request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
        session = self._sessions[request.method in REPEATABLE and not request.can_read_body]
        async with session.request(
            request.method,
            _url("http", backend, request),
            headers=_onward(request),
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(
                status=answer.status, reason=answer.reason, headers=_kept(answer.headers)
            )
            await response.prepare(request)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            except (aiohttp.ClientError, TimeoutError):
                # The head is out: only breaking off tells the client that the rest is missing.
                if request.transport is not None:
                    request.transport.abort()
                return response
            await response.write_eof()
            return response

    async def _tunnel(self, request: web.BaseRequest, backend: Backend) -> web.StreamResponse:
        protocols = [
            one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if one
        ]
        headers = {
            name: value
            for name, value in _onward(request).items()
            if not name.lower().startswith("sec-websocket-")
        }
        async with self._sessions[False].ws_connect(
            _url("ws", backend, request), headers=headers, protocols=protocols, max_msg_size=0
        ) as inner:
            chosen = [inner.protocol] if inner.protocol else []
            outer = web.WebSocketResponse(protocols=chosen, max_msg_size=0)
            await outer.prepare(request)
            await _both(outer, inner)
            return outer


async def _both(outer: web.WebSocketResponse, inner: aiohttp.ClientWebSocketResponse) -> None:
    """Pass messages both ways until one side closes, and then close the other as it did."""
    ways = {
        asyncio.create_task(_pass_on(outer, inner)),
        asyncio.create_task(_pass_on(inner, outer)),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pass_on(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    async for message in source:
        if message.type == aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type == aiohttp.WSMsgType.BINARY:
            await sink.send_bytes(message.data)
    await sink.close(code=source.close_code or aiohttp.WSCloseCode.GOING_AWAY)


def plain(status: int, why: str) -> web.Response:
    """Return an answer of the server's own."""
    return web.Response(status=status, text=f"{why}\n")


def _wants_websocket(request: web.BaseRequest) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _url(scheme: str, backend: Backend, request: web.BaseRequest) -> URL:
    return URL(f"{scheme}://{backend.address}:{backend.port}{request.raw_path}", encoded=True)


def _onward(request: web.BaseRequest) -> CIMultiDict[str]:
    """Return the headers to send on: the client's own, and who it is."""
    headers = _kept(request.headers)
    headers["X-Forwarded-For"] = ", ".join(
        [*request.headers.getall("X-Forwarded-For", ()), request.remote or ""]
    )
    headers["X-Forwarded-Proto"] = "https" if request.secure else "http"
    headers["X-Forwarded-Host"] = request.headers.get("Host", "")
    return headers


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Return all but the headers that are about one connection only."""
    named = {one.strip().lower() for one in headers.get("Connection", "").split(",")}
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP | named
    )
