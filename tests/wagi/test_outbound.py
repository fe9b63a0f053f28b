"""Modules send requests through wasi_experimental_http, to hosts that their route allows and no others."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from proa.app import http
from proa.wagi.handlers import Handler
from proa.wagi.serving import serve
from proa.wasm import CompiledModule, ModuleTerms, Outbound, Sandboxes
from proa.wasm.testing import compile_c


@pytest.fixture
async def peer() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        if request.path == "/redirect":
            raise web.HTTPFound("http://example.com/")
        text = f"{request.method}{body}{request.headers.get('X-Ours', '')}"
        return web.Response(status=201, text=text, headers={"X-Theirs": "value"})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with http.listen(application) as server:
        yield server.url


@pytest.fixture(scope="session")
def client_guest() -> Path:
    return compile_c((Path(__file__).parent / "outbound.c").read_text())


async def _run(sandboxes: Sandboxes, module: CompiledModule, query: str, *hosts: str, limit: int = 1) -> str:
    handler = Handler(route="/", module=module, outbound=Outbound(hosts=hosts, max_requests=limit))
    async with (
        serve([handler], sandboxes) as (_, server),
        ClientSession() as client,
        client.get(f"{server.url}/?{query}") as response,
    ):
        assert response.status == 200
        return await response.text()


async def _compile(sandboxes: Sandboxes, path: Path) -> CompiledModule:
    return await sandboxes.compile(path, terms=ModuleTerms(http=True))


async def test_the_whole_interface(sandboxes: Sandboxes, client_guest: Path, peer: str) -> None:
    module = await _compile(sandboxes, client_guest)
    text = await _run(sandboxes, module, f"{peer}/x", peer)
    assert text.splitlines() == [
        "req 0 201",
        "body POS",
        "body Tse",
        "body nty",
        "body es",
        "header 0 value",
        "small 4",
        "missing 5",
        "all 0",
        "found 1",
        "outside 3",
        "second 13",
        "close 0",
        "closed 1",
    ]


@pytest.mark.parametrize(
    ("path", "method", "hosts", "expected"),
    [
        ("/x", "GET", (), "req 7 0"),
        ("/x", "GET", ("http://example.com",), "req 7 0"),
        ("/x", "GET", ("http://127.0.0.1",), "req 0 201"),
        ("/x", "GET", ("http://127.0.0.1:1",), "req 7 0"),
        ("/x", "GET", ("insecure:allow-all",), "req 0 201"),
        ("/x", "BREW", ("insecure:allow-all",), "req 8 0"),
        ("/redirect", "GET", ("insecure:allow-all",), "req 0 302"),
    ],
)
async def test_only_allowed_hosts_are_reached(
    sandboxes: Sandboxes,
    client_guest: Path,
    peer: str,
    path: str,
    method: str,
    hosts: tuple[str, ...],
    expected: str,
) -> None:
    module = await _compile(sandboxes, client_guest)
    text = await _run(sandboxes, module, f"{peer}{path}&{method}", *hosts)
    assert text.splitlines()[0] == expected


@pytest.mark.parametrize(("url", "error"), [("nonsense", 10), ("http://127.0.0.1:1/", 11), ("http:///x", 10)])
async def test_what_cannot_be_reached_is_an_error_of_the_guests(
    sandboxes: Sandboxes, client_guest: Path, url: str, error: int
) -> None:
    module = await _compile(sandboxes, client_guest)
    text = await _run(sandboxes, module, f"{url}&GET", "insecure:allow-all")
    assert text.splitlines()[0] == f"req {error} 0"
