"""What becomes of nodes that fall silent, and of the pods of those that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest

from proa.app.testing import virtual_time
from proa.controlplane.controllers._job_pods import TRACKING
from proa.controlplane.controllers._nodes import NodeController, PodCollector, silenced, tainted
from proa.kube import Api, Merge, decode
from proa.kube.models.coordination_v1 import Lease
from proa.kube.models.core_v1 import (
    Container,
    Event,
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    Taint,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.testing import ScriptedTransport, answer, scripted_client
from proa.runtime import Recorder, Reflector
from proa.runtime.testing import FakeSource, MemoryServer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def node(ready: str, *taints: Taint) -> Node:
    conditions = [NodeCondition(type="Ready", status=ready), NodeCondition(type="Custom", status="True")]
    return Node(
        metadata=ObjectMeta(name="n"),
        spec=NodeSpec(taints=list(taints)),
        status=NodeStatus(conditions=conditions),
    )


def keys(taints: list[Taint]) -> set[tuple[str, str]]:
    return {(taint.key.removeprefix("node.kubernetes.io/"), taint.effect) for taint in taints}


@pytest.mark.parametrize(
    ("ready", "key"), [("True", None), ("False", "not-ready"), ("Unknown", "unreachable")]
)
def test_the_condition_decides_the_taints_and_those_of_others_stay(ready: str, key: str | None) -> None:
    own = Taint(key="gpu", effect="NoSchedule")
    stale = [
        Taint(key=f"node.kubernetes.io/{name}", effect="NoSchedule") for name in ("not-ready", "unreachable")
    ]
    expected = {("gpu", "NoSchedule")}
    if key:
        expected |= {(key, "NoSchedule"), (key, "NoExecute")}
    assert keys(tainted(node(ready, own, *stale), NOW)) == expected


def test_pressure_and_a_cordon_keep_new_pods_away() -> None:
    pressed = node("True")
    pressed.status.conditions += [
        NodeCondition(type="MemoryPressure", status="True"),
        NodeCondition(type="DiskPressure", status="False"),
        NodeCondition(type="PIDPressure", status="Unknown"),
    ]
    assert keys(tainted(pressed, NOW)) == {("memory-pressure", "NoSchedule")}
    pressed.spec.unschedulable = True
    pressed.spec.taints = tainted(pressed, NOW)
    assert keys(pressed.spec.taints) == {("memory-pressure", "NoSchedule"), ("unschedulable", "NoSchedule")}
    pressed.status.conditions, pressed.spec.unschedulable = [pressed.status.conditions[0]], False
    assert tainted(pressed, NOW) == []


def test_taints_that_are_right_already_stay_as_they_are() -> None:
    once = tainted(node("False"), NOW)
    assert tainted(node("False", *once), datetime(2027, 1, 1, tzinfo=UTC)) == once


def test_nobody_knows_the_conditions_of_a_silent_node_but_those_of_others_stay() -> None:
    ready, custom = silenced(node("True"), NOW)
    assert (ready.status, ready.reason) == ("Unknown", "NodeStatusUnknown")
    assert ready.last_transition_time == NOW
    assert custom.status == "True"


@pytest.mark.parametrize(("others", "effects"), [(("m",), {"NoSchedule", "NoExecute"}), ((), {"NoSchedule"})])
@virtual_time
async def test_a_node_whose_lease_is_not_renewed_is_declared_unknown_after_forty_seconds(
    others: tuple[str, ...], effects: set[str]
) -> None:
    nodes, pods, leases = FakeSource(Node), FakeSource(Pod), FakeSource(Lease)
    await nodes.put(node("True"))
    for other in others:
        await nodes.put(msgspec.structs.replace(node("True"), metadata=ObjectMeta(name=other)))
    ready = PodStatus(conditions=[PodCondition(type="Ready", status="True")])
    for name, where in (("here", "n"), ("elsewhere", "m")):
        metadata = ObjectMeta(name=name, namespace="default", uid=name)
        await pods.put(Pod(metadata=metadata, spec=PodSpec(node_name=where, containers=[]), status=ready))

    async def renew(*names: str) -> None:
        for name in names:
            await leases.put(Lease(metadata=ObjectMeta(name=name, namespace="kube-node-lease")))

    await renew("n", *others)
    transport = ScriptedTransport(
        answer(node("Unknown")), answer(Pod()), answer(node("Unknown")), answer(Event()), answer(Event())
    )
    async with (
        scripted_client(transport) as client,
        Recorder(client, "node-controller") as recorder,
        Reflector(nodes) as node_reflector,
        Reflector(leases) as lease_reflector,
        Reflector(pods) as pod_reflector,
        NodeController(client, node_reflector, pod_reflector, lease_reflector, recorder).controller,
    ):
        for _ in range(10):
            await asyncio.sleep(30)
            await renew("n", *others)
        await asyncio.sleep(39)
        assert transport.requests == []
        await renew(*others)
        await asyncio.sleep(2)
    (put,) = (one for one in transport.requests if (one.method, one.path) == ("PUT", "/api/v1/nodes/n"))
    assert {taint.effect for taint in decode(put.body or b"", Node).spec.taints} == effects
    writes = {(request.method, request.path) for request in transport.requests}
    assert writes == {
        ("PUT", "/api/v1/nodes/n/status"),
        ("PATCH", "/api/v1/namespaces/default/pods/here/status"),
        ("PUT", "/api/v1/nodes/n"),
        ("POST", "/api/v1/namespaces/default/events"),
    }


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[Api[Node], Api[Pod]]]:
    async with (
        MemoryServer().client() as client,
        Reflector(Api(client, Node)) as nodes,
        Reflector(Api(client, Pod)) as pods,
        PodCollector(client, nodes, pods).controller,
    ):
        yield Api(client, Node), Api(client, Pod, namespace="default")


async def held(pods: Api[Pod], name: str, node_name: str | None) -> None:
    """Make a pod that somebody wants to see ended before it goes, as a Job does."""
    spec = PodSpec(node_name=node_name, containers=[Container(name="main")])
    metadata = ObjectMeta(name=name, namespace="default", finalizers=[TRACKING])
    await pods.create(Pod(metadata=metadata, spec=spec))


def ended(pod: Pod) -> tuple[str | None, bool, list[str | None]]:
    reasons = [one.reason for one in pod.status.conditions if one.type == "DisruptionTarget"]
    return pod.status.phase, pod.metadata.deletion_timestamp is not None, reasons


@virtual_time
async def test_a_pod_of_a_node_that_is_gone_is_declared_failed_before_it_goes() -> None:
    async with collector() as (nodes, pods):
        await nodes.create(Node(metadata=ObjectMeta(name="n")))
        await held(pods, "p", "n")
        await asyncio.sleep(100)
        assert ended(await pods.get("p")) == (None, False, [])
        await nodes.delete("n")
        await asyncio.sleep(39)
        assert ended(await pods.get("p")) == (None, False, [])
        await asyncio.sleep(2)
        assert ended(await pods.get("p")) == ("Failed", True, ["DeletionByPodGC"])


@virtual_time
async def test_a_deleted_pod_that_never_had_a_node_is_declared_failed() -> None:
    async with collector() as (_, pods):
        await held(pods, "p", None)
        await asyncio.sleep(100)
        assert ended(await pods.get("p")) == (None, False, [])
        await pods.delete("p")
        await asyncio.sleep(1)
        assert ended(await pods.get("p")) == ("Failed", True, [])


@virtual_time
async def test_deleted_pods_of_a_node_that_is_off_for_good_are_not_waited_for() -> None:
    async with collector() as (nodes, pods):
        await nodes.create(node("Unknown"))
        for name in ("going", "staying"):
            await held(pods, name, "n")
        await pods.delete("going")
        await asyncio.sleep(1000)
        assert ended(await pods.get("going"))[0] is None
        taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
        await nodes.patch("n", Merge({"spec": {"taints": [taint]}}))
        await asyncio.sleep(1)
        assert ended(await pods.get("going"))[:2] == ("Failed", True)
        assert ended(await pods.get("staying"))[:2] == (None, False)
