"""Connections at the front: what is answered there, and that nothing is lost or done twice when they move."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from proa.wagi.executors import Executors
from proa.wagi.handlers import Handler
from proa.wagi.serving import serve
from proa.wagi.testing import Site, Witness
from proa.wasm import Sandboxes

_HELLO: Final = (200, b"hello world\n")


class _Client:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, target: str = "/", more: str = "") -> None:
        """Send a request."""
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())

    async def receive(self) -> tuple[int, bytes]:
        """Return the status and the body of a response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        status = int(head.split()[1])
        if "transfer-encoding: chunked" in head:  # It took long enough to be sent on before it was over.
            return status, await self._chunks()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return status, await self.reader.readexactly(length)

    async def _chunks(self) -> bytes:
        content = b""
        while length := int(await self.reader.readline(), 16):
            content += (await self.reader.readexactly(length + 2))[:-2]
        await self.reader.readline()
        return content

    async def get(self, target: str = "/") -> tuple[int, bytes]:
        """Send a request and return the response."""
        self.send(target)
        return await self.receive()


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[_Client]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield _Client(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def _clients(site: Site, count: int) -> AsyncIterator[list[_Client]]:
    """Yield connections that have been answered at the front."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(site.url)) for _ in range(count)]
        for client in clients:
            assert await client.get() == _HELLO
        yield clients


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - other processes tell nobody
        await asyncio.sleep(0.005)


def _is_asleep(pid: int) -> bool:
    """Whether it is done with what clients have got already."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def _running(site: Site) -> int:
    return sum(route.running for route in site.gateway.statistics().routes.values())


async def test_plain_requests_are_answered_at_the_front_and_counted_like_all_others(site: Site) -> None:
    async with _clients(site, 2) as clients:
        clients[0].send("/x?environment", "X-Request-Id: mine\r\n")
        head = (await clients[0].reader.readuntil(b"\r\n\r\n")).decode()
        assert "X-Request-Id: mine\r\n" in head
        assert "Server: proa\r\n" in head
        assert await clients[1].get("/?status&404") == (404, b"body")  # Has no Content-Type: the gateway's.
        assert await clients[1].get() == _HELLO
    assert site.witness.prints == [b"Some logging\n"] * 3
    assert site.witness.answers == [("/...", status) for status in (200, 200, 200, 404, 200)]
    assert site.gateway.statistics().routes["/..."].statuses == {200: 4, 404: 1}


async def test_a_request_in_pieces_is_answered(site: Site) -> None:
    async with _clients(site, 1) as [client]:
        for piece in (b"GET / HT", b"TP/1.1\r\nHost: local", b"host\r\n\r", b"\n"):
            client.writer.write(piece)
            await asyncio.sleep(0.02)
        assert await client.receive() == _HELLO
        assert await client.get() == _HELLO


async def test_requests_that_do_not_wait_for_answers_get_them_in_order(site: Site) -> None:
    async with _clients(site, 1) as [client]:
        for number in range(20):
            client.send(f"/?arguments&{number}")
        for number in range(20):
            assert await client.receive() == (200, f"/\narguments\n{number}\n".encode())


@pytest.mark.parametrize("how", ["loop", "sleep&100"])
async def test_other_connections_are_answered_while_a_guest_hangs(site: Site, how: str) -> None:
    async with _clients(site, 6) as [hanging, *others]:
        hanging.send(f"/limited?{how}")
        for client in others:
            client.send()
        assert [await client.receive() for client in others] == [_HELLO] * 5
        assert await hanging.receive() == (504, b"")
        assert [await client.get() for client in others] == [_HELLO] * 5
    assert [failure.reason for failure in site.witness.failures] == ["deadline"]


async def test_a_program_that_hung_runs_elsewhere_until_it_has_been_quick_again(site: Site) -> None:
    async with _clients(site, 2) as [one, other]:
        assert await one.get("/limited?loop") == (504, b"")
        front = site.gateway.executors.at_the_front
        assert await other.get("/limited?loop") == (504, b"")
        assert site.gateway.executors.at_the_front == front
        assert len(site.gateway.executors.pace.slow) == 1
        while site.gateway.executors.pace.slow:
            assert await other.get() == _HELLO


async def test_what_takes_about_as_long_as_the_front_waits_is_answered_once(site: Site) -> None:
    pace = site.gateway.executors.pace
    async with _clients(site, 8) as clients:
        for microseconds in range(1000, 12_000, 500):
            clients[0].send(f"/?nap&{microseconds}")
            for client in clients[1:]:
                client.send()
            assert await clients[0].receive() == (200, b"napped\n")
            assert [await client.receive() for client in clients[1:]] == [_HELLO] * 7
            for program in pace.slow:  # So that it is tried at the front again.
                for _ in range(50):
                    pace.ran(program)
    assert len(site.witness.answers) == 8 + 22 * 8
    assert not site.witness.failures


async def test_what_a_guest_printed_before_it_hung_is_sent_and_nothing_that_others_printed(
    site: Site,
) -> None:
    async with _clients(site, 1) as [client]:
        for _ in range(3):
            assert await client.get("/limited?print&60000") == (200, b"x" * 60_000)
        client.send("/limited?stall")
        assert b"xx" not in await client.reader.readuntil(b"first\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            assert await client.reader.readuntil(b"x") is None
    assert [failure.reason for failure in site.witness.failures] == ["deadline"]


async def test_a_client_that_goes_takes_its_guest_with_it(site: Site) -> None:
    async with _client(site.url) as client:
        client.send("/?sleep&1000")
        await _until(lambda: _running(site) == 1)
    await _until(lambda: _running(site) == 0)
    async with _client(site.url) as client:
        assert await client.get() == _HELLO


async def test_a_connection_is_closed_when_its_client_wants_that(site: Site) -> None:
    for _ in range(3):
        async with _client(site.url) as client:
            client.send("/", "Connection: close\r\n")
            assert (await client.reader.read()).endswith(b"\r\n\r\nhello world\n")


async def test_a_client_that_never_reads_keeps_nobody_waiting(site: Site) -> None:
    async with _clients(site, 2) as [silent, other]:
        transport = silent.writer.transport
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()
        for number in range(250):
            silent.send("/?print&60000")
            if number % 10 == 0:
                assert await other.get() == _HELLO
        transport.resume_reading()
        for _ in range(250):
            assert await silent.receive() == (200, b"x" * 60_000)


async def test_idle_connections_outlive_the_executor_that_has_them(site: Site) -> None:
    async with _clients(site, 5) as clients:
        for _ in range(2):
            for front in site.gateway.executors.at_the_front:
                await _until(lambda pid=front: _is_asleep(pid))  # type: ignore[misc]
                os.kill(front, signal.SIGKILL)
            assert [await client.get() for client in clients] == [_HELLO] * 5


async def test_a_request_whose_guest_is_killed_fails_and_is_not_run_again(site: Site) -> None:
    async with _clients(site, 2) as [client, other]:
        client.send("/?sleep&1000")
        await _until(lambda: _running(site) == 1)
        for front in site.gateway.executors.at_the_front:
            await _until(lambda pid=front: _is_asleep(pid))  # type: ignore[misc]
        for executor in site.gateway.executors.pids:
            os.kill(executor, signal.SIGKILL)
        assert await client.receive() == (500, b"")
        assert await other.get() == _HELLO
    assert "ended by itself" in str(site.witness.failures[0])


async def test_what_a_guest_wants_of_memory_at_the_front_is_bounded(site: Site) -> None:
    async with _clients(site, 3) as [client, *others]:
        assert await client.get("/limited?allocate&40000000") == (503, b"")
        assert [await other.get() for other in others] == [_HELLO] * 2
        assert await client.get("/limited?allocate&1000000") == (200, b"allocated")


async def test_new_routes_count_at_the_front_for_every_request_that_comes_later(site: Site) -> None:
    async with _clients(site, 4) as clients:
        for number in range(10):
            handler = Handler(route="/...", module=site.module, environment={"NUMBER": str(number)})
            site.gateway.use([handler])
            for client in clients:
                client.send("/?environment")
            for client in clients:
                assert f"NUMBER={number}\n".encode() in (await client.receive())[1]


async def test_what_has_been_sent_when_the_server_ends_is_answered(sandboxes: Sandboxes, guest: Path) -> None:
    module = await sandboxes.compile(guest)
    witness = Witness()
    async with AsyncExitStack() as clients:
        async with serve([Handler(route="/...", module=module)], sandboxes, observer=witness) as (_, server):
            opened = [await clients.enter_async_context(_client(server.url)) for _ in range(20)]
            for client in opened:
                assert await client.get() == _HELLO
            for client in opened[:-2]:
                client.send()
            opened[-2].send("/?nap&50000")
        for client in opened[:-2]:
            assert await client.receive() == _HELLO
        assert await opened[-2].receive() == (200, b"napped\n")
        assert await opened[-1].reader.read() == b""
    assert len(witness.answers) == 39


async def test_without_an_executor_for_the_front_everything_is_the_gateways(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    [front] = site.gateway.executors.at_the_front
    monkeypatch.setattr(Executors, "engage", lambda *_: False)
    async with _clients(site, 3) as clients:
        await _until(lambda: _is_asleep(front))
        os.kill(front, signal.SIGKILL)
        assert [await client.get() for client in clients] == [_HELLO] * 3
        assert not site.gateway.executors.at_the_front
        monkeypatch.undo()
        while not site.gateway.executors.at_the_front:
            async with _clients(site, 1):
                pass
