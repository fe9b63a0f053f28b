"""The scheduler against the embedded API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from proa.controlplane.scheduler import MOST_ALLOCATED, Profile, Scheduler
from proa.controlplane.testing import api_server, eventually
from proa.kube import Api, Client, Config, Merge, Timeouts, TransportError
from proa.kube._aiohttp import AiohttpTransport
from proa.kube.core.request import Request
from proa.kube.core.response import Response
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import (
    Container,
    Event,
    HostPathVolumeSource,
    Node,
    NodeCondition,
    NodeStatus,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource,
    PersistentVolumeSpec,
    Pod,
    PodSchedulingGate,
    PodSpec,
    ResourceRequirements,
    Volume,
    VolumeResourceRequirements,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.models.scheduling_v1 import PriorityClass
from proa.kube.models.storage_v1 import StorageClass
from proa.runtime import Apply, InitApply, watcher


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        api_server(tmp_path) as server,
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
        Scheduler(client),
    ):
        yield client


async def add_node(client: Client, name: str, cpu: str = "2", pods: int = 110) -> None:
    allocatable = {"cpu": Quantity(cpu), "memory": Quantity("4Gi"), "pods": Quantity(str(pods))}
    ready = NodeCondition(type="Ready", status="True")
    nodes = Api(client, Node)
    made = await nodes.create(Node(metadata=ObjectMeta(name=name)))
    made.status = NodeStatus(allocatable=allocatable, capacity=allocatable, conditions=[ready])
    await nodes.replace_status(made)


def pod(name: str, cpu: str = "0", scheduler: str | None = None) -> Pod:
    resources = ResourceRequirements(requests={"cpu": Quantity(cpu)})
    containers = [Container(name="main", image="hello:1", resources=resources)]
    return Pod(
        metadata=ObjectMeta(name=name, namespace="default"),
        spec=PodSpec(containers=containers, scheduler_name=scheduler),
    )


async def until_assigned(client: Client, count: int) -> dict[str, str]:
    """Wait until that many pods have a node."""
    assigned: dict[str, str] = {}
    async with asyncio.timeout(15), aclosing(watcher(Api(client, Pod))) as events:
        async for event in events:
            if isinstance(event, InitApply | Apply) and event.obj.spec.node_name:
                assigned[event.obj.metadata.name or ""] = event.obj.spec.node_name
            if len(assigned) == count:
                break
    return assigned


async def until_unschedulable(client: Client, name: str) -> str:
    """Wait until the pod says why it cannot be scheduled."""
    async with asyncio.timeout(15), aclosing(watcher(Api(client, Pod))) as events:
        async for event in events:
            if isinstance(event, InitApply | Apply) and event.obj.metadata.name == name:
                for condition in event.obj.status.conditions:
                    if condition.type == "PodScheduled" and condition.status == "False":
                        assert condition.reason == "Unschedulable"
                        return condition.message or ""
    raise AssertionError


async def test_a_pod_gets_a_node(client: Client) -> None:
    await add_node(client, "node-1")
    await Api(client, Pod, namespace="default").create(pod("a"))
    assert await until_assigned(client, 1) == {"a": "node-1"}


async def test_a_pod_that_fits_nowhere_says_so_and_goes_when_a_node_comes(client: Client) -> None:
    await add_node(client, "small", cpu="1")
    await Api(client, Pod, namespace="default").create(pod("a", cpu="4"))
    assert await until_unschedulable(client, "a") == (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    await add_node(client, "large", cpu="8")
    assert await until_assigned(client, 1) == {"a": "large"}


async def test_a_waiting_pod_goes_when_another_makes_room(client: Client) -> None:
    await add_node(client, "node-1", cpu="1")
    pods = Api(client, Pod, namespace="default")
    await pods.create(pod("first", cpu="1"))
    await until_assigned(client, 1)
    await pods.create(pod("second", cpu="1"))
    await until_unschedulable(client, "second")
    await pods.delete("first", grace_period=0)
    assert await until_assigned(client, 1) == {"second": "node-1"}


async def test_uncordoning_a_node_lets_the_waiting_in(client: Client) -> None:
    await add_node(client, "node-1")
    await Api(client, Node).patch("node-1", Merge({"spec": {"unschedulable": True}}))
    await Api(client, Pod, namespace="default").create(pod("a"))
    assert "unschedulable" in await until_unschedulable(client, "a")
    await Api(client, Node).patch("node-1", Merge({"spec": {"unschedulable": None}}))
    await until_assigned(client, 1)


async def test_pods_of_other_schedulers_are_left_alone(client: Client) -> None:
    await add_node(client, "node-1")
    pods = Api(client, Pod, namespace="default")
    await pods.create(pod("theirs", scheduler="other"))
    await pods.create(pod("ours"))
    assert await until_assigned(client, 1) == {"ours": "node-1"}
    assert (await pods.get("theirs")).spec.node_name is None


async def test_no_node_is_given_more_than_it_has_however_many_come_at_once(client: Client) -> None:
    await add_node(client, "node-1", cpu="4")
    await add_node(client, "node-2", cpu="2")
    pods = Api(client, Pod, namespace="default")
    await asyncio.gather(*(pods.create(pod(f"p{number}", cpu="500m")) for number in range(20)))
    assigned = list((await until_assigned(client, 12)).values())
    assert (assigned.count("node-1"), assigned.count("node-2")) == (8, 4)


async def test_decisions_are_told_as_events(client: Client) -> None:
    await add_node(client, "node-1")
    await Api(client, Pod, namespace="default").create(pod("a"))
    async with asyncio.timeout(15), aclosing(watcher(Api(client, Event))) as events:
        async for event in events:
            if isinstance(event, InitApply | Apply) and event.obj.reason == "Scheduled":
                assert event.obj.message == "Successfully assigned default/a to node-1"
                assert event.obj.involved_object.name == "a"
                break


class LosesAnAnswer(AiohttpTransport):
    """Loses the answer to the first binding, when told to: the server has carried it out all the same."""

    lost = False

    def __init__(self, config: Config) -> None:
        super().__init__(config, Timeouts(), "test")
        self.lose = asyncio.Event()

    async def request(self, request: Request) -> Response:
        response = await super().request(request)
        if request.path.endswith("/binding") and not self.lost:
            await self.lose.wait()
            self.lost = True
            raise TransportError("the connection was reset")
        return response


async def test_a_binding_whose_answer_was_lost_still_counts(tmp_path: Path) -> None:
    async with api_server(tmp_path) as server:
        config = Config.from_kubeconfig(server.kubeconfig)
        transport = LosesAnAnswer(config)
        async with Client(config, transport=transport) as client, Scheduler(client):
            await add_node(client, "node-1", cpu="1")
            pods = Api(client, Pod, namespace="default")
            await pods.create(pod("first", cpu="1"))
            await until_assigned(client, 1)
            transport.lose.set()
            await pods.create(pod("second", cpu="1"))
            message = await until_unschedulable(client, "second")
    assert transport.lost
    assert message.startswith("0/1 nodes are available: 1 Insufficient cpu.")


async def test_a_more_important_pod_takes_the_place_of_another_gracefully(client: Client) -> None:
    await add_node(client, "node-1", cpu="1")
    classes = Api(client, PriorityClass)
    await classes.create(PriorityClass(metadata=ObjectMeta(name="vip"), value=1000))
    pods = Api(client, Pod, namespace="default")
    await pods.create(pod("low", cpu="1"))
    await until_assigned(client, 1)
    important = pod("high", cpu="1")
    important.spec.priority_class_name = "vip"
    await pods.create(important)
    low = await eventually(lambda: pods.get("low"), lambda one: one.metadata.deletion_timestamp is not None)
    assert [(one.type, one.reason) for one in low.status.conditions if one.type == "DisruptionTarget"] == [
        ("DisruptionTarget", "PreemptionByScheduler")
    ]
    high = await pods.get("high")
    assert (high.status.nominated_node_name, high.spec.node_name) == ("node-1", None)
    await pods.delete("low", grace_period=0)
    assert (await until_assigned(client, 1))["high"] == "node-1"


async def test_a_pod_with_gates_is_left_alone_until_they_are_gone(client: Client) -> None:
    await add_node(client, "node-1")
    gated = pod("a")
    gated.spec.scheduling_gates = [PodSchedulingGate(name="example.com/wait")]
    pods = Api(client, Pod, namespace="default")
    await pods.create(gated)
    await eventually(
        lambda: pods.get("a"), lambda one: [c.reason for c in one.status.conditions] == ["SchedulingGated"]
    )
    await pods.patch("a", Merge({"spec": {"schedulingGates": None}}))
    assert await until_assigned(client, 1) == {"a": "node-1"}


async def test_each_profile_places_the_pods_of_its_name(tmp_path: Path) -> None:
    profiles = [Profile(), Profile("packer", MOST_ALLOCATED)]
    async with (
        api_server(tmp_path) as server,
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
        Scheduler(client, profiles),
    ):
        for name in ("node-1", "node-2"):
            await add_node(client, name, cpu="8")
        pods = Api(client, Pod, namespace="default")
        for number in range(1, 5):
            await pods.create(pod(f"packed{number}", cpu="1", scheduler="packer"))
            packed = await until_assigned(client, number)
        assert len(set(packed.values())) == 1
        await pods.create(pod("spread", cpu="1"))
        assert (await until_assigned(client, 5))["spread"] not in packed.values()


async def test_a_claim_that_waits_for_its_pod_is_told_the_node_and_the_pod_waits_for_it(
    client: Client,
) -> None:
    await add_node(client, "node-1")
    await Api(client, StorageClass).create(
        StorageClass(
            metadata=ObjectMeta(name="local"),
            provisioner="example.com/nobody",
            volume_binding_mode="WaitForFirstConsumer",
        )
    )
    claims = Api(client, PersistentVolumeClaim, namespace="default")
    wish = PersistentVolumeClaimSpec(
        storage_class_name="local",
        access_modes=["ReadWriteOnce"],
        resources=VolumeResourceRequirements(requests={"storage": Quantity("1Gi")}),
    )
    await claims.create(PersistentVolumeClaim(metadata=ObjectMeta(name="data"), spec=wish))
    user = pod("a")
    source = PersistentVolumeClaimVolumeSource(claim_name="data")
    user.spec.volumes = [Volume(name="data", persistent_volume_claim=source)]
    await Api(client, Pod, namespace="default").create(user)
    claim = await eventually(
        lambda: claims.get("data"),
        lambda one: "volume.kubernetes.io/selected-node" in one.metadata.annotations,
    )
    assert claim.metadata.annotations["volume.kubernetes.io/selected-node"] == "node-1"
    await Api(client, PersistentVolume).create(
        PersistentVolume(
            metadata=ObjectMeta(name="v"),
            spec=PersistentVolumeSpec(
                capacity={"storage": Quantity("1Gi")},
                access_modes=["ReadWriteOnce"],
                host_path=HostPathVolumeSource(path="/nowhere"),
            ),
        )
    )
    await claims.patch("data", Merge({"spec": {"volumeName": "v"}}))
    assert await until_assigned(client, 1) == {"a": "node-1"}
