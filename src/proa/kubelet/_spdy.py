"""SPDY/3.1, as far as Kubernetes uses it for `exec`, `attach` and `port-forward`: streams of a connection.

API servers speak it to kubelets, and kubectl speaks it through WebSockets (KEP-4006). There is no flow
control but the connection's own: neither side of Kubernetes sends or heeds window updates.

The specification is https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/.
"""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Final, NamedTuple

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS = 1, 2, 3, 4, 6, 7, 8
FIN: Final = 1
_VERSION: Final = 0x8003
_PROTOCOL_ERROR, _CANCEL = 1, 5
_MOST_HEADERS: Final = 64 * 1024
_MOST_STREAMS: Final = 1000
_LARGEST_FRAME: Final = 1 << 24
_LARGEST_DATA: Final = 32 * 1024
_BUFFER: Final = 1 << 20

# What the specification primes the compression of headers with: words after their lengths, then plain text.
_WORDS: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges "
    "age allow authorization cache-control connection content-base content-encoding content-language "
    "content-length content-location content-md5 content-range content-type date etag expect expires from "
    "host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location "
    "max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer "
    "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version "
    "HTTP/1.1 url public set-cookie keep-alive origin"
)
_TEXT: Final = (
    "1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045"
    "05203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
_ENTRIES: Final = (word.replace("_", " ").encode() for word in _WORDS.split())
DICTIONARY: Final = b"".join(struct.pack(">I", len(word)) + word for word in _ENTRIES) + _TEXT.encode()


class SpdyError(Exception):
    """The other side does not speak the protocol."""


class Frame(NamedTuple):
    """One frame: of data if `kind` is 0, else of control; `stream` is that of data only."""

    kind: int
    flags: int
    stream: int
    content: bytes


class Frames:
    """Bytes as they come in, to frames. Pure."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete now; raises SpdyError."""
        self._buffer += chunk
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            length = second & (_LARGEST_FRAME - 1)
            if len(self._buffer) < 8 + length:
                if length > _BUFFER:
                    raise SpdyError(f"a frame of {length} bytes is too large")
                return
            content = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if not first >> 31:
                yield Frame(0, second >> 24, first, content)
            elif first >> 16 == _VERSION:
                yield Frame(first & 0xFFFF, second >> 24, 0, content)
            else:
                raise SpdyError("this is no frame of SPDY/3")


def control(kind: int, flags: int, content: bytes) -> bytes:
    """Make a control frame."""
    return struct.pack(">HHI", _VERSION, kind, flags << 24 | len(content)) + content


def data(stream: int, flags: int, content: bytes) -> bytes:
    """Make a data frame."""
    return struct.pack(">II", stream, flags << 24 | len(content)) + content


def pack_headers(headers: Mapping[str, str]) -> bytes:
    """Lay headers out, before compression."""
    parts = [struct.pack(">I", len(headers))]
    for text in (text for pair in headers.items() for text in pair):
        parts += [struct.pack(">I", len(text.encode())), text.encode()]
    return b"".join(parts)


def unpack_headers(block: bytes) -> dict[str, str]:
    """Read headers, after decompression; names in lower case. Raises SpdyError."""
    try:
        texts, place = [], 4
        for _ in range(2 * struct.unpack_from(">I", block)[0]):
            end = place + 4 + struct.unpack_from(">I", block, place)[0]
            if end > len(block):
                raise SpdyError("headers are cut off")
            texts.append(block[place + 4 : end].decode("utf-8", "replace"))
            place = end
    except struct.error as error:
        raise SpdyError("headers are cut off") from error
    return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}


