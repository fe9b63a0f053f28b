"""The control plane's loops: a Deployment of 1,000, pods scheduled a second, and the Service proxy's cost."""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import uvloop

from bench import service_proxy
from bench._table import show
from bench.pods import push
from bench.sandboxes import SLEEPER
from proa.cli.testing import up
from proa.controlplane.controllers import ControllerManager
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


def main() -> None:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    rollout, scheduled, whole = (asyncio.run(one()) for one in (_replicas, _scheduled, _whole))
    show(
        f"Controllers and scheduler ({NODES} nodes, everything in one process)",
        ("what", "figure"),
        [
            (f"{REPLICAS} replicas, apply to all created and bound", f"{rollout:.1f} s"),
            (f"{REPLICAS} replicas on `proa up`, apply to all ready", f"{whole:.1f} s"),
            ("pods scheduled and bound", f"{scheduled:,.0f}/s"),
        ],
    )
    service_proxy.main()


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
