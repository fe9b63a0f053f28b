"""StatefulSets, DaemonSets and Jobs, on nodes that fall silent and vanish, run by parts that crash.

A seed that fails is repeated by the command in its message; many run with
`python -m proa.runtime.testing tests/controllers/test_workload_simulation.py:WORKLOADS --seeds 2000`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from proa.app.testing import capture_logs
from proa.controlplane.controllers import _daemonset, _eviction, _job, _nodes, _statefulset
from proa.controlplane.controllers._daemonset import DaemonSetController
from proa.controlplane.controllers._eviction import TaintEvictionController
from proa.controlplane.controllers._job import JobController
from proa.controlplane.controllers._nodes import LEASES, NodeController, PodCollector
from proa.controlplane.controllers._pods import is_ready
from proa.controlplane.controllers._statefulset import StatefulSetController
from proa.controlplane.scheduler import Scheduler
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, KubeError, Merge, NotFoundError
from proa.kube.models import Quantity
from proa.kube.models.apps_v1 import (
    ControllerRevision,
    DaemonSet,
    DaemonSetSpec,
    DaemonSetUpdateStrategy,
    StatefulSet,
    StatefulSetSpec,
    StatefulSetUpdateStrategy,
)
from proa.kube.models.batch_v1 import Job, JobSpec
from proa.kube.models.coordination_v1 import Lease
from proa.kube.models.core_v1 import (
    Container,
    Node,
    NodeCondition,
    NodeStatus,
    PersistentVolumeClaim,
    Pod,
    PodSpec,
    PodTemplateSpec,
    ResourceRequirements,
    Toleration,
)
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector, background
from proa.runtime.testing import MemoryServer, Scenario, SimulationError, World, crashing, simulate

NODES = ("node-1", "node-2", "node-3")
SILENT = "testing.proa.dev/silent-until"
ROOM = Quantity("8")
"""Processors of each node; a pod asks for one, and two nodes have room for all."""
RENEWAL = 10.0


def now() -> datetime:
    """The calendar of a world in which time passes as it is waited for."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=asyncio.get_running_loop().time())


@asynccontextmanager
async def controllers(client: Client) -> AsyncIterator[None]:
    """The controllers of these kinds, and those of nodes."""
    async with AsyncExitStack() as stack:
        for module in (_daemonset, _eviction, _job, _nodes, _statefulset):
            stack.enter_context(mock.patch.object(module, "now", now))
        recorder = await stack.enter_async_context(Recorder(client, "controllers"))
        pods, nodes = Reflector(Api(client, Pod)), Reflector(Api(client, Node))
        revisions = Reflector(Api(client, ControllerRevision))
        stateful_sets, daemon_sets = Reflector(Api(client, StatefulSet)), Reflector(Api(client, DaemonSet))
        jobs, leases = Reflector(Api(client, Job)), Reflector(Api(client, Lease, namespace=LEASES))
        claims = Reflector(Api(client, PersistentVolumeClaim))
        following = (
            StatefulSetController(client, stateful_sets, pods, revisions, claims, recorder),
            DaemonSetController(client, daemon_sets, pods, nodes, revisions, recorder),
            JobController(client, jobs, pods, recorder),
        )
        others = (
            NodeController(client, nodes, pods, leases, recorder),
            TaintEvictionController(client, nodes, pods, recorder),
            PodCollector(client, nodes, pods),
        )
        for reflector in (pods, nodes, revisions, stateful_sets, daemon_sets, jobs, leases, claims):
            await stack.enter_async_context(reflector)
        for one in following:
            await stack.enter_async_context(background(one.follow(), "own writes"))
            await stack.enter_async_context(one.controller)
        for other in others:
            await stack.enter_async_context(other.controller)
        yield


