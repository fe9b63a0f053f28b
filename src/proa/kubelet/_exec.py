"""Running another command of a container's module, and attaching to what runs: streams over WebSocket.

Kubernetes' channel protocols `v4.channel.k8s.io` and `v5.channel.k8s.io`: each message begins with a byte
that names its channel. Version 5 adds that a client can say that it has no more input.
"""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Coroutine
from typing import Final, Self

import msgspec
from aiohttp import WSMsgType, web

from proa.kube import KubeError
from proa.kubelet import _log_reader
from proa.kubelet._container import Container
from proa.kubelet._log_options import LogOptions
from proa.kubelet._log_writer import readable
from proa.kubelet.errors import KubeletError
from proa.wasm import Sandbox, SandboxExit, WasmError

PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_CHUNK: Final = 32 * 1024
_MAX_MESSAGE: Final = 4 * 1024 * 1024


async def execute(
    request: web.Request, container: Container, command: list[str], *, stdin: bool
) -> web.WebSocketResponse:
    """Run a command in the container's environment, with the streams of the client.

    The command is the module's own: its arguments are the words given, in a sandbox of its own with the same
    environment and mounts. It ends when the client leaves.
    """
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=_MAX_MESSAGE)
    await socket.prepare(request)
    with _Input(wanted=stdin) as given:
        try:
            name = f"exec-{uuid.uuid4().hex[:12]}"
            sandbox = await container.start_command(name, command, given.read_end)
        except (KubeError, KubeletError, WasmError, OSError) as error:
            await _send(socket, _ERROR, _failure("InternalError", str(error)))
            return socket
        given.started()
        try:
            end = await _converse(socket, sandbox, given)
            await _send(socket, _ERROR, _status(end))
            await socket.close()
        finally:
            await container.end_command(sandbox)
    return socket


async def attach(request: web.Request, container: Container) -> web.WebSocketResponse:
    """Send what the container prints from now on until it ends or the client leaves."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=_MAX_MESSAGE)
    await socket.prepare(request)
    log = container.log

    async def follow() -> None:
        if log is not None:
            async for piece in _log_reader.read(log.path, LogOptions(follow=True, tail_lines=0), log):
                await _send(socket, _STDOUT, piece)
        await _send(socket, _ERROR, _success())

    with _Input(wanted=False) as nothing:
        await _either(follow(), _receive(socket, nothing))
    await socket.close()
    return socket


async def _either(*works: Coroutine[None, None, None]) -> None:
    tasks = {asyncio.create_task(work) for work in works}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _converse(socket: web.WebSocketResponse, sandbox: Sandbox, given: "_Input") -> SandboxExit:
    async with asyncio.TaskGroup() as group:
        outputs = [
            group.create_task(_print(socket, sandbox.stdout, _STDOUT)),
            group.create_task(_print(socket, sandbox.stderr, _STDERR)),
        ]
        listening = group.create_task(_receive(socket, given))
        listening.add_done_callback(lambda _: sandbox.kill())
        end = await sandbox.wait()
        await asyncio.wait(outputs)
        listening.cancel()
    return end


async def _print(socket: web.WebSocketResponse, source: int, channel: int) -> None:
    while True:
        await readable(source)
        chunk = os.read(source, _CHUNK)
        if not chunk:
            return
        await _send(socket, channel, chunk)


async def _receive(socket: web.WebSocketResponse, given: "_Input") -> None:
    """Pass on input until the client leaves; other channels (the size of a terminal) mean nothing here."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        channel, content = message.data[0], message.data[1:]
        if channel == _STDIN:
            await given.feed(content)
        elif channel == _CLOSE and content[:1] == bytes([_STDIN]):
            given.close()


class _Input:
    """A pipe for standard input, if the client wants to send any. As a context, it is closed in the end."""

    def __init__(self, *, wanted: bool) -> None:
        self.read_end: int | None = None
        self._write_end: int | None = None
        if wanted:
            self.read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._write_end, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.started()
        self.close()

    def started(self) -> None:
        """The guest has its own copy of the read end now."""
        if self.read_end is not None:
            os.close(self.read_end)
            self.read_end = None

    def close(self) -> None:
        """Tell the guest that nothing more comes."""
        if self._write_end is not None:
            os.close(self._write_end)
            self._write_end = None

    async def feed(self, content: bytes) -> None:
        """Write, as fast as the guest reads."""
        while content and self._write_end is not None:
            try:
                content = content[os.write(self._write_end, content) :]
            except BlockingIOError:
                await _writable(self._write_end)
            except BrokenPipeError:
                return


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)


async def _send(socket: web.WebSocketResponse, channel: int, content: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        await socket.send_bytes(bytes([channel]) + content)


def _success() -> bytes:
    return msgspec.json.encode({"metadata": {}, "status": "Success"})


def _status(end: SandboxExit) -> bytes:
    """What Kubernetes tells on the error channel of a command's end."""
    if not end.exit_code:
        return _success()
    cause = {"reason": "ExitCode", "message": str(end.exit_code)}
    said = f": {end.message}" if end.message else ""
    message = f"command terminated with non-zero exit code {end.exit_code}{said}"
    return _failure("NonZeroExitCode", message, cause)


def _failure(reason: str, message: str, *causes: dict[str, str]) -> bytes:
    details = {"causes": list(causes)} if causes else {}
    status = {"metadata": {}, "status": "Failure", "reason": reason, "message": message}
    return msgspec.json.encode(status | ({"details": details} if details else {}))
