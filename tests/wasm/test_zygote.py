"""The zygote ends when nobody needs it, and parts politely from other versions."""

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import proa
from proa.wasm import CompiledModule, Sandboxes, SandboxSpec, ZygoteLostError, _launch
from proa.wasm import _protocol as protocol
from proa.wasm._connection import Connection
from proa.wasm.testing import read_to_end


class _Zygote:
    """A zygote and a pipe that is at its end when the zygote is."""

    def __init__(self, state_dir: Path, idle_seconds: float) -> None:
        state_dir.mkdir()
        ready, ready_write = os.pipe()
        self._alive, alive_write = os.pipe()
        self.log = (state_dir / "zygote.log").open("w")
        command = [sys.executable, "-m", "proa.wasm.zygote", "--state-dir", str(state_dir)]
        command += ["--ready", str(ready_write), "--idle-seconds", str(idle_seconds)]
        subprocess.run(command, check=True, pass_fds=(ready_write, alive_write), stderr=self.log)
        os.close(ready_write)
        os.close(alive_write)
        assert os.read(ready, 5) == b"ready"
        os.close(ready)

    def wait(self) -> None:
        assert select.select([self._alive], [], [], 20)[0], "the zygote did not end"
        assert os.read(self._alive, 1) == b""

    def close(self) -> None:
        os.close(self._alive)
        self.log.close()


@contextlib.contextmanager
def _zygote(state_dir: Path, idle_seconds: float = 60) -> Iterator[_Zygote]:
    with contextlib.closing(_Zygote(state_dir, idle_seconds)) as zygote:
        yield zygote


class _Client:
    """A client that speaks the protocol by hand."""

    def __init__(self, state_dir: Path) -> None:
        self._socket = _launch.connect(state_dir)
        self._connection = Connection(self._socket)
        self.zygote = self._connection.peer()[0]

    def ask(self, message: msgspec.Struct) -> protocol.Reply | None:
        """Send a message and return the next reply; None when the connection ends instead."""
        self._connection.send(protocol.encode(message))
        return self.next_reply()

    def next_reply(self) -> protocol.Reply | None:
        assert select.select([self._connection], [], [], 20)[0], "no answer"
        with contextlib.suppress(ConnectionError):
            for payload, descriptors in self._connection.receive():
                for descriptor in descriptors:
                    os.close(descriptor)
                return protocol.decode_reply(payload)
        return None

    def send_raw(self, content: bytes) -> None:
        self._socket.sendall(content)

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def _client(state_dir: Path) -> Iterator[_Client]:
    with contextlib.closing(_Client(state_dir)) as client:
        yield client


def test_it_ends_by_itself_when_nobody_needs_it(state_dir: Path) -> None:
    with _zygote(state_dir, idle_seconds=0) as zygote:
        zygote.wait()
    assert [path.name for path in state_dir.iterdir()] == ["zygote.log"]


def test_it_stays_for_its_client_and_ends_after_it(state_dir: Path) -> None:
    with _zygote(state_dir, idle_seconds=0.5) as zygote:
        with _client(state_dir) as client:
            assert client.ask(protocol.Hello(proa.__version__)) == protocol.Welcome(proa.__version__)
        zygote.wait()


def test_sigterm_ends_it_in_order(state_dir: Path) -> None:
    with _zygote(state_dir) as zygote:
        with _client(state_dir) as client:
            os.kill(client.zygote, signal.SIGTERM)
            assert client.next_reply() is None
        zygote.wait()
    assert [path.name for path in state_dir.iterdir()] == ["zygote.log"]


def test_without_sandboxes_it_makes_room_for_another_version(state_dir: Path) -> None:
    with _zygote(state_dir) as zygote, _client(state_dir) as client:
        reply = client.ask(protocol.Hello("999.0"))
        assert isinstance(reply, protocol.Refused)
        assert reply.leaving
        assert client.next_reply() is None
        zygote.wait()


