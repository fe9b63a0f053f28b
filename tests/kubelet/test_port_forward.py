"""Connections to a pod's address: by kubectl, by Proa's client, and by SPDY as API servers speak it."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from proa.kube import Api, TransportError, _tls
from proa.kube.models.core_v1 import Pod
from proa.kubelet import _spdy
from proa.kubelet._spdy import DICTIONARY, Frame, Frames, Session, SpdyError, control, data, pack_headers

Cluster = Any


@asynccontextmanager
async def echo_at(host: str) -> AsyncIterator[int]:
    """A server that says back what it hears, in the place of a pod's: guests cannot listen yet."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def running(node: Cluster) -> Pod:
    await node.run("forever", "")
    found = await node.until_phase("Running")
    assert isinstance(found, Pod)
    return found


async def test_kubectl_forwards_connections_one_after_the_other(node: Cluster, kubectl: Any) -> None:
    pod = await running(node)
    async with (
        echo_at(pod.status.pod_ip or "") as port,
        kubectl(node, "port-forward", "pod", f":{port}") as process,
    ):
        line = (await process.stdout.readline()).decode()
        assert line.startswith("Forwarding from 127.0.0.1:"), line
        local = int(line.split()[2].rpartition(":")[2])
        for text in (b"first", b"second" * 100_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            writer.write(text)
            writer.write_eof()
            assert await reader.read(-1) == text
            writer.close()


async def test_kubectl_says_that_nobody_listens(node: Cluster, kubectl: Any) -> None:
    await running(node)
    async with kubectl(node, "port-forward", "pod", ":9") as process:
        local = int((await process.stdout.readline()).split()[2].rpartition(b":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", local)
        writer.write(b"x")
        assert await reader.read(-1) == b""
        writer.close()
        while b"connection failed" not in (line := await process.stderr.readline()):
            assert line


async def test_proas_own_client_forwards(node: Cluster) -> None:
    pod = await running(node)
    pods = Api(node.client, Pod, namespace="default")
    async with echo_at(pod.status.pod_ip or "") as port, pods.port_forward("pod", port) as connection:
        await connection.write(b"hello")
        assert await connection.read() == b"hello"
    async with pods.port_forward("pod", 9) as connection:
        with pytest.raises(TransportError, match="connection failed"):
            await connection.read()


class Client:
    """A client of SPDY, as an API server is one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._frames, self._pending = Frames(), list[Frame]()
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def open(self, number: int, **headers: str) -> None:
        block = self._deflate.compress(pack_headers(headers)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self._writer.write(control(_spdy.SYN_STREAM, 0, struct.pack(">IIH", number, 0, 0) + block))

    def send(self, number: int, content: bytes, flags: int = 0) -> None:
        self._writer.write(data(number, flags, content))

    async def until(self, number: int) -> bytes:
        """All that comes on a stream."""
        content = b""
        while True:
            while not self._pending:
                self._pending += self._frames.feed(await self._reader.read(65536))
            frame = self._pending.pop(0)
            if (frame.kind, frame.stream) == (0, number):
                content += frame.content
                if frame.flags & _spdy.FIN:
                    return content


@asynccontextmanager
async def spdy(node: Cluster, kubelet: Any, path: str, protocol: str) -> AsyncIterator[Client]:
    # The kubelet's own certificate is of no CA.
    context = _tls.ssl_context(replace(node.client.config, insecure_skip_tls_verify=True, ca_data=None))
    reader, writer = await asyncio.open_connection("127.0.0.1", kubelet.port, ssl=context)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    writer.write(f"{head}X-Stream-Protocol-Version: {protocol}\r\nContent-Length: 0\r\n\r\n".encode())
    try:
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        yield Client(reader, writer)
    finally:
        writer.close()


async def test_api_servers_forward_by_spdy(cluster: Cluster) -> None:
    async with cluster.kubelet() as kubelet:
        pod = await running(cluster)
        async with (
            echo_at(pod.status.pod_ip or "") as port,
            spdy(cluster, kubelet, "/portForward/default/pod", "portforward.k8s.io") as client,
        ):
            for first in (1, 5):
                for number, kind in ((first, "error"), (first + 2, "data")):
                    client.open(number, streamtype=kind, port=str(port), requestid=str(first))
                client.send(first + 2, b"hello", _spdy.FIN)
                assert await client.until(first + 2) == b"hello"


async def test_api_servers_run_commands_by_spdy(cluster: Cluster) -> None:
    async with cluster.kubelet() as kubelet:
        await running(cluster)
        path = "/exec/default/pod/main?command=guest&command=echo&command=&input=1&output=1"
        async with spdy(cluster, kubelet, path, "v4.remotecommand.k8s.io") as client:
            for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout")):
                client.open(number, streamtype=kind)
            client.send(3, b"hello")
            client.send(3, b"", _spdy.FIN)
            assert await client.until(5) == b"hello"


async def test_api_servers_attach_by_spdy(cluster: Cluster) -> None:
    async with cluster.kubelet() as kubelet:
        await cluster.run("echo", "", stdin=True, stdin_once=True)
        await cluster.until_phase("Running")
        path = "/attach/default/pod/main?input=1&output=1"
        async with spdy(cluster, kubelet, path, "v4.remotecommand.k8s.io") as client:
            for number, kind in ((1, "error"), (3, "stdin"), (5, "stdout")):
                client.open(number, streamtype=kind)
            client.send(3, b"hello\n")
            client.send(3, b"", _spdy.FIN)
            assert await client.until(5) == b"hello\n"
        # With stdinOnce, the end of the first one's input is the guest's.
        await cluster.until_phase("Succeeded")


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x80\x03\x00\x01\xff\xff\xff\xff",
        control(_spdy.SYN_STREAM, 0, b"\0" * 4),
        control(_spdy.SYN_STREAM, 0, b"\0" * 10 + b"garbage"),
        control(_spdy.SYN_STREAM, 0, b"\0" * 10 + zlib.compress(b"\0\0\0\1\xff\xff\xff\xff")),
    ],
)
async def test_what_is_no_spdy_ends_the_session(garbage: bytes) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield garbage
        yield b"\0" * 64

    async def send(_: bytes) -> None:
        pass

    session = Session(source(), send)
    with pytest.raises(SpdyError):
        await session.run()
    assert [stream async for stream in session.streams()] == []
