"""The Service proxy between real sockets: Services are made up, endpoints are hosts of the test's own."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import cast

import pytest

from proa.controlplane.network._proxy import ServiceProxy
from proa.controlplane.network._relay import without_pacing
from proa.controlplane.testing import eventually
from proa.kube.models.core_v1 import Event, Service, ServicePort, ServiceSpec
from proa.kube.models.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.testing import ScriptedTransport, answer, scripted_client
from proa.runtime import Recorder, Reflector
from proa.runtime.testing import FakeSource

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
POD_NETWORK, SERVICE_ADDRESS = "127.66.77", "127.67.77.1"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, address: str = SERVICE_ADDRESS) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """Services and EndpointSlices in memory, and a proxy that follows them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack
        self.services = FakeSource(Service)
        self.slices = FakeSource(EndpointSlice)
        self.events = ScriptedTransport(*[answer(Event()) for _ in range(9)])

    async def start(self) -> None:
        client = await self.stack.enter_async_context(scripted_client(self.events))
        recorder = await self.stack.enter_async_context(Recorder(client, "service-proxy"))
        services, slices = Reflector(self.services), Reflector(self.slices)
        await self.stack.enter_async_context(services)
        await self.stack.enter_async_context(slices)
        await self.stack.enter_async_context(ServiceProxy(services, slices, recorder))

    async def service(self, port: int, protocol: str = "TCP", **spec: object) -> None:
        ports = [ServicePort(port=port, protocol=protocol, node_port=spec.pop("node_port", None))]  # type: ignore[arg-type]
        values = {"cluster_ip": SERVICE_ADDRESS, "type": "ClusterIP", "ports": ports} | spec
        metadata = ObjectMeta(name="web", namespace="default")
        await self.services.put(Service(metadata=metadata, spec=ServiceSpec(**values)))  # type: ignore[arg-type]

    async def endpoints(self, *addresses: str, port: int, protocol: str = "TCP") -> None:
        labels = {"kubernetes.io/service-name": "web"}
        made = [Endpoint(addresses=[one], conditions=EndpointConditions(ready=True)) for one in addresses]
        await self.slices.put(
            EndpointSlice(
                metadata=ObjectMeta(name="web-1", namespace="default", labels=labels),
                address_type="IPv4",
                endpoints=made,
                ports=[EndpointPort(name="", port=port, protocol=protocol)],
            )
        )

    async def host(self, number: int, handler: Handler, port: int = 0) -> tuple[str, int]:
        """Start a host on a pod's address."""
        address = f"{POD_NETWORK}.{number}"
        server = await asyncio.start_server(handler, address, port)
        await self.stack.enter_async_context(server)
        return address, server.sockets[0].getsockname()[1]


@pytest.fixture
async def cluster(stack: AsyncExitStack) -> AsyncIterator[Cluster]:
    cluster = Cluster(stack)
    await cluster.start()
    yield cluster
    await stack.aclose()


