"""The control plane's loops: a Deployment of 1,000, pods scheduled a second, and the Service proxy's cost."""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import uvloop

from bench._table import percentile, show
from bench.pods import push
from bench.sandboxes import SLEEPER
from proa.cli.testing import up
from proa.controlplane.controllers import ControllerManager
from proa.controlplane.network._balancer import Balancer
from proa.controlplane.network._routes import Backend, Frontend, Route
from proa.controlplane.network._tcp import TcpListener
from proa.controlplane.scheduler import Scheduler
from proa.controlplane.testing import api_server
from proa.kube import Api, Bookmark, Client, Config
from proa.kube.models import Quantity
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec
from proa.kube.models.core_v1 import Container, Node, NodeCondition, NodeStatus, Pod, PodSpec, PodTemplateSpec
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta
from proa.wasm.testing import compile_c

REPLICAS = 1000
NODES = 10
MEGABYTES = 2000
PIECE = 1 << 18
ROUNDS = 3000
FRONT = Frontend("TCP", "127.67.255.1", 18080)
BACK = "127.66.255.1"


def main() -> None:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    rollout, scheduled, whole = (asyncio.run(one()) for one in (_replicas, _scheduled, _whole))
    direct, proxied = asyncio.run(_proxy())
    show(
        f"Controllers and scheduler ({NODES} nodes, everything in one process)",
        ("what", "figure"),
        [
            (f"{REPLICAS} replicas, apply to all created and bound", f"{rollout:.1f} s"),
            (f"{REPLICAS} replicas on `proa up`, apply to all ready", f"{whole:.1f} s"),
            ("pods scheduled and bound", f"{scheduled:,.0f}/s"),
        ],
    )
    show(
        "Service proxy beside a direct loopback connection",
        ("connection", "throughput", "round trip p50", "p99"),
        [("direct", *_row(direct)), ("proxied", *_row(proxied))],
    )


def _row(measured: tuple[float, list[float]]) -> tuple[str, str, str]:
    rate, latencies = measured
    p50, p99 = percentile(latencies, 0.5), percentile(latencies, 0.99)
    return f"{rate / 1e6:,.0f} MB/s", f"{p50 * 1e6:.0f} µs", f"{p99 * 1e6:.0f} µs"


async def _replicas() -> float:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = await stack.enter_async_context(api_server(Path(folder)))
        client = await stack.enter_async_context(Client(Config.from_kubeconfig(server.kubeconfig)))
        for number in range(NODES):
            await _add_node(client, f"n{number}")
        await stack.enter_async_context(ControllerManager(client))
        deployments = Api(client, Deployment, namespace="default")
        async with Scheduler(client):
            began = time.perf_counter()
            await deployments.create(_deployment("both"))
            await _until_bound(client, REPLICAS)
            rollout = time.perf_counter() - began
    return rollout


async def _scheduled() -> float:
    """Bind pods that are there already, with nothing else in the cluster."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = await stack.enter_async_context(api_server(Path(folder)))
        client = await stack.enter_async_context(Client(Config.from_kubeconfig(server.kubeconfig)))
        for number in range(NODES):
            await _add_node(client, f"n{number}")
        pods, turns = Api(client, Pod, namespace="default"), asyncio.Semaphore(64)
        spec = _deployment("one").spec.template.spec

        async def create(number: int) -> None:
            async with turns:
                await pods.create(Pod(metadata=ObjectMeta(name=f"p{number}"), spec=spec))

        await asyncio.gather(*(create(number) for number in range(REPLICAS)))
        began = time.perf_counter()
        async with Scheduler(client):
            await _until_bound(client, REPLICAS)
            return REPLICAS / (time.perf_counter() - began)


async def _whole() -> float:
    """Seconds from a Deployment of sleepers to all of them running, on a whole cluster (`proa up`)."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder, up(Path(folder) / "state") as cluster:
        wanted = _deployment("sleepers")
        wanted.spec.template.spec.containers[0].image = push(cluster.registry, compile_c(SLEEPER))
        async with Client(Config.from_kubeconfig(cluster.kubeconfig)) as client:
            deployments = Api(client, Deployment, namespace="default")
            began = time.perf_counter()
            await deployments.create(wanted)
            async with asyncio.timeout(300), aclosing(deployments.watch("")) as events:
                async for event in events:
                    if not isinstance(event, Bookmark) and event.object.status.ready_replicas == REPLICAS:
                        break
            return time.perf_counter() - began


