"""Controllers and scheduler outlive the API server's restart, and do what they missed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from proa.controlplane import ApiServer, ApiServerSettings
from proa.controlplane.controllers import ControllerManager
from proa.controlplane.scheduler import Scheduler
from proa.kube import Api, Client, Config, Merge
from proa.kube.models import Quantity
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec
from proa.kube.models.core_v1 import Container, Node, NodeCondition, NodeStatus, Pod, PodSpec, PodTemplateSpec
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta
from proa.runtime import Apply, Delete, InitApply, watcher


async def until_placed(client: Client, count: int) -> None:
    """Wait until exactly that many pods live, all on a node."""
    placed: dict[str | None, str | None] = {}
    async with asyncio.timeout(90), aclosing(watcher(Api(client, Pod))) as events:
        async for event in events:
            match event:
                case InitApply(pod) | Apply(pod) if pod.metadata.deletion_timestamp is None:
                    placed[pod.metadata.name] = pod.spec.node_name
                case Apply(pod) | Delete(pod):
                    placed.pop(pod.metadata.name, None)
            if len(placed) == count and all(placed.values()):
                return


def web() -> Deployment:
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": "web"}),
        spec=PodSpec(containers=[Container(name="main", image="hello:1")]),
    )
    selector = LabelSelector(match_labels={"app": "web"})
    spec = DeploymentSpec(replicas=2, selector=selector, template=template)
    return Deployment(metadata=ObjectMeta(name="web"), spec=spec)


async def test_what_changed_while_the_server_was_away_is_done_when_it_is_back(tmp_path: Path) -> None:
    async with AsyncExitStack() as parts:
        async with ApiServer(ApiServerSettings(data_dir=tmp_path, port=0)) as server:
            config, port = Config.from_kubeconfig(server.kubeconfig), server.port
            client = await parts.enter_async_context(Client(config))
            await parts.enter_async_context(ControllerManager(client))
            await parts.enter_async_context(Scheduler(client))
            room = {"cpu": Quantity("8"), "memory": Quantity("8Gi"), "pods": Quantity("110")}
            node = await Api(client, Node).create(Node(metadata=ObjectMeta(name="node-1")))
            ready = [NodeCondition(type="Ready", status="True")]
            node.status = NodeStatus(allocatable=room, conditions=ready)
            await Api(client, Node).replace_status(node)
            await Api(client, Deployment, namespace="default").create(web())
            await until_placed(client, 2)
        async with ApiServer(ApiServerSettings(data_dir=tmp_path, port=port)):
            await Api(client, Deployment, namespace="default").patch("web", Merge({"spec": {"replicas": 5}}))
            await until_placed(client, 5)
            await parts.aclose()  # while the server is there: what is under way need not time out
