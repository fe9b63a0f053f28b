"""Large bodies between sockets and files, past the HTTP library.

An HTTP library parses, copies and queues every piece of a body, which is most of the cost of moving one that
is large. Here the library does the headers, and then:

- outwards, `proa.app.loop.Loop.sendfile` lets the kernel move a file into the connection; aiohttp's
  `FileResponse` uses it by itself, `FilePayload` is its like for a client's request;
- inwards, `receive` takes the body of a client's response from the connection's socket into the memory where
  it is wanted. A server would win nothing by the like (it was measured), and could not keep its connection.

Where that is not possible (TLS, chunked bodies, another event loop), the same calls take the ordinary way.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO, Any, Final, Protocol

from aiohttp import StreamReader
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from proa.app.loop import TURN, Loop, socket_of
from proa.app.threads import in_thread

__all__ = ("FilePayload", "Sink", "receive")

_WORTH_IT: Final = 4 * 1024 * 1024
_PIECE: Final = 1024 * 1024


class FilePayload(Payload):
    """Part of a file as the body of a client's request.

    Args:
        path: the file.
        offset: where to begin.
        size: how many bytes to send.
        progress: told the bytes that were sent since the last call. It may not hear of the last ones: aiohttp
            ends the sending when the answer is here.
    """

    _default_content_type = "application/octet-stream"

    def __init__(self, path: Path, offset: int, size: int, progress: Callable[[int], None]) -> None:
        super().__init__(path)
        self._path = path
        self._offset = offset
        self._progress = progress
        self._size: int = size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuse: it may be too large for memory."""
        raise TypeError(f"{self._path} is sent, not read")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it."""
        with await in_thread(self._path.open, "rb") as file:
            try:
                await self._send(writer, file)
            except NotImplementedError:
                await self._copy(writer, file)

    async def _send(self, writer: Any, file: IO[bytes]) -> None:
        writer.send_headers()
        offset, end = self._offset, self._offset + self._size
        loop = asyncio.get_running_loop()
        if not isinstance(loop, Loop):
            raise NotImplementedError("this event loop can't")
        while offset < end:
            sent = await loop.sendfile(writer.transport, file, offset, min(TURN, end - offset))
            if not sent:
                raise ConnectionResetError(f"{self._path} has become shorter")
            self._progress(sent)
            offset += sent

    async def _copy(self, writer: AbstractStreamWriter, file: IO[bytes]) -> None:
        file.seek(self._offset)
        rest = self._size
        while piece := await in_thread(file.read, min(_PIECE, rest)):
            await writer.write(piece)
            self._progress(len(piece))
            rest -= len(piece)


class Sink(Protocol):
    """Where a body goes, a piece at a time."""

    def room(self) -> Awaitable[memoryview]:
        """Return memory for the next piece."""
        ...

    def filled(self, count: int) -> Awaitable[None]:
        """Take the first `count` bytes of that memory."""
        ...

    def write(self, chunk: bytes) -> Awaitable[None]:
        """Take a piece that is in memory already."""
        ...


async def receive(
    content: StreamReader,
    transport: asyncio.Transport | None,
    size: int | None,
    sink: Sink,
    *,
    progress: Callable[[int], None] | None = None,
    timeout: float | None = None,
) -> None:
    """Move the body of a client's response into a sink.

    A body that ends early is no error here: look at what the sink has got. aiohttp uses the connection for
    nothing else, as it has not seen the body's end.

    Args:
        content: what the HTTP library has of the body.
        transport: the connection.
        size: the body's length in bytes; None: not known.
        sink: where it goes.
        progress: told the bytes that came since the last call.
        timeout: seconds to wait for each piece.

    Raises:
        TimeoutError: nothing came for so long.
        OSError: the connection broke.
    """
    arrived = 0
    async for chunk in _pieces(content, transport, size):
        await sink.write(chunk)
        arrived += len(chunk)
        if progress:
            progress(len(chunk))
    if size is None or arrived >= size or content.at_eof() or transport is None:
        return
    loop = asyncio.get_running_loop()
    with socket_of(transport) as connection:
        while arrived < size:
            room = (await sink.room())[: size - arrived]
            async with asyncio.timeout(timeout):
                count = await loop.sock_recv_into(connection, room)
            if not count:
                break
            await sink.filled(count)
            arrived += count
            if progress:
                progress(count)


async def _pieces(
    content: StreamReader, transport: asyncio.Transport | None, size: int | None
) -> AsyncIterator[bytes]:
    """Yield the body; where it is worth it only what has arrived, and leave the rest in the socket."""
    if size is None or size < _WORTH_IT or transport is None or not _plain(transport):
        async for chunk in content.iter_any():
            yield chunk
        return
    arrived = []
    # What is read makes room, into which the parser may put more: without waiting, until it has no more.
    while chunk := content.read_nowait():
        arrived.append(chunk)
    if not content.at_eof():
        transport.pause_reading()
    for chunk in arrived:
        yield chunk


def _plain(transport: asyncio.Transport) -> bool:
    return transport.get_extra_info("socket") is not None and transport.get_extra_info("sslcontext") is None