async def _add_node(client: Client, name: str) -> None:
    nodes = Api(client, Node)
    node = await nodes.create(Node(metadata=ObjectMeta(name=name)))
    room = {"cpu": Quantity("64"), "memory": Quantity("256Gi"), "pods": Quantity("1000")}
    node.status = NodeStatus(allocatable=room, conditions=[NodeCondition(type="Ready", status="True")])
    await nodes.replace_status(node)


def _deployment(name: str) -> Deployment:
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": name}),
        spec=PodSpec(containers=[Container(name="main", image="hello:1")]),
    )
    selector = LabelSelector(match_labels={"app": name})
    spec = DeploymentSpec(replicas=REPLICAS, selector=selector, template=template)
    return Deployment(metadata=ObjectMeta(name=name), spec=spec)


async def _until_bound(client: Client, count: int) -> None:
    pods = Api(client, Pod, namespace="default")
    seen = set()
    async with asyncio.timeout(300), aclosing(pods.watch("")) as events:
        async for event in events:
            if isinstance(event, Bookmark):
                continue
            if event.object.spec.node_name:
                seen.add(event.object.metadata.uid)
            if len(seen) == count:
                return


async def _proxy() -> tuple[tuple[float, list[float]], tuple[float, list[float]]]:
    """Measure a direct connection and a proxied one to the same host, a process of its own."""
    host = await asyncio.create_subprocess_exec("python3", "-c", _HOST, BACK, stdout=asyncio.subprocess.PIPE)
    assert host.stdout is not None
    port = int(await host.stdout.readline())
    listener = TcpListener(FRONT, Balancer(Route((Backend(BACK, port),))))
    try:
        results = []
        for address in ((BACK, port), (FRONT.address, FRONT.port)):
            rate = await _client("throughput", *address)
            latencies = await _client("latency", *address)
            results.append((rate[0], latencies))
        return results[0], results[1]
    finally:
        listener.close()
        await listener.drain(0)
        host.kill()
        await host.wait()


async def _client(what: str, address: str, port: int) -> list[float]:
    """Run the measuring side in a process of its own, so that it does not share the proxy's."""
    process = await asyncio.create_subprocess_exec(
        "python3",
        "-c",
        _CLIENT,
        what,
        address,
        str(port),
        str(MEGABYTES * 1_000_000 if what == "throughput" else ROUNDS),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return [float(number) for number in output.split()]


_HOST = f"""
import socket, sys, threading
server = socket.create_server((sys.argv[1], 0))
print(server.getsockname()[1], flush=True)
def serve(one):
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    kind = one.recv(1)
    if kind == b"t":
        left, piece = int(one.recv(32).decode()), bytes({PIECE})
        while left > 0:
            left -= one.send(piece[:left])
    else:
        while data := one.recv(64):
            one.sendall(data)
    one.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

_CLIENT = f"""
import socket, sys, time
what, address, port, amount = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
one = socket.create_connection((address, port))
one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
if what == "throughput":
    one.sendall(b"t")
    time.sleep(0.05)
    buffer, got = bytearray({PIECE}), 0
    began = time.perf_counter()
    one.sendall(str(amount).encode())
    while got < amount:
        got += one.recv_into(buffer)
    print(got / (time.perf_counter() - began))
else:
    one.sendall(b"l")
    for _ in range(amount):
        began = time.perf_counter()
        one.sendall(b"x" * 32)
        one.recv(64)
        print(time.perf_counter() - began)
"""