def says(text: str) -> Handler:
    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode())
        writer.close()
        await writer.wait_closed()

    return handle


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def call(port: int, address: str = SERVICE_ADDRESS) -> str:
    """Return what is answered; "refused" and "reset" if nothing is."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return "refused"
    try:
        return (await reader.read()).decode()
    except ConnectionResetError:
        return "reset"
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_connections_reach_the_endpoints_in_turn(cluster: Cluster) -> None:
    _, port = await cluster.host(1, says("one"))
    await cluster.host(2, says("two"), port)
    front = free_port()
    await cluster.service(front)
    await cluster.endpoints(f"{POD_NETWORK}.1", f"{POD_NETWORK}.2", port=port)
    await eventually(lambda: call(front), lambda seen: seen != "refused")
    assert {await call(front), await call(front)} == {"one", "two"}


async def test_a_service_without_endpoints_refuses_until_there_is_one(cluster: Cluster) -> None:
    address, port = await cluster.host(1, says("one"))
    front = free_port()
    await cluster.service(front)
    await asyncio.sleep(0)
    assert await call(front) == "refused"
    await cluster.endpoints(address, port=port)
    await eventually(lambda: call(front), lambda seen: seen == "one")
    await cluster.slices.remove("web-1", "default")
    await eventually(lambda: call(front), lambda seen: seen == "refused")


async def test_a_removed_endpoint_keeps_its_connections_and_gets_no_new_ones(cluster: Cluster) -> None:
    old, port = await cluster.host(1, echo)
    new, _ = await cluster.host(2, says("new"), port)
    front = free_port()
    await cluster.service(front)
    await cluster.endpoints(old, port=port)
    await eventually(lambda: is_open(front), bool)
    reader, writer = await asyncio.open_connection(SERVICE_ADDRESS, front)
    writer.write(b"before ")
    assert await reader.read(7) == b"before "
    await cluster.endpoints(new, port=port)
    await eventually(lambda: greeting(front), lambda seen: seen == "new")
    writer.write(b"after")
    writer.write_eof()
    assert await reader.read() == b"after"
    writer.close()
    await writer.wait_closed()


async def is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(SERVICE_ADDRESS, port)
    except ConnectionRefusedError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def greeting(port: int) -> str:
    reader, writer = await asyncio.open_connection(SERVICE_ADDRESS, port)
    writer.write(b"x")
    seen = (await reader.read(3)).decode()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return seen


async def test_much_data_passes_both_ways_whole_with_a_slow_reader(cluster: Cluster) -> None:
    address, port = await cluster.host(1, echo)
    front = free_port()
    await cluster.service(front)
    await cluster.endpoints(address, port=port)
    await eventually(lambda: is_open(front), bool)
    reader, writer = await asyncio.open_connection(SERVICE_ADDRESS, front)
    sent = bytes(range(256)) * 4096 * 24  # 24 MiB: far more than all buffers on the way hold

    async def send() -> None:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    received = bytearray()
    while data := await reader.read(1 << 20):
        received += data
        await asyncio.sleep(0)
    await sending
    assert received == sent
    writer.close()
    await writer.wait_closed()


async def test_an_endpoint_that_refuses_is_passed_over(cluster: Cluster) -> None:
    address, port = await cluster.host(1, says("alive"))
    front = free_port()
    await cluster.service(front)
    await cluster.endpoints(f"{POD_NETWORK}.200", address, f"{POD_NETWORK}.201", port=port)
    await eventually(lambda: call(front), lambda seen: seen == "alive")
    assert [await call(front) for _ in range(5)] == ["alive"] * 5


async def test_a_connection_that_is_broken_off_is_broken_off_on_the_other_side(cluster: Cluster) -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")
        await writer.drain()
        await reader.read(1)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    address, port = await cluster.host(1, breaks)
    front = free_port()
    await cluster.service(front)
    await cluster.endpoints(address, port=port)
    await eventually(lambda: is_open(front), bool)
    reader, writer = await asyncio.open_connection(SERVICE_ADDRESS, front)
    assert await reader.readexactly(4) == b"half"
    writer.write(b"x")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_node_ports_are_served_on_loopback(cluster: Cluster) -> None:
    address, port = await cluster.host(1, says("one"))
    front, node_port = free_port(), free_port(address="127.0.0.1")
    await cluster.service(front, type="NodePort", node_port=node_port)
    await cluster.endpoints(address, port=port)
    await eventually(lambda: call(node_port, "127.0.0.1"), lambda seen: seen == "one")


async def test_with_affinity_a_client_stays_with_its_endpoint(cluster: Cluster) -> None:
    _, port = await cluster.host(1, says("one"))
    await cluster.host(2, says("two"), port)
    front = free_port()
    await cluster.service(front, session_affinity="ClientIP")
    await cluster.endpoints(f"{POD_NETWORK}.1", f"{POD_NETWORK}.2", port=port)
    first = await eventually(lambda: call(front), lambda seen: seen != "refused")
    assert {await call(front) for _ in range(4)} == {first}


async def test_a_port_that_is_taken_is_told_as_an_event_and_the_others_work(cluster: Cluster) -> None:
    front = free_port()
    taken = await asyncio.start_server(says("mine"), SERVICE_ADDRESS, front)
    async with taken:
        await cluster.service(front)
        await cluster.endpoints(f"{POD_NETWORK}.1", port=1)

        async def told() -> str:
            return " ".join(str(request) for request in cluster.events.requests)

        await eventually(told, lambda seen: "PortNotServed" in seen and "in use" in seen)


class Echo(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self.transport.sendto(self.name.encode() + data, addr)


class Heard(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.data: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self.data.put_nowait(data)


async def test_datagrams_reach_an_endpoint_and_its_answers_come_back(cluster: Cluster) -> None:
    loop = asyncio.get_running_loop()
    one, _ = await loop.create_datagram_endpoint(lambda: Echo("one"), (f"{POD_NETWORK}.1", 0))
    port = one.get_extra_info("sockname")[1]
    two, _ = await loop.create_datagram_endpoint(lambda: Echo("two"), (f"{POD_NETWORK}.2", port))
    front = free_port(socket.SOCK_DGRAM)
    await cluster.service(front, "UDP")
    await cluster.endpoints(f"{POD_NETWORK}.1", port=port, protocol="UDP")
    client, heard = await loop.create_datagram_endpoint(Heard, remote_addr=(SERVICE_ADDRESS, front))

    async def ask() -> bytes:
        client.sendto(b"?")
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                return await heard.data.get()
        return b""

    await eventually(ask, lambda seen: seen == b"one?")
    await cluster.endpoints(f"{POD_NETWORK}.2", port=port, protocol="UDP")
    await eventually(ask, lambda seen: seen == b"two?")
    for transport in (one, two, client):
        transport.close()
    await asyncio.sleep(0)


def test_connections_over_loopback_are_not_paced_on_either_side() -> None:
    with socket.socket() as listener, socket.socket() as client:
        for one in (listener, client):
            without_pacing(one)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            used = [
                one.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16) for one in (client, accepted)
            ]
    assert [one.rstrip(b"\0") for one in used] == [b"reno", b"reno"]