class Kubelets:
    """Renew their leases, say that they are ready, and run the pods of their nodes, unless they are silent.

    A Job's pod ends after some seconds, now and then in failure.
    """

    def __init__(self, client: Client) -> None:
        self._pods = Api(client, Pod)
        self._nodes_api = Api(client, Node)
        self._leases = Api(client, Lease, namespace=LEASES)
        self._nodes = Reflector(self._nodes_api)
        self.controller = Controller(self._pods, self.reconcile, name="kubelets")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> None:
        await self._stack.enter_async_context(self._nodes)
        await self._stack.enter_async_context(self.controller)
        await self._stack.enter_async_context(background(self._live(), "leases"))

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _live(self) -> None:
        while True:
            for node in list(self._nodes.store):
                if not is_silent(node):
                    with suppress(KubeError):
                        await self._show_life(node)
            await asyncio.sleep(RENEWAL)

    async def _show_life(self, node: Node) -> None:
        name = node.metadata.name or ""
        try:
            await self._leases.patch(name, Merge({"spec": {"renewTime": now()}}))
        except NotFoundError:
            with suppress(AlreadyExistsError):
                await self._leases.create(Lease(metadata=ObjectMeta(name=name, namespace=LEASES)))
        if [one.status for one in node.status.conditions] != ["True"]:
            conditions = [{"type": "Ready", "status": "True"}]
            await self._nodes_api.patch_status(name, Merge({"status": {"conditions": conditions}}))

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Take the next step of a pod's life."""
        pod = self.controller.store.find(ref)
        if pod is None or not pod.spec.node_name or pod.status.phase in {"Succeeded", "Failed"}:
            return Action.await_change()
        node = self._nodes.store.get(pod.spec.node_name)
        if node is None or is_silent(node):
            return Action.requeue(RENEWAL)
        works = pod.metadata.labels.get("kind") == "job"
        if pod.status.phase != "Running" or not is_ready(pod):
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now()}
            await self._set(pod, {"phase": "Running", "startTime": now(), "conditions": [ready]})
            return Action.requeue(5) if works else Action.await_change()
        if works:
            failed = sum((pod.metadata.uid or "").encode()) % 8 == 0
            ended = {"terminated": {"exitCode": int(failed), "finishedAt": now()}}
            known = {"name": "main", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
            states = [{**known, "state": ended}]
            phase = "Failed" if failed else "Succeeded"
            await self._set(pod, {"phase": phase, "conditions": [], "containerStatuses": states})
        return Action.await_change()

    async def _set(self, pod: Pod, status: dict[str, Any]) -> None:
        change = Merge({"metadata": {"uid": pod.metadata.uid}, "status": status})
        with suppress(NotFoundError, ConflictError):
            await self._pods.patch_status(pod.metadata.name or "", change, namespace=pod.metadata.namespace)


def is_silent(node: Node) -> bool:
    return float(node.metadata.annotations.get(SILENT, "0")) > asyncio.get_running_loop().time()


def cluster(client: Client) -> AbstractAsyncContextManager[None]:
    """All parts, each crashing by itself."""
    return crashing(client, controllers, Scheduler, Kubelets)


# What users and machines do


async def step(world: World) -> None:
    """Do one thing that a user could do, or that could happen to a pod or a node."""
    client, chance = world.client, world.random
    nodes = Api(client, Node)
    for name in NODES[:2]:
        await add_node(client, name)
    match chance.randrange(9):
        case 0:
            await put(Api(client, StatefulSet, namespace="default"), stateful_set(), chance.randrange(5))
        case 1:
            await put(Api(client, DaemonSet, namespace="default"), daemon_set(), None)
        case 2:
            indexed, name = chance.choice(("Indexed", "NonIndexed")), f"job-{chance.randrange(3)}"
            with suppress(AlreadyExistsError):
                await Api(client, Job, namespace="default").create(job(name, indexed))
        case 3 | 4:
            version = {"spec": {"template": {"metadata": {"annotations": {"v": str(chance.randrange(4))}}}}}
            with suppress(NotFoundError):
                if chance.random() < 0.5:
                    await Api(client, StatefulSet, namespace="default").patch("db", Merge(version))
                else:
                    await Api(client, DaemonSet, namespace="default").patch("agent", Merge(version))
        case 5:
            pods = Api(client, Pod, namespace="default")
            found = sorted([pod.metadata.name or "" async for pod in pods.list()])
            if found:
                await pods.delete(chance.choice(found))
        case 6:
            until = asyncio.get_running_loop().time() + chance.uniform(10, 400)
            silence = Merge({"metadata": {"annotations": {SILENT: str(until)}}})
            with suppress(NotFoundError):
                await nodes.patch(chance.choice(NODES), silence)
        case 7:
            await add_node(client, NODES[2])
        case 8:
            with suppress(NotFoundError):
                await nodes.delete(NODES[2])


async def put(api: Api[Any], wanted: Any, replicas: int | None) -> None:
    """Create a set, or change how many pods it is to have."""
    try:
        await api.create(wanted)
    except AlreadyExistsError:
        if replicas is not None:
            await api.patch(wanted.metadata.name, Merge({"spec": {"replicas": replicas}}))


async def add_node(client: Client, name: str) -> None:
    nodes = Api(client, Node)
    with suppress(AlreadyExistsError):
        node = await nodes.create(Node(metadata=ObjectMeta(name=name)))
        room = {"cpu": ROOM, "memory": Quantity("4Gi"), "pods": Quantity("110")}
        node.status = NodeStatus(allocatable=room, conditions=[NodeCondition(type="Ready", status="True")])
        with suppress(ConflictError):
            await nodes.replace_status(node)


PATIENCE = [
    Toleration(
        key=f"node.kubernetes.io/{trouble}", operator="Exists", effect="NoExecute", toleration_seconds=5
    )
    for trouble in ("not-ready", "unreachable")
]
"""What admission gives every pod, in short. Without it a pod is sent off, made anew and bound again in one
moment, for as long as the scheduler has not heard of its node's trouble.
"""


def template(kind: str, name: str, restart_policy: str = "Always") -> PodTemplateSpec:
    ask = ResourceRequirements(requests={"cpu": Quantity("1")})
    containers = [Container(name="main", image="hello:1", resources=ask)]
    return PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": name, "kind": kind}),
        spec=PodSpec(containers=containers, restart_policy=restart_policy, tolerations=PATIENCE),
    )


