"""Live connections into pods: processes (`exec`, `attach`) and ports, over WebSockets.

    async with pods.exec("web", ["cat"], stdin=True) as process:
        await process.write(b"hello")
        await process.close_stdin()
        async for chunk in process.stdout():
            ...
        exit = await process.wait()

Reading is back-pressured: what nobody reads stays in a buffer of 1 MiB, then in the network. Leaving the
context closes the connection; what becomes of the process then is the kubelet's affair (it gets SIGHUP where
it has a terminal, and else goes on).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from proa.kube.core import channels
from proa.kube.core.channels import Channel, Exit
from proa.kube.core.request import Request
from proa.kube.errors import InvalidRequestError, KubeError, TransportError
from proa.kube.transport import Socket

if TYPE_CHECKING:
    from proa.kube.client import Client

__all__ = ["Exit", "PortConnection", "Process"]

BUFFER = 2**20


class _Pipe:
    """Bytes from the reader of the socket to whoever wants them; holds the reader back when full."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._error: KubeError | None = None
        self._changed = asyncio.Condition()

    async def put(self, data: bytes) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._size < BUFFER)
            self._chunks.append(data)
            self._size += len(data)
            self._changed.notify_all()

    async def end(self, error: KubeError | None = None) -> None:
        async with self._changed:
            self._ended, self._error = True, self._error or error
            self._changed.notify_all()

    async def take(self) -> bytes:
        """Return what there is, empty at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._chunks or self._ended)
            data = b"".join(self._chunks)
            self._chunks.clear()
            self._size = 0
            self._changed.notify_all()
            if not data and self._error:
                raise self._error
            return data


class Process:
    """A process in a container, with the streams that were asked for."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._pipes = {Channel.STDOUT: _Pipe(), Channel.STDERR: _Pipe()}
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    @property
    def can_close_stdin(self) -> bool:
        """Whether the server can be told that standard input has ended (since Kubernetes 1.30)."""
        return self._socket.protocol == channels.V5

    def stdout(self) -> AsyncGenerator[bytes, None]:
        """Yield what the process writes, until it ends; raises TransportError if the connection breaks."""
        return _chunks(self._pipes[Channel.STDOUT])

    def stderr(self) -> AsyncGenerator[bytes, None]:
        """Yield what the process writes to standard error; nothing where it has a terminal."""
        return _chunks(self._pipes[Channel.STDERR])

    async def write(self, data: bytes) -> None:
        """Write to standard input."""
        for message in channels.frames(Channel.STDIN, data):
            await self._socket.send(message)

    async def close_stdin(self) -> None:
        """End standard input.

        Raises:
            InvalidRequestError: the server speaks an older protocol, in which that cannot be said.
        """
        if not self.can_close_stdin:
            raise InvalidRequestError("this server is too old to be told that standard input has ended")
        await self._socket.send(channels.close(Channel.STDIN))

    async def resize(self, width: int, height: int) -> None:
        """Tell the size of the terminal, in characters."""
        await self._socket.send(channels.resize(width, height))

    async def wait(self) -> Exit:
        """Wait until the process ends. What it has written must be read too, or fit into the buffers.

        Raises:
            TransportError: the connection ended before the server said how the process did.
        """
        return await asyncio.shield(self._exit)

    async def communicate(self, stdin: bytes | None = None) -> tuple[bytes, bytes, Exit]:
        """Write, end standard input where that can be said, and return stdout, stderr and the end.

        Caveat: with a server too old to say it to (`can_close_stdin`), a process that reads until the end of
        its input never ends.
        """

        async def feed() -> None:
            if stdin is not None:
                await self.write(stdin)
                if self.can_close_stdin:
                    await self.close_stdin()

        async def all_of(chunks: AsyncGenerator[bytes, None]) -> bytes:
            return b"".join([chunk async for chunk in chunks])

        tasks = [asyncio.create_task(all_of(chunks)) for chunks in (self.stdout(), self.stderr())]
        try:
            await feed()
            stdout, stderr = await asyncio.gather(*tasks)
            return stdout, stderr, await self.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        """Take messages from the socket until it ends."""
        error: KubeError | None = None
        try:
            while (message := await self._socket.receive()) is not None:
                channel, data = channels.unframe(message)
                if channel == Channel.ERROR:
                    self._resolve(channels.read_exit(data))
                elif channel in self._pipes and data:
                    await self._pipes[Channel(channel)].put(data)
                elif channel == Channel.CLOSE and data and data[0] in self._pipes:
                    await self._pipes[Channel(data[0])].end()
        except KubeError as raised:
            error = raised
        lost = error or TransportError("the connection ended before the process did")
        if not self._exit.done():
            self._exit.set_exception(lost)
            self._exit.exception()  # whoever waits gets it; nobody need wait
            error = lost
        for pipe in self._pipes.values():
            await pipe.end(error)

    def _resolve(self, exit_: Exit) -> None:
        if not self._exit.done():
            self._exit.set_result(exit_)


class PortConnection:
    """A connection to a port of a pod."""

    def __init__(self, socket: Socket, port: int) -> None:
        self.port = port
        self._socket = socket
        self._pipe = _Pipe()
        self._announced: set[int] = set()

    async def read(self) -> bytes:
        """Return what has come, empty at the end.

        Raises:
            TransportError: nobody listens on that port, or the connection broke.
        """
        return await self._pipe.take()

    async def write(self, data: bytes) -> None:
        """Send data."""
        for message in channels.frames(0, data):
            await self._socket.send(message)

    async def _read(self) -> None:
        error: KubeError | None = None
        try:
            while (message := await self._socket.receive()) is not None:
                channel, data = channels.unframe(message)
                if channel not in self._announced:
                    # Both channels begin with the port's number, in two bytes.
                    self._announced.add(channel)
                elif channel == 0 and data:
                    await self._pipe.put(data)
                elif channel == 1 and data:
                    error = TransportError(f"port {self.port} of the pod: {data.decode(errors='replace')}")
                    break
        except KubeError as raised:
            error = raised
        await self._pipe.end(error)


async def _chunks(pipe: _Pipe) -> AsyncGenerator[bytes, None]:
    while data := await pipe.take():
        yield data


@asynccontextmanager
async def process(client: Client, request: Request) -> AsyncIterator[Process]:
    """Open a process's streams and keep reading them."""
    async with client.connect(request, channels.PROTOCOLS) as socket:
        opened = Process(socket)
        async with _reading(opened):
            yield opened


@asynccontextmanager
async def port(client: Client, request: Request, number: int) -> AsyncIterator[PortConnection]:
    """Open a connection to a port and keep reading it."""
    async with client.connect(request, (channels.V4,)) as socket:
        opened = PortConnection(socket, number)
        async with _reading(opened):
            yield opened


@asynccontextmanager
async def _reading(opened: Process | PortConnection) -> AsyncIterator[None]:
    task = asyncio.create_task(opened._read())  # noqa: SLF001 - of this module
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
