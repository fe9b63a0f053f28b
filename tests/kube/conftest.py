"""A loopback server that records requests and answers as a test tells it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from aiohttp import web

from proa.app.testing import no_blocking
from proa.kube import Client, Config

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    with no_blocking("proa.kube"):
        yield


class FakeServer:
    """Answers every request with `handler`; what it got is in `requests` and `bodies`."""

    def __init__(self) -> None:
        self.handler: Handler | None = None
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        assert self.handler
        return await self.handler(request)

    def answer(self, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(body=body, status=status, headers=headers, content_type="application/json")

        self.handler = handler

    @property
    def last(self) -> tuple[str, str, dict[str, str], bytes]:
        """Method, path, query and body of the last request."""
        request = self.requests[-1]
        return request.method, request.path, dict(request.query), self.bodies[-1]


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def client(server: FakeServer) -> AsyncIterator[Client]:
    async with Client(Config(server=server.url, token="secret-token")) as opened:
        yield opened
