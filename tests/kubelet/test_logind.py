"""Shutdowns of the machine: heard of from logind, and held up until pods have ended."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proa.app.testing import capture_logs
from proa.kubelet import _logind
from proa.kubelet._dbus import (
    DESCRIPTORS,
    INTERFACE,
    MEMBER,
    PATH,
    REPLY_TO,
    RETURN,
    SIGNAL,
    SIGNATURE,
    Bus,
    DBusError,
    Message,
    Messages,
    Value,
    Variant,
)
from proa.kubelet._log_writer import readable

MANAGER = "org.freedesktop.login1.Manager"


class Logind:
    """A bus with nothing but logind at it, for one client."""

    def __init__(self, listener: socket.socket, granted: int) -> None:
        self._listener = listener
        self._granted = granted
        self._connection = listener
        self._serial = 0
        self.inhibitors: asyncio.Queue[int] = asyncio.Queue()
        """Read ends of pipes: at their end when the client lets go."""

    async def run(self) -> None:
        loop, messages = asyncio.get_running_loop(), Messages()
        self._connection, _ = await loop.sock_accept(self._listener)
        with self._connection:
            for answer in (b"OK 1234", b"AGREE_UNIX_FD"):
                await loop.sock_recv(self._connection, 512)
                await loop.sock_sendall(self._connection, answer + b"\r\n")
            pending = (await loop.sock_recv(self._connection, 4096)).removeprefix(b"BEGIN\r\n")
            while pending or (pending := await loop.sock_recv(self._connection, 4096)):
                for message in messages.feed(pending, []):
                    self._answer(message)
                pending = b""

    def _answer(self, message: Message) -> None:
        header: dict[int, str | int] = {REPLY_TO: message.serial}
        match message.header[MEMBER]:
            case "Hello":
                self._send(RETURN, header | {SIGNATURE: "s"}, ":1.1")
            case "Get":
                self._send(RETURN, header | {SIGNATURE: "v"}, Variant("t", self._granted))
            case "Inhibit":
                assert message.body[0::3] == ("shutdown", "delay")
                read_end, write_end = os.pipe()
                os.set_blocking(read_end, False)
                self._send(RETURN, header | {SIGNATURE: "h", DESCRIPTORS: 1}, 0, descriptors=[write_end])
                os.close(write_end)
                self.inhibitors.put_nowait(read_end)
            case _:
                self._send(RETURN, header)

    def announce(self, *, going_down: bool) -> None:
        header: dict[int, str | int] = {PATH: "/", INTERFACE: MANAGER, MEMBER: "PrepareForShutdown"}
        self._send(SIGNAL, header | {SIGNATURE: "b"}, int(going_down))

    def _send(
        self, kind: int, header: dict[int, str | int], *body: Value, descriptors: list[int] | None = None
    ) -> None:
        self._serial += 1
        content = Message(kind, self._serial, header, body).encoded()
        socket.send_fds(self._connection, [content], descriptors or [])


@contextlib.asynccontextmanager
async def logind(directory: Path, granted: int = 10_000_000) -> AsyncIterator[tuple[Path, Logind]]:
    """A bus that one client can connect to."""
    address = directory / "bus"
    with socket.socket(socket.AF_UNIX) as listener:
        await asyncio.to_thread(listener.bind, str(address))
        listener.listen()
        listener.setblocking(False)
        service = Logind(listener, granted)
        serving = asyncio.create_task(service.run())
        try:
            yield address, service
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)


class Node:
    """Notes what it is asked to do, and takes its time."""

    def __init__(self) -> None:
        self.preparing, self.prepared, self.going_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def prepare(self) -> None:
        self.preparing.set()
        await self.prepared.wait()

    async def go_on(self) -> None:
        self.going_on.set()


@contextlib.asynccontextmanager
async def watched(node: Node, address: Path) -> AsyncIterator[None]:
    watching = asyncio.create_task(_logind.watch(30, node.prepare, node.go_on, address))
    try:
        async with asyncio.timeout(30):
            yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_shutdown_is_held_up_until_all_is_prepared_and_may_be_called_off(tmp_path: Path) -> None:
    node = Node()
    async with logind(tmp_path) as (address, service), watched(node, address):
        inhibitor = await service.inhibitors.get()
        service.announce(going_down=True)
        await node.preparing.wait()
        with pytest.raises(BlockingIOError):
            os.read(inhibitor, 1)  # It is still held.
        node.prepared.set()
        await readable(inhibitor)
        assert os.read(inhibitor, 1) == b""
        service.announce(going_down=False)
        await node.going_on.wait()
        again = await service.inhibitors.get()  # The next shutdown is held up as well.
        for descriptor in (inhibitor, again):
            os.close(descriptor)


async def test_a_logind_that_waits_for_too_short_a_time_is_told_of(tmp_path: Path) -> None:
    node = Node()
    with capture_logs() as told:
        async with logind(tmp_path, granted=5_000_000) as (address, service), watched(node, address):
            os.close(await service.inhibitors.get())
    (warning,) = (one for one in told if "InhibitDelayMaxSec" in one["event"])
    assert (warning["granted"], warning["wanted"]) == (5, 30)


async def test_without_a_bus_there_is_nothing_to_wait_for(tmp_path: Path) -> None:
    node = Node()
    await _logind.watch(30, node.prepare, node.go_on, tmp_path / "none")


@pytest.mark.parametrize("garbage", [b"B" + bytes(20), b"l" + bytes(20), b"l\1\0\1" + b"\xff" * 20])
def test_what_is_no_message_is_refused(garbage: bytes) -> None:
    with pytest.raises(DBusError):
        list(Messages().feed(garbage, []))


def test_messages_are_put_together_from_any_pieces() -> None:
    message = Message(SIGNAL, 7, {PATH: "/a", MEMBER: "Told", SIGNATURE: "sbv"}, ("text", 1, Variant("t", 9)))
    messages, found = Messages(), list[Message]()
    for byte in message.encoded() * 2:
        found += messages.feed(bytes([byte]), [])
    assert [one.body for one in found] == [("text", 1, 9)] * 2
    assert found[0].header == message.header


@contextlib.asynccontextmanager
async def real_bus(directory: Path) -> AsyncIterator[Path]:
    """A daemon of its own."""
    program = await asyncio.to_thread(shutil.which, "dbus-daemon")
    if program is None:
        pytest.skip("needs dbus-daemon")
    (directory / "bus.conf").write_text(
        "<busconfig><type>session</type>"
        f"<listen>unix:path={directory}/bus</listen>"
        '<policy context="default"><allow send_destination="*" eavesdrop="true"/>'
        '<allow receive_sender="*"/><allow own="*"/></policy></busconfig>'
    )
    process = await asyncio.create_subprocess_exec(
        program, f"--config-file={directory}/bus.conf", "--nofork", "--print-address",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield directory / "bus"
    finally:
        process.terminate()
        await process.wait()


async def test_a_real_bus_understands_us(tmp_path: Path) -> None:
    async with asyncio.timeout(30), real_bus(tmp_path) as address, Bus.open(address) as bus:
        await bus.match(f"type='signal',interface='{MANAGER}',member='PrepareForShutdown'")
        with pytest.raises(DBusError, match=r"org\.freedesktop\.login1"):
            await bus.call("org.freedesktop.login1", "/org/freedesktop/login1", MANAGER, "Inhibit", "a")
        async with Bus.open(address) as other:
            header: dict[int, str | int] = {PATH: "/x", INTERFACE: MANAGER, MEMBER: "PrepareForShutdown"}
            await other.send(SIGNAL, header | {SIGNATURE: "b"}, 1)
            async with contextlib.aclosing(bus.messages()) as messages:
                while (message := await anext(messages)).header.get(MEMBER) != "PrepareForShutdown":
                    pass
        assert message.body == (1,)
