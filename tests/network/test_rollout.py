"""A Deployment behind a Service, rolled to another version while clients never stop asking."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proa.app import http
from proa.controlplane import Network
from proa.controlplane.controllers import ControllerManager
from proa.controlplane.testing import api_server, eventually
from proa.kube import Api, Client, Config, ConflictError, Merge, NotFoundError, Strategic
from proa.kube.models import now
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec
from proa.kube.models.core_v1 import (
    Container,
    ContainerPort,
    Pod,
    PodSpec,
    PodTemplateSpec,
    Service,
    ServicePort,
    ServiceSpec,
)
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta
from proa.runtime import Action, Controller, ObjectRef

PORT = 18181
LABELS = {"app": "web"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        api_server(tmp_path) as server,
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
        ControllerManager(client),
    ):
        yield client


class Servers:
    """Runs every pod as an HTTP server of its own address, which tells the version of its image.

    As a kubelet and a server guest do, it serves before it is ready, and when it is told to end it serves
    on until nobody has asked for a while: what is under way is answered, and the routes have time to change.
    """

    def __init__(self, client: Client) -> None:
        self._api = Api(client, Pod)
        self._stacks: dict[str, AsyncExitStack] = {}
        self._asked: dict[str, float] = {}
        self.controller = Controller(self._api, self.reconcile, name="servers")

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Start a pod's server, or end it."""
        pod = self.controller.store.find(ref)
        if pod is None:
            return Action.await_change()
        uid = pod.metadata.uid or ""
        with suppress(NotFoundError, ConflictError):
            if pod.metadata.deletion_timestamp is None:
                if uid not in self._stacks:
                    await self._start(pod, uid)
                return Action.await_change()
            if asyncio.get_running_loop().time() - self._asked.get(uid, 0) < 0.5:
                return Action.requeue(0.1)
            await self._stacks.pop(uid, AsyncExitStack()).aclose()
            await self._api.delete(ref.name, grace_period=0, uid=pod.metadata.uid, namespace=ref.namespace)
        return Action.await_change()

    async def _start(self, pod: Pod, uid: str) -> None:
        async def tell(_: web.Request) -> web.Response:
            self._asked[uid] = asyncio.get_running_loop().time()
            await asyncio.sleep(0.01)
            return web.Response(text=pod.spec.containers[0].image)

        address = f"127.66.200.{len(self._asked) % 250 + 1}"
        self._asked[uid] = 0
        application = web.Application()
        application.router.add_get("/", tell)
        stack = self._stacks[uid] = AsyncExitStack()
        await stack.enter_async_context(http.listen(application, host=address, port=PORT))
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now()}
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
        await self._api.patch_status(
            pod.metadata.name or "", Strategic({"status": status}), namespace=pod.metadata.namespace
        )

    async def close(self) -> None:
        """End all servers."""
        for stack in self._stacks.values():
            await stack.aclose()


def deployment() -> Deployment:
    container = Container(name="main", image="1", ports=[ContainerPort(container_port=PORT)])
    template = PodTemplateSpec(metadata=ObjectMeta(labels=LABELS), spec=PodSpec(containers=[container]))
    spec = DeploymentSpec(replicas=3, selector=LabelSelector(match_labels=LABELS), template=template)
    return Deployment(metadata=ObjectMeta(name="web"), spec=spec)


async def ask(url: str, answers: Counter[str], stop: asyncio.Event) -> None:
    """Ask again and again, each time with a connection of its own."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        while not stop.is_set():
            try:
                async with session.get(url) as answer:
                    answers[f"{answer.status} {await answer.text()}"] += 1
            except aiohttp.ClientError as error:
                answers[repr(error)] += 1


async def test_rolling_to_another_version_fails_no_request(client: Client) -> None:
    servers = Servers(client)
    deployments = Api(client, Deployment, namespace="default")
    answers: Counter[str] = Counter()
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(Network(client))
        stack.push_async_callback(servers.close)
        await stack.enter_async_context(servers.controller)
        made = await Api(client, Service, namespace="default").create(
            Service(
                metadata=ObjectMeta(name="web"),
                spec=ServiceSpec(selector=LABELS, ports=[ServicePort(port=PORT, target_port=PORT)]),
            )
        )
        await deployments.create(deployment())
        await eventually(lambda: deployments.get("web"), lambda one: one.status.ready_replicas == 3)
        url = f"http://{made.spec.cluster_ip}:{PORT}/"

        async def answered() -> bool:
            try:
                async with aiohttp.ClientSession() as session, session.get(url) as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(answered, bool)
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(ask(url, answers, stop))
            await eventually(lambda: asyncio.sleep(0, answers["200 1"]), lambda count: count > 100)
            change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "2"}]}}}}
            await deployments.patch("web", Merge(change))
            await eventually(
                lambda: deployments.get("web"),
                lambda one: (
                    one.status.updated_replicas == one.status.available_replicas == 3
                    and one.status.replicas == 3
                ),
                timeout=60,
            )
            before = answers["200 2"]
            await eventually(lambda: asyncio.sleep(0, answers["200 2"]), lambda count: count > before + 100)
            stop.set()
        assert network.ingress.port
    assert set(answers) == {"200 1", "200 2"}, answers
