"""The zygote: `python -m proa.wasm.zygote`, started by `proa.wasm.Sandboxes` and by nobody else.

One thread, one loop. It forks sandboxes and compilations, reaps them, keeps the read ends of the sandboxes'
output and their exits, and serves one client at a time over a Unix socket. It imports neither asyncio nor
anything else that is large, and has loaded the engine but started none of its threads, so that a fork is
quick, safe, and shares nearly all of its memory.

A client of another version has it become the program of that version, in the same process: its sandboxes
stay its children and notice nothing.

It stays as long as there is a client, a sandbox, or an exit that nobody has asked to forget.
"""

import argparse
import contextlib
import ctypes
import functools
import gc
import os
import resource
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

import proa
from proa.wasm import _process
from proa.wasm import _protocol as protocol
from proa.wasm._children import Children
from proa.wasm._connection import Connection, socket_path
from proa.wasm._engine import Runtime
from proa.wasm._service import Legacy, Service

_IDLE_SECONDS: Final = 10.0
_WIDTH: Final = 100
_BLOCKS: Final = (*range(120_000, 16_000, -8_000), *range(16_000, 1024, -512), *range(1016, 16, -16))
"""Sizes of free blocks, the largest first; larger ones than these the C library may map on their own."""


class Zygote:
    """The loop: signals, children and the one client."""

    def __init__(self, state_dir: Path, listener: socket.socket, idle_seconds: float) -> None:
        self._state_dir = state_dir
        self._children = Children()
        self._service = Service(Runtime.create(), self._children, self._send)
        self._listener = listener
        self._client: Connection | None = None
        self._greeted = False
        self._idle_seconds = idle_seconds
        self._idle_since = time.monotonic()
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._wakeup = _watch_signals(self._terminate)
        self._register(listener, self._accept)
        self._register(self._wakeup, self._on_signal)

    def _register(self, source: socket.socket, handler: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, handler)

    def run(self) -> None:
        """Serve until told to stop, or until there has been nothing to stay for for a while."""
        while not self._is_done():
            if self._client or self._children or self._service:
                self._idle_since = time.monotonic()
                timeout = None
            else:
                timeout = self._idle_since + self._idle_seconds - time.monotonic()
                if timeout <= 0:
                    return
            for key, _ in self._selector.select(timeout):
                key.data()

    def _is_done(self) -> bool:
        told = not self._client or self._client.is_flushed
        return self._stopping and not self._children and told

    def _on_signal(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wakeup.recv(4096)
        if self._stopping:
            self._stop()
        self._children.reap()

    def _terminate(self) -> None:
        """Note that a signal asks for the end: what runs at any moment of the loop must do no more."""
        self._stopping = True

    def _stop(self) -> None:
        self._stopping = True
        self._children.kill_all()

    # The client

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection = Connection(self._listener.accept()[0])
            if self._client:
                self._serve()  # It may have gone just now.
            refusal = self._refusal(connection)
            if refusal:
                with contextlib.suppress(OSError):
                    connection.send(protocol.encode(protocol.Refused(refusal, leaving=False)))
                connection.close()
            else:
                self._client, self._greeted = connection, False
                self._selector.register(connection, selectors.EVENT_READ, self._serve)

    def _refusal(self, connection: Connection) -> str | None:
        if connection.peer()[1] not in {0, os.geteuid()}:
            return "they belong to another user"
        if self._client:
            return f"process {self._client.peer()[0]} is using them"
        return None

    def _serve(self) -> None:
        client = self._client
        assert client
        try:
            self._watch(client, all_sent=client.flush())
            for payload, descriptors in client.receive():
                try:
                    self._handle(protocol.decode_request(payload), descriptors)
                finally:
                    for descriptor in descriptors:
                        os.close(descriptor)
                if self._client is not client:
                    return
        except (OSError, msgspec.ValidationError, msgspec.DecodeError) as error:
            if not isinstance(error, ConnectionError):
                _process.log(f"dropped the client: {error}")
            self._drop()

    def _handle(self, request: protocol.Request, descriptors: list[int]) -> None:
        match request:
            case protocol.Hello():
                self._greet(request)
            case protocol.Shutdown():
                self._stop()
            case _ if self._greeted and not self._stopping:
                self._service.handle(request, descriptors)

    def _greet(self, hello: protocol.Hello) -> None:
        same = (hello.version, hello.protocol) == (proa.__version__, protocol.PROTOCOL)
        if not same and hello.program and len(self._service):
            self._become(hello.program)
            return
        if not same and not len(self._service):
            self._send(protocol.Refused("another version", leaving=True))
            self._stop()
        elif hello.protocol != protocol.PROTOCOL:
            message = f"Proa {proa.__version__} started them and this version cannot take them over"
            self._send(protocol.Refused(message, leaving=False))
            self._drop()
        else:
            self._greeted = True
            self._service.introduce()
            self._send(protocol.Welcome(proa.__version__))

    def _become(self, program: list[str]) -> None:
        """Go on as another program in this process: the sandboxes stay its children, and notice nothing."""
        self._send(protocol.Refused("it becomes your version", leaving=True))
        self._drop()
        legacy = self._service.bequeath(self._listener.fileno(), self._idle_seconds)
        kept = [legacy.listener, *legacy.reports.values()]
        kept += [descriptor for sandbox in legacy.sandboxes for descriptor in sandbox.output]
        kept.append(os.memfd_create("legacy"))
        os.write(kept[-1], msgspec.json.encode(legacy))
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        resume = ["--state-dir", str(self._state_dir), "--resume", str(kept[-1])]
        try:
            os.execv(program[0], [*program, *resume])  # noqa: S606 - the client is of the same user
        except OSError as error:
            _process.log(f"cannot become {program[0]}: {error.strerror}")
        for descriptor in kept:
            os.set_inheritable(descriptor, False)
        os.close(kept[-1])

    def inherit(self, legacy: Legacy) -> None:
        """Go on where the program before this one stopped, with what has happened meanwhile."""
        self._service.inherit(legacy)
        self._children.reap()

    def _send(self, message: protocol.Reply, descriptors: Sequence[int] = ()) -> None:
        if not self._client:
            return
        try:
            all_sent = self._client.send(protocol.encode(message), descriptors)
        except OSError:
            self._drop()
            return
        self._watch(self._client, all_sent=all_sent)

    def _watch(self, client: Connection, *, all_sent: bool) -> None:
        events = selectors.EVENT_READ if all_sent else selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.modify(client, events, self._serve)

    def _drop(self) -> None:
        if self._client:
            self._selector.unregister(self._client)
            self._client.close()
            self._client = None
            self._service.part()


def _watch_signals(terminate: Callable[[], None]) -> socket.socket:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: terminate())
    return reader


