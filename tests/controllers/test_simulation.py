"""Controllers, a scheduler and kubelets that crash, restart and lose watches, and what becomes of a cluster.

A seed that fails is repeated by the command in its message; many run with
`python -m proa.runtime.testing tests/controllers/test_simulation.py:CLUSTER --seeds 2000`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

import pytest

from proa.app.testing import capture_logs
from proa.controlplane.controllers._deployment import DeploymentController
from proa.controlplane.controllers._replicaset import ReplicaSetController
from proa.controlplane.scheduler import Scheduler
from proa.kube import Api, Client, ConflictError, Merge, NotFoundError
from proa.kube.models import Quantity, now
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet
from proa.kube.models.core_v1 import (
    Container,
    Node,
    NodeCondition,
    NodeStatus,
    Pod,
    PodSpec,
    PodTemplateSpec,
    ResourceRequirements,
)
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector, background
from proa.runtime.testing import MemoryServer, Scenario, SimulationError, World, crashing, simulate

NODES = ("node-1", "node-2", "node-3")
NAMES = ("web", "db")
ROOM = 6
"""Processors of each node; a pod asks for one, and all that two Deployments and their surges need fits."""


@asynccontextmanager
async def controllers(client: Client) -> AsyncIterator[None]:
    """The Deployment and ReplicaSet controllers."""
    pods, sets = Reflector(Api(client, Pod)), Reflector(Api(client, ReplicaSet))
    deployments = Reflector(Api(client, Deployment))
    async with AsyncExitStack() as stack:
        recorder = await stack.enter_async_context(Recorder(client, "controllers"))
        replica_sets = ReplicaSetController(client, sets, pods, recorder)
        for part in (pods, sets, deployments):
            await stack.enter_async_context(part)
        await stack.enter_async_context(background(replica_sets.follow(), "own writes"))
        await stack.enter_async_context(replica_sets.controller)
        rollouts = DeploymentController(client, deployments, sets, pods, recorder)
        await stack.enter_async_context(rollouts.controller)
        yield


class Kubelets:
    """Run every pod that is bound to a node, on that node."""

    def __init__(self, client: Client) -> None:
        self._api = Api(client, Pod)
        self.controller = Controller(self._api, self.reconcile, name="kubelets")

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Make a pod's containers ready."""
        pod = self.controller.store.find(ref)
        if pod is None or not pod.spec.node_name or pod.status.phase == "Running":
            return Action.await_change()
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": now()}
        status = {"phase": "Running", "startTime": now(), "conditions": [ready]}
        change = Merge({"metadata": {"uid": pod.metadata.uid}, "status": status})
        with suppress(NotFoundError, ConflictError):
            await self._api.patch_status(ref.name, change, namespace=ref.namespace)
        return Action.await_change()


def cluster(client: Client) -> AbstractAsyncContextManager[None]:
    """All parts, each crashing by itself."""
    return crashing(client, controllers, Scheduler, lambda one: Kubelets(one).controller)


async def step(world: World) -> None:
    """Do one thing that a user could do, or that could happen to a pod or a node."""
    chance = world.random
    deployments = Api(world.client, Deployment, namespace="default")
    name = chance.choice(NAMES)
    if not [one async for one in Api(world.client, Node).list()]:
        for node in NODES:
            await add_node(world.client, node)
    if await deployments.get_opt(name) is None:
        await deployments.create(deployment(name, chance.randrange(6)))
        return
    match chance.randrange(8):
        case 0 | 1 | 2:
            await deployments.patch(name, Merge({"spec": {"replicas": chance.randrange(6)}}))
        case 3 | 4:
            annotations = {"version": str(chance.randrange(4))}
            template = {"metadata": {"annotations": annotations}}
            await deployments.patch(name, Merge({"spec": {"template": template}}))
        case 5 | 6:
            pods = Api(world.client, Pod, namespace="default")
            found = [pod.metadata.name or "" async for pod in pods.list()]
            if found:
                await pods.delete(chance.choice(sorted(found)))
        case 7:
            unschedulable = chance.choice((True, None))
            nodes = Api(world.client, Node)
            await nodes.patch(chance.choice(NODES), Merge({"spec": {"unschedulable": unschedulable}}))


async def add_node(client: Client, name: str) -> None:
    node = await Api(client, Node).create(Node(metadata=ObjectMeta(name=name)))
    room = {"cpu": Quantity(str(ROOM)), "memory": Quantity("4Gi"), "pods": Quantity("110")}
    ready = NodeCondition(type="Ready", status="True")
    node.status = NodeStatus(allocatable=room, conditions=[ready])
    await Api(client, Node).replace_status(node)


def deployment(name: str, replicas: int) -> Deployment:
    ask = ResourceRequirements(requests={"cpu": Quantity("1")})
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": name}),
        spec=PodSpec(containers=[Container(name="main", image="hello:1", resources=ask)]),
    )
    spec = DeploymentSpec(
        replicas=replicas,
        selector=LabelSelector(match_labels={"app": name}),
        strategy=DeploymentStrategy(type="RollingUpdate"),
        template=template,
    )
    return Deployment(metadata=ObjectMeta(name=name), spec=spec)


def check(server: MemoryServer) -> None:
    """Every Deployment has as many pods as it says, of its newest template; all that fit are on nodes."""
    pods = server.documents("pods")
    cordoned = {
        one["metadata"]["name"] for one in server.documents("nodes") if one["spec"].get("unschedulable")
    }
    for one in server.documents("apps/deployments"):
        name, wanted = one["metadata"]["name"], one["spec"]["replicas"]
        mine = [pod for pod in pods if pod["metadata"]["labels"]["app"] == name]
        waiting = [pod for pod in mine if "nodeName" not in pod["spec"]]
        if not cordoned:
            versions = Counter(pod["metadata"].get("annotations", {}).get("version") for pod in mine)
            newest = one["spec"]["template"]["metadata"].get("annotations", {}).get("version")
            assert versions == ({newest: wanted} if wanted else {}), f"{name} has {versions}, not {wanted}"
            assert not waiting, f"{len(waiting)} pods of {name} have no node though there is room"
        surge = -(-wanted // 4)  # a rollout for which there is no room stops half-way
        assert len(mine) <= wanted + surge, f"{name} has {len(mine)} pods, not {wanted}"
    taken = Counter(pod["spec"].get("nodeName") for pod in pods)
    full = {node: count for node, count in taken.items() if node is not None and count > ROOM}
    assert not full, f"more pods than there is room for: {full}"
    if not cordoned:
        lazy = [pod["metadata"]["name"] for pod in pods if pod.get("status", {}).get("phase") != "Running"]
        assert not lazy, f"pods that do not run: {lazy}"


CLUSTER = Scenario(program=cluster, step=step, check=check, steps=20)
SEEDS = (*range(8), 46, 302)
"""A few for every day; the last ones found a rollout that stood still and a node given away twice."""


@pytest.mark.parametrize("seed", SEEDS)
def test_after_quiet_the_cluster_is_as_its_specifications_say(seed: int) -> None:
    with capture_logs("error"):
        try:
            simulate(CLUSTER, seed)
        except SimulationError as error:
            place = "tests/controllers/test_simulation.py:CLUSTER"
            pytest.fail(f"{error}\nrepeat it with: python -m proa.runtime.testing {place} --seed {seed}")