def stateful_set() -> StatefulSet:
    spec = StatefulSetSpec(
        replicas=3,
        service_name="db",
        selector=LabelSelector(match_labels={"app": "db"}),
        update_strategy=StatefulSetUpdateStrategy(type="RollingUpdate"),
        template=template("set", "db"),
    )
    return StatefulSet(metadata=ObjectMeta(name="db"), spec=spec)


def daemon_set() -> DaemonSet:
    spec = DaemonSetSpec(
        selector=LabelSelector(match_labels={"app": "agent"}),
        update_strategy=DaemonSetUpdateStrategy(type="RollingUpdate"),
        template=template("daemon", "agent"),
    )
    return DaemonSet(metadata=ObjectMeta(name="agent"), spec=spec)


def job(name: str, mode: str) -> Job:
    spec = JobSpec(
        parallelism=2,
        completions=3,
        completion_mode=mode,
        backoff_limit=1000,
        selector=LabelSelector(match_labels={"app": name}),
        template=template("job", name, "Never"),
    )
    return Job(metadata=ObjectMeta(name=name), spec=spec)


# What is to be true in the end


def check(server: MemoryServer) -> None:
    """Every workload has exactly the pods that it wants, and each Job has come to its end."""
    pods = [one for one in server.documents("pods") if not one["metadata"].get("deletionTimestamp")]
    nodes = {one["metadata"]["name"] for one in server.documents("nodes")}
    where = {one["metadata"]["name"]: one["spec"].get("nodeName") for one in pods}
    assert set(where.values()) <= nodes, f"pods on no node that there is: {where}"
    for one in server.documents("apps/statefulsets"):
        wanted = {f"db-{number}": version_of(one) for number in range(one["spec"]["replicas"])}
        assert {pod["metadata"]["name"]: version(pod) for pod in of("db", pods)} == wanted
    for one in server.documents("apps/daemonsets"):
        there = Counter((pod["spec"]["nodeName"], version(pod)) for pod in of("agent", pods))
        assert there == Counter(dict.fromkeys(((name, version_of(one)) for name in nodes), 1))
    for one in server.documents("batch/jobs"):
        name, status = one["metadata"]["name"], one.get("status", {})
        kinds = {each["type"] for each in status.get("conditions", []) if each["status"] == "True"}
        assert "Complete" in kinds, f"{name} is not done: {status}"
        assert status["succeeded"] == 3, f"{name} counts {status['succeeded']}"
        left = [pod for pod in of(name, pods) if pod["status"]["phase"] not in {"Succeeded", "Failed"}]
        assert not left, f"{name} still has pods"
    lazy = [one["metadata"]["name"] for one in pods if one.get("status", {}).get("phase") == "Pending"]
    assert not lazy, f"pods that do not run: {lazy}"


def of(app: str, pods: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [pod for pod in pods if pod["metadata"]["labels"]["app"] == app]


def version(pod: dict[str, Any]) -> str | None:
    found: str | None = pod["metadata"].get("annotations", {}).get("v")
    return found


def version_of(owner: dict[str, Any]) -> str | None:
    return version(owner["spec"]["template"])


WORKLOADS = Scenario(program=cluster, step=step, check=check, steps=20)


@pytest.mark.parametrize("seed", range(4))
def test_after_quiet_every_workload_has_its_pods_and_no_more(seed: int) -> None:
    with capture_logs("error"):
        try:
            simulate(WORKLOADS, seed)
        except SimulationError as error:
            place = "tests/controllers/test_workload_simulation.py:WORKLOADS"
            pytest.fail(f"{error}\nrepeat it with: python -m proa.runtime.testing {place} --seed {seed}")
