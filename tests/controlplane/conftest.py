"""What the API server's tests share: a server of the test's own, and a session of its administrator."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proa.app import http
from proa.app.testing import no_blocking
from proa.controlplane import ApiServer
from proa.controlplane.security import Pki
from proa.controlplane.testing import api_server

TOKENS = 'admin-token,admin,1111,"system:masters"\nviewer-token,viewer,2222,""\n'


@pytest.fixture(autouse=True)
def _nothing_of_ours_blocks_the_loop() -> Iterator[None]:
    with no_blocking("proa.controlplane"):
        yield


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(TOKENS)
    async with api_server(tmp_path, token_auth_file=tokens) as running:
        yield running


@pytest.fixture
async def admin(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": "Bearer admin-token"}
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(server.url, headers=headers, connector=connector) as session:
        yield session


Json = dict[str, Any]
Answer = Callable[[Json], Awaitable[Json]]


class Webhook:
    """A webhook of the test's own: `answer` makes the response of a request; `asked` has all requests."""

    def __init__(self, url: str, port: int, bundle: str) -> None:
        self.config: Json = {"url": f"{url}/hook", "caBundle": bundle}
        self.port = port
        self.asked: list[Json] = []
        self.answer: Answer = self._allow

    async def _allow(self, _request: Json) -> Json:
        return {"allowed": True}

    async def handle(self, request: web.Request) -> web.Response:
        """Answers a review of any kind."""
        review = await request.json()
        self.asked.append(review["request"])
        response = {"uid": review["request"]["uid"], **await self.answer(review["request"])}
        return web.json_response({**review, "response": response})


Webhooks = Callable[[str], AbstractAsyncContextManager[Webhook]]


@pytest.fixture
def webhooks(tmp_path: Path) -> Webhooks:
    """Makes webhooks: TLS servers whose certificate, of an authority of their own, has a name."""

    @asynccontextmanager
    async def make(name: str) -> AsyncIterator[Webhook]:
        pki = await asyncio.to_thread(Pki, tmp_path / f"pki-{name}", [name])
        context = await asyncio.to_thread(pki.server_context)
        context.verify_mode = ssl.CERT_NONE
        running: list[Webhook] = []

        async def handle(request: web.Request) -> web.Response:
            return await running[0].handle(request)

        application = web.Application()
        application.router.add_post("/hook", handle)
        async with http.listen(application, ssl_context=context, name="webhook") as server:
            bundle = base64.b64encode(await asyncio.to_thread(lambda: pki.ca_certificate)).decode()
            running.append(Webhook(server.url, server.port, bundle))
            yield running[0]

    return make


@pytest.fixture
async def webhook(webhooks: Webhooks) -> AsyncIterator[Webhook]:
    """A webhook that allows everything until it is told otherwise."""
    async with webhooks("127.0.0.1") as running:
        yield running
