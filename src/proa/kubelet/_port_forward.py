"""`kubectl port-forward`: connections to a pod's address, for clients that cannot reach it.

Three kinds of client: SPDY as API servers speak it (a pair of streams for each connection, one of them for
errors), the same within a WebSocket, which is what kubectl does, and WebSockets with two channels for each
port, which clients that are simpler do.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import WSMsgType, web

from proa.kubelet._channels import MAX_MESSAGE, open_session, run_session, wants_spdy
from proa.kubelet._racing import first_of
from proa.kubelet._spdy import Session, Stream

_PORT_FORWARD: Final = "portforward.k8s.io"
_TUNNEL: Final = "SPDY/3.1+portforward.k8s.io"
_CHANNELS: Final = "v4.channel.k8s.io"
_CHUNK: Final = 64 * 1024
_CONNECT_SECONDS: Final = 10.0


async def forward(request: web.Request, host: str) -> web.StreamResponse:
    """Answer a request for connections to ports of a host."""
    if wants_spdy(request):
        async with open_session(request, _PORT_FORWARD) as session:
            await _serve(session, host)
        return web.Response()
    socket = web.WebSocketResponse(protocols=(_TUNNEL, _CHANNELS), max_msg_size=MAX_MESSAGE)
    await socket.prepare(request)
    if socket.ws_protocol == _TUNNEL:
        async with run_session(Session(_messages(socket), socket.send_bytes)) as session:
            await _serve(session, host)
    else:
        await _serve_ports(socket, host, [int(port) for port in ports(request)])
    await socket.close()
    return socket


def ports(request: web.Request) -> list[str]:
    """The ports that a query names.

    Raises:
        aiohttp.web.HTTPBadRequest: One is no port.
    """
    named = [port for value in request.query.getall("ports", []) for port in value.split(",")]
    for port in named:
        if not (port.isdecimal() and 0 < int(port) < 65536):
            raise web.HTTPBadRequest(text=f"unable to parse {port!r} as a port\n")
    return named


async def _serve(session: Session, host: str) -> None:
    """Join pairs of streams with connections, until the client leaves."""
    waiting: dict[str, Stream] = {}
    async with asyncio.TaskGroup() as group:
        async for stream in session.streams():
            key = stream.headers.get("requestid") or stream.headers.get("port", "")
            if stream.headers.get("streamtype") == "error":
                waiting[key] = stream
            elif (errors := waiting.pop(key, None)) is not None:
                group.create_task(_join(session, stream, errors, host), name="port-forward")
            else:
                await session.reset(stream)


async def _join(session: Session, stream: Stream, errors: Stream, host: str) -> None:
    port = stream.headers.get("port", "")
    try:
        try:
            reader, writer = await _connect(host, port)
        except OSError as error:
            await errors.write(_refused(port, error).encode())
        else:
            await _copy(reader, writer, stream)
        await errors.close()
        await stream.close()
    except ConnectionError:
        pass  # The client has left.
    finally:
        session.forget(stream, errors)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stream: Stream) -> None:
    async def upwards() -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await stream.read():
                writer.write(chunk)
                await writer.drain()
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()
        await asyncio.Event().wait()  # A client that has said all still wants its answer.

    async def downwards() -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                await stream.write(chunk)

    try:
        await first_of(upwards(), downwards())
    finally:
        writer.close()


async def _serve_ports(socket: web.WebSocketResponse, host: str, wanted: list[int]) -> None:
    """Join two channels for each port: one for its data, one for errors; both begin with its number."""
    writers: dict[int, asyncio.StreamWriter] = {}

    async def serve(index: int, port: int) -> None:
        with contextlib.suppress(ConnectionError):  # The client has left.
            await carry(index, port)

    async def carry(index: int, port: int) -> None:
        try:
            for channel in (2 * index, 2 * index + 1):
                await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))
            reader, writers[2 * index] = await _connect(host, str(port))
            connected[index].set()
            while chunk := await reader.read(_CHUNK):
                await socket.send_bytes(bytes([2 * index]) + chunk)
        except OSError as error:
            await socket.send_bytes(bytes([2 * index + 1]) + _refused(str(port), error).encode())
        finally:
            connected[index].set()

    async def listen() -> None:
        async for message in socket:
            if message.type is WSMsgType.BINARY and len(message.data) > 1:
                channel = message.data[0]
                if channel % 2 == 0 and channel // 2 < len(wanted):
                    await connected[channel // 2].wait()
                    if (writer := writers.get(channel)) and not writer.is_closing():
                        with contextlib.suppress(ConnectionError):
                            writer.write(message.data[1:])
                            await writer.drain()

    connected = [asyncio.Event() for _ in wanted]

    async def serve_all() -> None:
        async with asyncio.TaskGroup() as group:
            for index, port in enumerate(wanted):
                group.create_task(serve(index, port))

    try:
        await first_of(serve_all(), listen())
    finally:
        for writer in writers.values():
            writer.close()


async def _connect(host: str, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if not port.isdecimal():
        raise OSError(f"{port!r} is no port")
    async with asyncio.timeout(_CONNECT_SECONDS):
        return await asyncio.open_connection(host, int(port))


def _refused(port: str, error: OSError) -> str:
    reason = error.strerror or str(error) or "it does not answer"
    return f"error forwarding port {port} to the pod: connection failed: {reason}"


async def _messages(socket: web.WebSocketResponse) -> AsyncIterator[bytes]:
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            yield message.data
