"""The event loop that Proa's programs run on."""

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Iterator
from typing import IO, Final, cast

import uvloop

from proa.app.threads import in_thread

__all__ = ("TURN", "Loop", "socket_of")

TURN: Final = 16 * 1024 * 1024
_PATIENCE_MS: Final = 20


class Loop(uvloop.Loop):
    """uvloop's event loop, and `sendfile`, which that lacks."""

    async def sendfile(
        self,
        transport: asyncio.BaseTransport,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int:
        """Send a file's content over a connection, in threads, and return how many bytes that were.

        Cancelling closes nothing, but leaves no telling how much was sent: close the connection.

        Raises:
            NotImplementedError: the connection is no plain socket.
            OSError: the peer is gone, or the file can't be read.
        """
        del fallback
        if count is None:
            count = os.fstat(file.fileno()).st_size - offset
        with socket_of(transport) as connection:
            await self._flush(cast("asyncio.WriteTransport", transport), connection)
            sent = 0
            while sent < count:
                piece = await in_thread(_send, connection, file.fileno(), offset + sent, count - sent)
                if piece is None:
                    break
                sent += piece
                if not piece:
                    await self._writable(connection)
        return sent

    async def _flush(self, transport: asyncio.WriteTransport, connection: socket.socket) -> None:
        """Wait until what was written to the transport is in the socket."""
        while transport.get_write_buffer_size():
            if transport.is_closing():
                raise ConnectionResetError("the connection is closing")
            await self._writable(connection)
            await asyncio.sleep(0)

    async def _writable(self, connection: socket.socket) -> None:
        ready = asyncio.Event()
        self.add_writer(connection, ready.set)
        try:
            await ready.wait()
        finally:
            self.remove_writer(connection)


@contextlib.contextmanager
def socket_of(transport: asyncio.BaseTransport) -> Iterator[socket.socket]:
    """Yield the transport's socket under a descriptor of its own, which the loop does not watch yet."""
    original = transport.get_extra_info("socket")
    if original is None or transport.get_extra_info("sslcontext") is not None:
        raise NotImplementedError("the connection is no plain socket")
    with socket.socket(
        original.family, original.type, original.proto, os.dup(original.fileno())
    ) as connection:
        connection.setblocking(False)
        yield connection


def _send(connection: socket.socket, file: int, offset: int, count: int) -> int | None:
    """Send for as long as the peer takes it; None: the file has ended."""
    sent = 0
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    while sent < min(count, TURN):
        try:
            piece = os.sendfile(connection.fileno(), file, offset + sent, count - sent)
        except BlockingIOError:
            if not poll.poll(_PATIENCE_MS):
                break
            continue
        if not piece:
            return sent or None
        sent += piece
    return sent
