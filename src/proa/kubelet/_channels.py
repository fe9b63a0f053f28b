"""The connections of `exec`, `attach` and `port-forward`: WebSocket messages, or SPDY streams.

Over a WebSocket, `v4.channel.k8s.io` and `v5.channel.k8s.io` put a byte before each message that names its
channel; version 5 adds that a channel can be closed. API servers up to now speak SPDY to kubelets, with
`v4.remotecommand.k8s.io`: a stream for each channel. Both look the same to who uses `Channels`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol

from aiohttp import WSMsgType, web

from proa.kubelet._spdy import Session, SpdyError, Stream

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
REMOTE_COMMAND: Final = "v4.remotecommand.k8s.io"
SPDY: Final = "SPDY/3.1"
MAX_MESSAGE: Final = 4 * 1024 * 1024
_NAMES: Final = {"error": ERROR, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": RESIZE}
_OPENING_SECONDS: Final = 30.0
_MOST_CHUNKS: Final = 16


class Channels(Protocol):
    """The streams of one client."""

    async def send(self, channel: int, content: bytes) -> None:
        """Send; a client that has left is none of the sender's concern."""

    def receive(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what comes until the client leaves; `CLOSE` with a channel's number ends that channel."""


@contextlib.asynccontextmanager
async def open_channels(request: web.Request) -> AsyncIterator[Channels]:
    """Answer a request for streams by opening them; they are closed with the block.

    Raises:
        aiohttp.web.HTTPBadRequest: It asks for neither kind.
    """
    if wants_spdy(request):
        async with open_session(request, REMOTE_COMMAND) as session:
            yield await _SpdyChannels.gather(session, request.query)
        return
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=MAX_MESSAGE)
    await socket.prepare(request)
    try:
        yield _SocketChannels(socket)
    finally:
        await socket.close()


def wants(query: Mapping[str, str], name: str, short: str) -> bool:
    """Whether a stream is asked for: clients and API servers call it differently."""
    return any(query.get(key, "") in {"1", "true"} for key in (name, short))


def wants_spdy(request: web.Request) -> bool:
    """Whether a request is to become a connection of SPDY."""
    return request.headers.get("Upgrade", "").lower() == SPDY.lower()


class _SocketChannels:
    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def send(self, channel: int, content: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_bytes(bytes([channel]) + content)

    async def receive(self) -> AsyncIterator[tuple[int, bytes]]:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and message.data:
                yield message.data[0], message.data[1:]


class _SpdyChannels:
    def __init__(self, session: Session, streams: Mapping[int, Stream]) -> None:
        self._session = session
        self._streams = streams

    @classmethod
    async def gather(cls, session: Session, query: Mapping[str, str]) -> "_SpdyChannels":
        """Wait for the streams that the query asks for."""
        expected = {ERROR}
        names = {STDIN: ("stdin", "input"), STDOUT: ("stdout", "output"), STDERR: ("stderr", "error")}
        expected |= {channel for channel, (name, short) in names.items() if wants(query, name, short)}
        found: dict[int, Stream] = {}
        async with asyncio.timeout(_OPENING_SECONDS):
            async for stream in session.streams():
                channel = _NAMES.get(stream.headers.get("streamtype", ""))
                if channel is not None:
                    found[channel] = stream
                if expected <= found.keys():
                    break
        return cls(session, found)

    async def send(self, channel: int, content: bytes) -> None:
        if stream := self._streams.get(channel):
            with contextlib.suppress(ConnectionError):
                await stream.write(content)
                if channel == ERROR:
                    for one in self._streams.values():
                        await one.close()

    async def receive(self) -> AsyncIterator[tuple[int, bytes]]:
        if stream := self._streams.get(STDIN):
            while chunk := await stream.read():
                yield STDIN, chunk
            yield CLOSE, bytes([STDIN])
        await self._session.ended.wait()


@contextlib.asynccontextmanager
async def open_session(request: web.Request, protocol: str) -> AsyncIterator[Session]:
    """Turn a request's connection into one of SPDY; it is closed with the block."""
    offered = [
        name.strip()
        for line in request.headers.getall("X-Stream-Protocol-Version", [])
        for name in line.split(",")
    ]
    if protocol not in offered:
        raise web.HTTPForbidden(text=f"unable to upgrade: this server speaks {protocol} only\n")
    answer = web.StreamResponse(
        status=101, headers={"Connection": "Upgrade", "Upgrade": SPDY, "X-Stream-Protocol-Version": protocol}
    )
    await answer.prepare(request)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has left")
    source = _Source(transport)
    request.protocol.set_parser(source)  # type: ignore[arg-type]
    request.protocol.keep_alive(False)

    async def send(content: bytes) -> None:
        if transport.is_closing():
            raise ConnectionResetError("the client has left")
        transport.write(content)
        await request.protocol._drain_helper()  # noqa: SLF001 - what aiohttp's own writers wait for

    async with run_session(Session(source.chunks(), send)) as session:
        try:
            yield session
        finally:
            transport.close()


@contextlib.asynccontextmanager
async def run_session(session: Session) -> AsyncIterator[Session]:
    """Read a session until the block ends."""

    async def run() -> None:
        with contextlib.suppress(SpdyError, ConnectionError):
            await session.run()

    reading = asyncio.create_task(run(), name="SPDY session")
    try:
        yield session
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class _Source:
    """Takes the place of aiohttp's parser once the connection is no longer one of HTTP."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()

    def feed_data(self, content: bytes) -> tuple[bool, bytes]:
        self._chunks.put_nowait(bytes(content))
        if self._chunks.qsize() >= _MOST_CHUNKS:
            self._transport.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        self._chunks.put_nowait(b"")

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self._chunks.get():
            if not self._chunks.qsize() and not self._transport.is_closing():
                self._transport.resume_reading()
            yield chunk
