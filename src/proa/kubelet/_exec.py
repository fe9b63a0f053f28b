"""Running another command of a container's module, and attaching to what runs."""

import asyncio
import os
import uuid
from collections.abc import Callable
from typing import Final, Self

import msgspec
from aiohttp import web

from proa.kube import KubeError
from proa.kubelet import _log_reader
from proa.kubelet._channels import CLOSE, ERROR, STDERR, STDIN, STDOUT, Channels, open_channels
from proa.kubelet._container import Container
from proa.kubelet._log_options import LogOptions
from proa.kubelet._log_writer import readable
from proa.kubelet._racing import first_of
from proa.kubelet.errors import KubeletError
from proa.wasm import Sandbox, SandboxExit, WasmError

_CHUNK: Final = 32 * 1024


async def execute(
    request: web.Request, container: Container, command: list[str], *, stdin: bool
) -> web.StreamResponse:
    """Run a command in the container's environment, with the streams of the client.

    The command is the module's own: its arguments are the words given, in a sandbox of its own with the same
    environment and mounts. It ends when the client leaves.
    """
    async with open_channels(request) as channels:
        with _Input.of_pipe(wanted=stdin) as given:
            try:
                name = f"exec-{uuid.uuid4().hex[:12]}"
                sandbox = await container.start_command(name, command, given.read_end)
            except (KubeError, KubeletError, WasmError, OSError) as error:
                await channels.send(ERROR, _failure("InternalError", str(error)))
                return web.Response()
            given.started()
            try:
                end = await _converse(channels, sandbox, given)
                await channels.send(ERROR, _status(end))
            finally:
                await container.end_command(sandbox)
    return web.Response()


async def attach(request: web.Request, container: Container, *, stdin: bool) -> web.StreamResponse:
    """Send what the container prints from now on until it ends or the client leaves, and take its input.

    With `stdinOnce` the first client's end of input, or its leaving, is the container's.
    """
    async with open_channels(request) as channels:
        log, begun = container.log, asyncio.Event()

        async def follow() -> None:
            if log is not None:
                options = LogOptions(follow=True, tail_lines=0)
                async for piece in _log_reader.read(log.path, options, log, begun):
                    await channels.send(STDOUT, piece)
            await channels.send(ERROR, _success())

        async def take_input(given: _Input) -> None:
            await begun.wait()  # The answer to what comes must not be missed.
            await _receive(channels, given)

        source = container.stdin if stdin else None
        with _Input(
            write_end=source.open() if source else None, ended=source.close if source else None
        ) as given:
            await first_of(follow(), take_input(given))
    return web.Response()


async def _converse(channels: Channels, sandbox: Sandbox, given: "_Input") -> SandboxExit:
    async with asyncio.TaskGroup() as group:
        outputs = [
            group.create_task(_print(channels, sandbox.stdout, STDOUT)),
            group.create_task(_print(channels, sandbox.stderr, STDERR)),
        ]
        listening = group.create_task(_receive(channels, given))
        listening.add_done_callback(lambda _: sandbox.kill())
        end = await sandbox.wait()
        await asyncio.wait(outputs)
        listening.cancel()
    return end


async def _print(channels: Channels, source: int, channel: int) -> None:
    while True:
        await readable(source)
        chunk = os.read(source, _CHUNK)
        if not chunk:
            return
        await channels.send(channel, chunk)


async def _receive(channels: Channels, given: "_Input") -> None:
    """Pass on input until the client leaves; other channels (the size of a terminal) mean nothing here."""
    async for channel, content in channels.receive():
        if channel == STDIN:
            await given.feed(content)
        elif channel == CLOSE and content[:1] == bytes([STDIN]):
            given.close()


class _Input:
    """Standard input, if the client wants to send any. As a context, it is closed in the end."""

    def __init__(
        self,
        *,
        read_end: int | None = None,
        write_end: int | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self.read_end = read_end
        self._write_end = write_end
        self._ended = ended
        if write_end is not None:
            os.set_blocking(write_end, False)

    @classmethod
    def of_pipe(cls, *, wanted: bool) -> Self:
        """A pipe of its own."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC) if wanted else (None, None)
        return cls(read_end=read_end, write_end=write_end)

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
            if self._ended is not None:
                self._ended()

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