def _listen(directory: int) -> socket.socket:
    path = socket_path(directory)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen()
    listener.setblocking(False)
    return listener


def _read_legacy(descriptor: int) -> Legacy:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb") as file:
        legacy = msgspec.json.decode(file.read(), type=Legacy)
    kept = [legacy.listener, *legacy.reports.values()]
    for inherited in kept + [one for sandbox in legacy.sandboxes for one in sandbox.output]:
        os.set_inheritable(inherited, False)
    return legacy


def _take_over(legacy: Legacy) -> socket.socket:
    listener = socket.socket(fileno=legacy.listener)
    listener.setblocking(False)
    return listener


def _use_up_free_blocks() -> None:
    """Leave no free blocks between those in use: children would write into pages that they share otherwise.

    What they allocate then lies together on pages of its own. Whole pages that are free go back to the
    kernel: every fork would have to copy their entries.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        return  # Another C library than GNU's, with other habits.
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    libc.malloc_trim(0)
    end = libc.sbrk(0)
    for size in _BLOCKS:
        while libc.malloc(ctypes.c_size_t(size)) < end:
            pass  # It was a free block. The next one may be, too, until one comes from beyond the old end.


def main() -> None:
    """Detach, listen, say so, serve, clean up."""
    parser = argparse.ArgumentParser(
        prog="python -m proa.wasm.zygote",
        description="Started by Proa itself.",
        # With a width it does not load what finds out the terminal's.
        formatter_class=functools.partial(argparse.HelpFormatter, width=_WIDTH),
    )
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--idle-seconds", type=float, default=_IDLE_SECONDS, help="when to end by itself")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--ready", type=int, help="descriptor to write to when ready")
    how.add_argument("--resume", type=int, help="descriptor of what the program before in this process left")
    arguments = parser.parse_args()
    legacy = None if arguments.resume is None else _read_legacy(arguments.resume)
    if legacy is None and os.fork():
        os._exit(0)
    os.umask(0o077)
    os.chdir("/")
    os.environ["TOKIO_WORKER_THREADS"] = "1"  # In each sandbox; the default is one for each processor.
    _process.set_name("proa-zygote")
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    directory = os.open(arguments.state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = _listen(directory) if legacy is None else _take_over(legacy)
    zygote = Zygote(arguments.state_dir, listener, legacy.idle_seconds if legacy else arguments.idle_seconds)
    gc.collect()
    _use_up_free_blocks()
    gc.freeze()
    if legacy is None:
        os.write(arguments.ready, b"ready")
        os.close(arguments.ready)
    else:
        zygote.inherit(legacy)
    try:
        zygote.run()
    finally:
        # In this order: whoever finds nobody listening may already have bound a socket of their own.
        socket_path(directory).unlink(missing_ok=True)
        listener.close()


if __name__ == "__main__":
    main()