def test_with_sandboxes_it_serves_another_version_if_the_protocol_is_the_same(
    state_dir: Path, tmp_path: Path
) -> None:
    with _zygote(state_dir) as zygote:
        with _client(state_dir) as client:
            client.ask(protocol.Hello(proa.__version__))
            module = CompiledModule("", tmp_path / "none", 0)
            started = client.ask(protocol.Start(1, SandboxSpec(id="a", module=module)))
            assert isinstance(started, protocol.Started)
            assert isinstance(client.next_reply(), protocol.Exited)
        with _client(state_dir) as client:
            reply = client.ask(protocol.Hello("999.0", protocol=protocol.PROTOCOL + 1))
            assert isinstance(reply, protocol.Refused)
            assert not reply.leaving
            assert f"Proa {proa.__version__} started them" in reply.message
        with _client(state_dir) as client:
            assert isinstance(client.ask(protocol.Hello("999.0")), protocol.Adopted)
            client.ask(protocol.Shutdown())
        zygote.wait()


async def test_another_version_takes_its_place_without_touching_a_guest(
    state_dir: Path, cache_dir: Path, guest: Path
) -> None:
    """Two guests run, one has ended: the next program in the process has all three, and their output."""
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        module = await sandboxes.compile(guest)
        for name, arguments in (("echo", ("cat",)), ("ended", ("exit", "7"))):
            read_end, write_end = os.pipe()
            spec = SandboxSpec(id=name, module=module, args=("guest", *arguments))
            sandbox = await sandboxes.start(spec, read_end)
            os.close(read_end)
            if name == "echo":
                kept_open, pid = write_end, sandbox.pid
            else:
                os.close(write_end)
                await sandbox.wait()
    await asyncio.to_thread(_offer_another_version, state_dir)
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        found = {sandbox.id: sandbox for sandbox in sandboxes.list()}
        assert found.keys() == {"echo", "ended"}
        ended = found["ended"].exit
        assert ended is not None
        assert ended.exit_code == 7
        assert found["echo"].pid == pid
        os.write(kept_open, b"still here")
        os.close(kept_open)
        assert (await found["echo"].wait()).exit_code == 0
        assert await read_to_end(found["echo"].stdout) == b"still here"
        assert (await sandboxes.compile(guest)).digest == module.digest
        await sandboxes.shutdown()


def _offer_another_version(state_dir: Path) -> None:
    with _client(state_dir) as client:
        reply = client.ask(protocol.Hello("999.0", program=_launch.program()))
        assert isinstance(reply, protocol.Refused)
        assert reply.leaving
        assert client.next_reply() is None


@pytest.mark.parametrize("nonsense", [b"\0\0\0\2\0{}", b"\xff\xff\xff\xff\xff", b"\0\0\0\4\1null"])
def test_nonsense_ends_the_connection_and_nothing_else(state_dir: Path, nonsense: bytes) -> None:
    with _zygote(state_dir) as zygote:
        with _client(state_dir) as client:
            client.ask(protocol.Hello(proa.__version__))
            client.send_raw(nonsense)
            assert client.next_reply() is None
        with _client(state_dir) as client:
            assert client.ask(protocol.Hello(proa.__version__)) == protocol.Welcome(proa.__version__)
            assert client.ask(protocol.Shutdown()) is None
        zygote.wait()


def test_requests_before_the_greeting_are_not_heard(state_dir: Path) -> None:
    with _zygote(state_dir) as zygote, _client(state_dir) as client:
        client.send_raw(b"")
        message = protocol.Forget(1, "a")
        client.send_raw(_frame(protocol.encode(message)))
        assert client.ask(protocol.Hello(proa.__version__)) == protocol.Welcome(proa.__version__)
        client.ask(protocol.Shutdown())
        zygote.wait()


def _frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + b"\0" + payload


def test_a_stale_socket_is_replaced(state_dir: Path) -> None:
    state_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(state_dir / "zygote.sock"))
    with _client(state_dir) as client:
        assert client.ask(protocol.Hello(proa.__version__)) == protocol.Welcome(proa.__version__)
        assert client.ask(protocol.Shutdown()) is None


def test_a_zygote_that_cannot_start_says_why(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ZygoteLostError, match="did not start"):
        _launch.connect(state_dir)


def test_nothing_that_acts_at_every_fork_is_loaded() -> None:
    script = (
        "import os, sys\n"
        "acting = []\n"
        "os.register_at_fork = lambda **how: acting.append(sys._getframe(1).f_globals['__name__'])\n"
        "import proa.wasm.zygote\n"
        "print(acting)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
