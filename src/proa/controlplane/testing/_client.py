"""A client's transport that needs no opening: it opens itself in each event loop that uses it.

Tests have many loops: one for each test, or one for all, or `asyncio.run` in the middle of one. Connections
belong to a loop and must be closed in it. Loops close their asynchronous generators when they end, so one
that holds the connections is all that it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from proa.kube import Config
from proa.kube.transport import Request, Response, Socket, Stream, Timeouts, Transport

USER_AGENT = "kube-api-test"


class SelfOpening:
    """Connections to one server, for any loop; each loop's are closed when it ends.

    Closing it does nothing.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Connections] = WeakKeyDictionary()

    async def request(self, request: Request) -> Response:
        """See `Transport.request`."""
        return await (await self._opened()).request(request)

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float | None) -> AsyncIterator[Stream]:
        """See `Transport.stream`."""
        async with (await self._opened()).stream(request, silence=silence) as stream:
            yield stream

    @asynccontextmanager
    async def connect(self, request: Request, protocols: Sequence[str]) -> AsyncIterator[Socket | Response]:
        """See `Transport.connect`."""
        async with (await self._opened()).connect(request, protocols) as socket:
            yield socket

    async def close(self) -> None:
        """See `Transport.close`."""

    def renew(self) -> None:
        """Uses no connection any more that there is: the server has gone, and loops may not know it yet."""
        for connections in self._loops.values():
            connections.stale = True

    async def _opened(self) -> Transport:
        loop = asyncio.get_running_loop()
        connections = self._loops.get(loop)
        if connections is None or connections.stale:
            self._loops[loop] = _Connections(self._config)
            if connections is not None:
                await connections.close()
        return await self._loops[loop].transport()


class _Connections:
    """The connections of one loop."""

    def __init__(self, config: Config) -> None:
        self.stale = False
        self._open = _opened(config)
        self._opening = asyncio.ensure_future(_first(self._open))

    async def transport(self) -> Transport:
        return await asyncio.shield(self._opening)

    async def close(self) -> None:
        await self._opening
        await self._open.aclose()


async def _opened(config: Config) -> AsyncGenerator[Transport]:
    from proa.kube._aiohttp import AiohttpTransport

    transport = await AiohttpTransport.open(config, Timeouts(), USER_AGENT)
    try:
        yield transport
    finally:
        await transport.close()


async def _first(opened: AsyncGenerator[Transport]) -> Transport:
    return await anext(opened)
