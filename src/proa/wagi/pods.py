"""A module that answers requests as a pod: what its sandbox does instead of running it once.

`SERVER` is the target for `SandboxSpec.server`. The sandbox's process, a child of the zygote, becomes a small
HTTP server on the socket that is its standard input; it forks executors from itself, which are confined as
any sandbox of that specification is. What guests print to standard error, and how they fail, goes to its own
standard error, each line with the id of its request. SIGTERM ends it once nobody comes any more and all are
answered.
"""

import asyncio
import functools
import gc
import os
import select
import signal
import socket
from typing import Final, Self

import uvloop

from proa.wagi import _executor
from proa.wagi.errors import HandlerError
from proa.wagi.gateway import Gateway
from proa.wagi.handlers import Handler, Limits
from proa.wagi.protocol import Request
from proa.wagi.serving import serve
from proa.wasm import SandboxError, SandboxSpec, WorkerSpec
from proa.wasm._engine import Runtime
from proa.wasm._process import Stdio, fork

__all__ = ["SERVER", "main"]

SERVER: Final = "proa.wagi.pods:main"

_STDERR: Final = 2
_MOST_EXECUTORS: Final = 64
_SHUTDOWN_SECONDS: Final = 3600.0
"""Whoever sends SIGTERM kills when that takes too long."""
_QUIET_SECONDS: Final = 0.5
"""So long nobody may have asked before the port is closed: by then it is known that this pod is ending."""


def main(runtime: Runtime, spec: SandboxSpec) -> None:
    """Serve until SIGTERM."""
    forks = _Forks(runtime, spec)
    gc.freeze()  # What was inherited stays, and is not to be copied by being looked at.
    gc.enable()
    with socket.socket(fileno=os.dup(0)) as listener, _Reporter(os.dup(2)) as reporter:
        listener.setblocking(False)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(forks, spec, listener, reporter))


async def _serve(forks: "_Forks", spec: SandboxSpec, listener: socket.socket, reporter: "_Reporter") -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    handler = Handler(
        route="/...",
        module=spec.module,
        environment=spec.env,
        outbound=spec.outbound,
        limits=Limits(seconds=spec.request_seconds, memory=spec.memory_limit, concurrency=_MOST_EXECUTORS),
    )
    async with serve(
        [handler],
        forks,
        listener=listener,
        executors=_MOST_EXECUTORS,
        spare=0,
        observer=reporter,
        healthz=False,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    ) as (gateway, _):
        await stopping.wait()
        gateway.leave()
        await _until_quiet(gateway, listener)


async def _until_quiet(gateway: Gateway, listener: socket.socket) -> None:
    """Serve on until nobody comes: a connection that waits to be accepted is lost when the port closes."""
    before = -1
    while (begun := _begun(gateway)) != before or select.select([listener], [], [], 0)[0]:
        before = begun
        await asyncio.sleep(_QUIET_SECONDS)


def _begun(gateway: Gateway) -> int:
    return sum(route.requests + route.running for route in gateway.statistics().routes.values())


class _Fork:
    """A child of this process."""

    def __init__(self, pid: int) -> None:
        self.id = ""
        self.pid = pid
        self.stderr = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.stderr)

    async def wait(self) -> None:
        """Wait for its end and reap it."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(self.pid)
        try:
            loop.add_reader(descriptor, ended.set)
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        os.waitpid(self.pid, 0)  # noqa: ASYNC222 - it has ended


class _Forks:
    """Starts executors as children of this process.

    The first is forked at once, and makes itself ready while this process does.
    """

    def __init__(self, runtime: Runtime, spec: SandboxSpec) -> None:
        self._runtime = runtime
        self._spec = spec
        self._running: dict[str, _Fork] = {}
        self._first: tuple[_Fork, socket.socket] | None = self._fork()

    async def start_worker(self, spec: WorkerSpec, stdin: int | None = None) -> _Fork:
        """Start an executor for the one module; the target is not asked for."""
        try:
            started, wanted = self._first or self._fork()
            self._first = None
            with wanted:
                socket.send_fds(wanted, [b"!"], [stdin or 0])
        except OSError as error:
            raise SandboxError(f"no executor can be started: {error.strerror}") from None
        started.id = spec.id
        self._running[spec.id] = started
        return started

    def _fork(self) -> tuple[_Fork, socket.socket]:
        wanted, theirs = socket.socketpair()
        try:
            with theirs:
                # What an executor itself complains of belongs into the log as it is.
                stdio = Stdio(theirs.fileno(), _STDERR, _STDERR)
                body = functools.partial(_executor.main_of_pod, self._runtime, self._spec)
                child = fork("proa:executor", lambda _: body(), stdio)
        except OSError:
            wanted.close()
            raise
        os.close(child.report)
        return _Fork(child.pid), wanted

    async def forget(self, sandbox_id: str) -> None:
        """Let go of one that has ended."""
        self._running.pop(sandbox_id).close()


class _Reporter:
    """Writes what happens to requests as lines: `<id of the request> <what>`. Never waits for who reads."""

    follows_answers = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lost = 0
        os.set_blocking(descriptor, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def answered(self, request: Request, route: str, status: int, sent: int, seconds: float) -> None:
        """Say nothing: there may be thousands a second."""

    def printed(self, route: str, request_id: str, text: bytes) -> None:
        """Pass on what a guest printed to standard error."""
        self._write(request_id, text.decode(errors="replace"))

    def failed(self, route: str, request_id: str, error: HandlerError) -> None:
        """Say why a request failed, with the backtrace if there is one."""
        self._write(request_id, f"{error.status}: {error}\n{error.detail}")

    def _write(self, request_id: str, text: str) -> None:
        lines = text.splitlines()
        if self._lost:
            lines.insert(0, f"({self._lost} lines before this one were lost: nobody read them)")
        content = "".join(f"{request_id} {line}\n" for line in lines if line).encode()
        try:
            written = os.write(self._descriptor, content)
        except BlockingIOError:
            written = 0
        except OSError:
            return
        if written:
            self._lost = 0
        self._lost += content[written:].count(b"\n")
