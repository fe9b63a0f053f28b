"""What users do wrong, and what goes away under them: it is told, nothing runs away and nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proa.controlplane import ApiServer
from proa.controlplane.controllers import _nodes
from proa.controlplane.scheduler import Scheduler
from proa.controlplane.testing import eventually, fake_kubelet
from proa.kube import Api, ApiError, Client
from proa.kube.models import Quantity
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec
from proa.kube.models.core_v1 import (
    ConfigMap,
    Container,
    Event,
    Node,
    NodeCondition,
    NodeStatus,
    Pod,
    PodSpec,
    PodTemplateSpec,
    ResourceQuota,
    ResourceQuotaSpec,
    ResourceRequirements,
)
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta


def deployment(name: str, replicas: int = 2, cpu: str = "0", app: str = "web") -> Deployment:
    ask = ResourceRequirements(requests={"cpu": Quantity(cpu)})
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": app}),
        spec=PodSpec(
            containers=[Container(name="main", image="hello:1", resources=ask)],
            termination_grace_period_seconds=0,
        ),
    )
    spec = DeploymentSpec(
        replicas=replicas,
        selector=LabelSelector(match_labels={"app": app}),
        template=template,
        progress_deadline_seconds=1,
    )
    return Deployment(metadata=ObjectMeta(name=name), spec=spec)


async def add_node(client: Client, name: str) -> None:
    nodes = Api(client, Node)
    node = await nodes.create(Node(metadata=ObjectMeta(name=name)))
    room = {"cpu": Quantity("4"), "memory": Quantity("4Gi"), "pods": Quantity("20")}
    node.status = NodeStatus(allocatable=room, conditions=[NodeCondition(type="Ready", status="True")])
    await nodes.replace_status(node)


async def pods_of(client: Client) -> list[Pod]:
    return [pod async for pod in Api(client, Pod, namespace="default").list()]


async def test_two_with_the_same_selector_leave_each_other_s_pods_alone(client: Client) -> None:
    deployments = Api(client, Deployment, namespace="default")
    async with fake_kubelet(client):
        await deployments.create(deployment("one", 2))
        await deployments.create(deployment("two", 3))

        async def ready() -> tuple[int | None, ...]:
            return tuple([(await deployments.get(name)).status.ready_replicas for name in ("one", "two")])

        await eventually(ready, lambda seen: seen == (2, 3))
        owners = Counter(pod.metadata.owner_references[0].name[:3] for pod in await pods_of(client))
    assert owners == {"one": 2, "two": 3}


async def test_a_template_whose_pods_never_get_ready_is_told_and_makes_no_more_of_them(
    client: Client,
) -> None:
    deployments = Api(client, Deployment, namespace="default")
    await deployments.create(deployment("web", 2))  # there is no kubelet: nothing ever runs

    def late(one: Deployment) -> bool:
        return any(known.reason == "ProgressDeadlineExceeded" for known in one.status.conditions)

    found = await eventually(lambda: deployments.get("web"), late)
    assert found.status.unavailable_replicas == 2
    assert len(await pods_of(client)) == 2


async def test_an_impossible_request_is_told_once_and_costs_no_pod(client: Client) -> None:
    await add_node(client, "node-1")
    async with Scheduler(client), fake_kubelet(client):
        await Api(client, Deployment, namespace="default").create(deployment("web", 2, cpu="64"))

        async def told() -> list[str]:
            events = Api(client, Event, namespace="default").list()
            return [event.message or "" async for event in events if event.reason == "FailedScheduling"]

        messages = await eventually(told, lambda found: len(found) == 2)
    helpless = "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    assert set(messages) == {f"0/1 nodes are available: 1 Insufficient cpu. {helpless}"}
    assert len(await pods_of(client)) == 2


async def test_a_quota_that_leaves_no_room_is_told_by_the_deployment_until_it_does(client: Client) -> None:
    deployments = Api(client, Deployment, namespace="default")
    quotas = Api(client, ResourceQuota, namespace="default")
    hard = ResourceQuotaSpec(hard={"pods": Quantity("1")})
    await quotas.create(ResourceQuota(metadata=ObjectMeta(name="few"), spec=hard))
    async with fake_kubelet(client):
        await deployments.create(deployment("web", 2))

        def failure(one: Deployment) -> str | None:
            known = (known for known in one.status.conditions if known.type == "ReplicaFailure")
            return next((f"{found.reason}: {found.message}" for found in known), None)

        found = await eventually(lambda: deployments.get("web"), lambda one: failure(one) is not None)
        told = failure(found) or ""
        assert told.startswith("FailedCreate: ")
        assert "exceeded quota: few" in told
        assert len(await pods_of(client)) == 1
        await quotas.delete("few")
        ready = await eventually(
            lambda: deployments.get("web"),
            lambda one: one.status.ready_replicas == 2 and not failure(one),
            timeout=45,
        )
    assert ready.status.replicas == 2


async def test_while_the_disk_is_full_everything_is_read_and_afterwards_work_goes_on(
    server: ApiServer, client: Client
) -> None:
    deployments = Api(client, Deployment, namespace="default")
    await add_node(client, "node-1")
    async with Scheduler(client), fake_kubelet(client):
        await deployments.create(deployment("web", 1))
        await eventually(lambda: deployments.get("web"), lambda one: one.status.ready_replicas == 1)
        with full_disk(server):
            with pytest.raises(ApiError, match="could not be stored: database or disk is full") as refused:
                await fill(client)
            assert refused.value.code == 500
            assert (await deployments.get("web")).status.ready_replicas == 1
            assert len(await pods_of(client)) == 1
        await deployments.scale("web", 3)
        await eventually(lambda: deployments.get("web"), lambda one: one.status.ready_replicas == 3)
    assert len(await pods_of(client)) == 3


@contextmanager
def full_disk(server: ApiServer) -> Iterator[None]:
    """Let the database's file grow no more."""
    execute = server.store._database._connection.execute
    (before,) = execute("PRAGMA max_page_count").fetchone()
    execute("PRAGMA max_page_count = 1")  # no less than there are already
    try:
        yield
    finally:
        execute(f"PRAGMA max_page_count = {before}")


async def fill(client: Client) -> None:
    """Write until that is refused; pages that are free already are used up first."""
    config_maps = Api(client, ConfigMap, namespace="default")
    for number in range(1_000):
        data = {"text": "x" * 100_000}
        await config_maps.create(ConfigMap(metadata=ObjectMeta(name=f"filling-{number}"), data=data))


async def test_the_pods_of_a_node_that_vanishes_are_made_anew_elsewhere(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_nodes, "QUARANTINE_SECONDS", 0.1)
    deployments = Api(client, Deployment, namespace="default")
    await add_node(client, "node-1")
    async with Scheduler(client), fake_kubelet(client):
        await deployments.create(deployment("web", 3))
        await eventually(lambda: deployments.get("web"), lambda one: one.status.ready_replicas == 3)
        await add_node(client, "node-2")
        await Api(client, Node).delete("node-1")

        def moved(pods: list[Pod]) -> bool:
            return [pod.spec.node_name for pod in pods] == ["node-2"] * 3

        await eventually(lambda: pods_of(client), moved, timeout=30)
