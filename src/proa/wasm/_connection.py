"""Frames with file descriptors over a Unix stream socket, without an event loop of its own.

Both ends drive it: the zygote with a selector, the client with asyncio. A frame is its length (4 bytes,
big-endian), the number of descriptors that came along (1 byte), and the payload.
"""

import array
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_HEADER: Final = struct.Struct("!IB")
_CHUNK: Final = 256 * 1024
_MAX_PAYLOAD: Final = 16 * 1024 * 1024
_MAX_DESCRIPTORS: Final = 8

_SOCKET: Final = "zygote.sock"

Frame = tuple[bytes, list[int]]


def socket_path(directory: int) -> Path:
    """Name the zygote's socket by an open descriptor of its directory: addresses end after 107 bytes."""
    return Path(f"/proc/self/fd/{directory}/{_SOCKET}")


class Connection:
    """One end of a connection. Nothing here blocks.

    Received descriptors belong to whoever takes the frame; those not yet taken are closed by `close`.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._received = bytearray()
        self._received_descriptors: deque[int] = deque()
        self._unsent: deque[tuple[memoryview, list[int]]] = deque()

    def fileno(self) -> int:
        """Return the socket's descriptor, to wait on."""
        return self._socket.fileno()

    def peer(self) -> tuple[int, int]:
        """Return the process id and the user id of the other end, as the kernel knows them."""
        pid, uid, _ = struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return pid, uid

    def send(self, payload: bytes, descriptors: Iterable[int] = ()) -> bool:
        """Send a frame as far as the socket takes it; like `flush`. The caller keeps its descriptors."""
        copies = [os.dup(descriptor) for descriptor in descriptors]
        self._unsent.append((memoryview(_HEADER.pack(len(payload), len(copies)) + payload), copies))
        return self.flush()

    @property
    def is_flushed(self) -> bool:
        """Whether everything has been sent."""
        return not self._unsent

    def flush(self) -> bool:
        """Go on sending; return whether all is sent. Raises OSError when the other end is gone."""
        while self._unsent:
            data, descriptors = self._unsent[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            try:
                sent = self._socket.sendmsg([data], rights if descriptors else [])
            except BlockingIOError:
                return False
            _close_all(descriptors)
            self._unsent[0] = (data[sent:], [])
            if sent == len(data):
                self._unsent.popleft()
        return True

    def receive(self) -> Iterator[Frame]:
        """Yield the frames that have arrived in full.

        Raises ConnectionError at the end of the stream, after the last full frame, or on nonsense.
        """
        while self._fill():
            while (frame := self._take()) is not None:
                yield frame

    def _fill(self) -> bool:
        space = socket.CMSG_SPACE(4 * _MAX_DESCRIPTORS)
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(_CHUNK, space, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._received_descriptors.extend(array.array("i", content[: len(content) & ~3]))
        if flags & socket.MSG_CTRUNC:
            raise ConnectionError("file descriptors were lost: raise the limit of open files (ulimit -n)")
        if not data:
            raise ConnectionError("the other end closed the connection")
        self._received += data
        return True

    def _take(self) -> Frame | None:
        if len(self._received) < _HEADER.size:
            return None
        length, count = _HEADER.unpack_from(self._received)
        if length > _MAX_PAYLOAD or count > _MAX_DESCRIPTORS:
            raise ConnectionError("the other end sent something that is no message")
        end = _HEADER.size + length
        if len(self._received) < end:
            return None
        if len(self._received_descriptors) < count:
            raise ConnectionError("the other end did not send the file descriptors that it announced")
        payload = bytes(self._received[_HEADER.size : end])
        del self._received[:end]
        return payload, [self._received_descriptors.popleft() for _ in range(count)]

    def close(self) -> None:
        """Close the socket and every descriptor still on the way."""
        self._socket.close()
        _close_all(self._received_descriptors)
        for _, descriptors in self._unsent:
            _close_all(descriptors)
        self._unsent.clear()


def _close_all(descriptors: deque[int] | list[int]) -> None:
    while descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptors.pop())
