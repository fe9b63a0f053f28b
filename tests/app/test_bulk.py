"""Large bodies: whole in both directions, on the quick way and the other, past slow and broken peers."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proa.app import bulk, http
from proa.app.bulk import FilePayload
from proa.app.loop import Loop

SIZE = 9 * 1024 * 1024 + 7


class Collected:
    """A sink in memory that gives little room at a time."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._room = bytearray(300_001)

    async def room(self) -> memoryview:
        return memoryview(self._room)

    async def filled(self, count: int) -> None:
        self.content += self._room[:count]

    async def write(self, chunk: bytes) -> None:
        self.content += chunk


@pytest.fixture(params=[Loop, asyncio.SelectorEventLoop], ids=["uvloop", "asyncio"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as each:
        yield each


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1024) * (SIZE // 1024) + b"the end")
    return path


@pytest.fixture
def content(file: Path) -> bytes:
    return file.read_bytes()


@contextlib.asynccontextmanager
async def _serving(file: Path, sink: Collected) -> AsyncIterator[str]:
    async def download(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    async def upload(request: web.Request) -> web.Response:
        async for chunk in request.content.iter_any():
            await sink.write(chunk)
        return web.Response()

    application = web.Application()
    application.router.add_get("/", download)
    application.router.add_post("/", upload)
    async with http.listen(application) as server:
        yield server.url


def test_a_file_goes_out_and_comes_in_whole(runner: asyncio.Runner, file: Path, content: bytes) -> None:
    async def exchange() -> None:
        sent: list[int] = []
        taken, got = Collected(), Collected()
        async with _serving(file, taken) as url, aiohttp.ClientSession() as session:
            for _ in range(2):
                taken.content.clear()
                async with session.post(url, data=FilePayload(file, 3, SIZE - 3, sent.append)) as response:
                    assert response.status == 200
                assert taken.content == content[3:]
            assert sum(sent) <= 2 * (SIZE - 3)
            async with session.get(url) as response:
                connection = response.connection
                transport = connection.transport if connection else None
                await bulk.receive(response.content, transport, response.content_length, got)
            assert got.content == content

    runner.run(exchange())


def test_a_reader_that_pauses_gets_everything_and_one_that_leaves_holds_nothing(
    file: Path, content: bytes
) -> None:
    async def exchange() -> None:
        async with _serving(file, Collected()) as url:
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            got = b""
            while chunk := await reader.read(200_000):
                got += chunk
                await asyncio.sleep(0)
            assert got == content
            writer.close()
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.read(1)
            writer.transport.abort()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(exchange())


def test_an_upload_that_breaks_off_keeps_what_has_arrived(
    runner: asyncio.Runner, file: Path, content: bytes
) -> None:
    async def exchange() -> None:
        sink = Collected()
        async with _serving(file, sink) as url:
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE)
            writer.write(content[: SIZE - 100])
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
        assert content.startswith(bytes(sink.content))

    runner.run(exchange())