class Stream:
    """One stream of a session; the client has opened it."""

    def __init__(self, session: "Session", number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self._session = session
        self._chunks: list[bytes] = []
        self._at_end = False
        self._changed = asyncio.Condition()

    async def read(self) -> bytes:
        """Return what has come; empty at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._chunks or self._at_end)
            chunks, self._chunks = self._chunks, []
            self._changed.notify_all()
        return b"".join(chunks)

    async def write(self, content: bytes) -> None:
        """Send; waits while the connection is full."""
        for start in range(0, len(content), _LARGEST_DATA):
            await self._session.send(data(self.number, 0, content[start : start + _LARGEST_DATA]))

    async def close(self) -> None:
        """Send nothing more."""
        await self._session.send(data(self.number, FIN, b""))

    async def take(self, content: bytes, *, last: bool) -> None:
        """Take in what has come; holds the connection back while nobody reads."""
        async with self._changed:
            await self._changed.wait_for(lambda: sum(map(len, self._chunks)) < _BUFFER or self._at_end)
            if content:
                self._chunks.append(content)
            self._at_end = self._at_end or last
            self._changed.notify_all()


class Session:
    """The server's side of a connection. `run` reads it; `streams` yields what the client opens.

    Args:
        source: What comes in; ends when the client leaves.
        send: Sends, and waits while the connection is full; raises ConnectionError when it is gone.
    """

    def __init__(self, source: AsyncIterator[bytes], send: Callable[[bytes], Awaitable[None]]) -> None:
        self.send = send
        self.ended = asyncio.Event()
        self._source = source
        self._streams: dict[int, Stream] = {}
        self._opened: asyncio.Queue[Stream | None] = asyncio.Queue()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    async def run(self) -> None:
        """Read until the client leaves; streams have ended then.

        Raises:
            SpdyError: The client does not keep to the protocol.
        """
        frames = Frames()
        try:
            async for chunk in self._source:
                for frame in frames.feed(chunk):
                    await self._take(frame)
        except (zlib.error, struct.error) as error:
            raise SpdyError(f"a frame cannot be read: {error}") from error
        finally:
            self.ended.set()
            self._opened.put_nowait(None)
            for stream in self._streams.values():
                await stream.take(b"", last=True)

    async def streams(self) -> AsyncIterator[Stream]:
        """Yield streams as they are opened, until the client leaves."""
        while (stream := await self._opened.get()) is not None:
            yield stream

    def forget(self, *streams: Stream) -> None:
        """Both sides are done with these streams."""
        for stream in streams:
            self._streams.pop(stream.number, None)

    async def reset(self, stream: Stream) -> None:
        """Refuse a stream."""
        self.forget(stream)
        await self.send(control(RST_STREAM, 0, struct.pack(">II", stream.number, _CANCEL)))

    async def _take(self, frame: Frame) -> None:
        match frame.kind:
            case 0:
                if stream := self._streams.get(frame.stream):
                    await stream.take(frame.content, last=bool(frame.flags & FIN))
            case 1:
                await self._open(frame)
            case 3:
                number, _ = struct.unpack(">II", frame.content[:8])
                if stream := self._streams.get(number):
                    await stream.take(b"", last=True)
            case 6:
                await self.send(control(PING, 0, frame.content))
            case 8:
                self._headers(frame.content[4:])  # The compression goes on from frame to frame.

    async def _open(self, frame: Frame) -> None:
        number = struct.unpack_from(">I", frame.content)[0] & 0x7FFF_FFFF
        headers = self._headers(frame.content[10:])
        if len(self._streams) >= _MOST_STREAMS or number in self._streams:
            await self.send(control(RST_STREAM, 0, struct.pack(">II", number, _PROTOCOL_ERROR)))
            return
        stream = self._streams[number] = Stream(self, number, headers)
        if frame.flags & FIN:
            await stream.take(b"", last=True)
        block = self._deflate.compress(pack_headers({})) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self.send(control(SYN_REPLY, 0, struct.pack(">I", number) + block))
        self._opened.put_nowait(stream)

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, _MOST_HEADERS)
        if self._inflate.unconsumed_tail:
            raise SpdyError("headers are too long")
        return unpack_headers(plain)
