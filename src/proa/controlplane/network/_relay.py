"""Two connected sockets made one: what comes in on either goes out on the other, inside the kernel.

Bytes move with splice(2) from socket to pipe to socket and never enter this process: that is what lets an
interpreted proxy keep up with a direct connection.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

USUAL_SIZE = 1 << 16
"""What a pipe holds in bytes; a user who is not root has room for about a thousand of them."""

LARGE_SIZE = 1 << 20
"""What the pipe of a connection that carries much is made to hold, while there is room."""

Pipe: TypeAlias = tuple[int, int]

_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_RESET = struct.pack("ii", 1, 0)


class _Direction:
    """One way through a relay: source → pipe → sink, with back-pressure and half-close."""

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        pipe: Pipe,
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source, self._sink = source, sink
        self._ended = ended
        self._out, self._in = pipe
        self._held = 0
        self._size = USUAL_SIZE
        self._busy = False
        self._loop.add_reader(source, self._move)

    def _move(self) -> None:
        """Move what is there, once: others have their turn before what came meanwhile."""
        try:
            if self._take():
                self._give()
        except OSError as error:
            self._ended(error)

    def _take(self) -> bool:
        """Fill the pipe from the source; tell whether something came."""
        try:
            count = os.splice(self._source.fileno(), self._in, self._size, flags=_FLAGS)
        except BlockingIOError:
            return False
        if not count:
            self._loop.remove_reader(self._source)
            self._finish()
            return False
        self._held += count
        self._busy = count == self._size
        return True

    def _give(self) -> bool:
        """Empty the pipe into the sink; if that is full go on when it takes more."""
        while self._held:
            try:
                self._held -= os.splice(self._out, self._sink.fileno(), self._held, flags=_FLAGS)
            except BlockingIOError:
                self._loop.remove_reader(self._source)
                self._loop.add_writer(self._sink, self._resume)
                return False
        if self._busy and self._size != LARGE_SIZE:
            self._size = _enlarge(self._in)
        return True

    def _resume(self) -> None:
        try:
            if not self._give():
                return
        except OSError as error:
            self._ended(error)
            return
        self._loop.remove_writer(self._sink)
        self._loop.add_reader(self._source, self._move)

    def _finish(self) -> None:
        """The source says no more: neither does the sink."""
        self._sink.shutdown(socket.SHUT_WR)
        self._ended(None)

    def close(self) -> None:
        """Stop moving."""
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._sink)
        _close(self._out, self._in)


class Relay:
    """Joins two connected, non-blocking sockets until both have ended or one has failed.

    It owns them: they are closed at the end, with a reset if one failed, so that neither side takes a broken
    connection for a complete one.

    Raises:
        OSError: No pipe is to be had; the sockets stay the caller's.
    """

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._sockets = (client, server)
        self._open = 2
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        there, back = _pipes()
        self._directions = (
            _Direction(client, server, there, self._ended),
            _Direction(server, client, back, self._ended),
        )

    async def run(self) -> None:
        """Wait for the end; cancelling resets both connections."""
        try:
            await self._over
        except BaseException:
            self._reset()
            raise
        finally:
            for direction in self._directions:
                direction.close()
            for one in self._sockets:
                one.close()

    def _ended(self, error: BaseException | None) -> None:
        self._open -= 1
        if self._over.done():
            return
        if error is not None:
            self._reset()
        if error is not None or not self._open:
            self._over.set_result(None)

    def _reset(self) -> None:
        for one in self._sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def without_pacing(made: socket.socket) -> None:
    """Let a socket that will connect or listen send as fast as the other end takes it.

    Accepted sockets have it from their listener. Pacing (BBR is the default of many systems) is for networks:
    over loopback there is nothing to share, and it halves what a relay can carry. The kernel goes on pacing a
    connection that began with it, hence: before it connects.
    """
    with suppress(OSError):  # an administrator may have left only others
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


def reset(connection: socket.socket) -> None:
    """Close a connection so that the other side sees that it was broken off."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.close()


def _pipes() -> tuple[Pipe, Pipe]:
    first = _pipe()
    try:
        return first, _pipe()
    except BaseException:
        _close(*first)
        raise


def _pipe() -> Pipe:
    return os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)


def _enlarge(pipe: int) -> int:
    """Let a pipe hold more, if the user's share of memory for pipes permits; return what it holds."""
    with suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, LARGE_SIZE)
    return int(fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ))


def _close(*descriptors: int) -> None:
    for one in descriptors:
        os.close(one)
