"""Which pods make room for one of higher priority."""

from __future__ import annotations

from msgspec.json import encode

from proa.controlplane.scheduler import (
    Cluster,
    NoPreemption,
    Placement,
    Preemption,
    Unschedulable,
    preempt,
    schedule,
)
from proa.kube import decode
from proa.kube.models.core_v1 import Node, Pod
from proa.kube.models.policy_v1 import PodDisruptionBudget


def node(name: str, cpu: str = "2", **spec: object) -> Node:
    status = {
        "allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return decode(
        encode({"metadata": {"name": name, "labels": {"host": name}}, "spec": spec, "status": status}), Node
    )


def pod(name: str, priority: int, cpu: str = "1", started: int = 0, **spec: object) -> Pod:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    metadata = {"name": name, "uid": name, "namespace": "default", "labels": {"app": name[0]}}
    status = {"startTime": f"2026-01-01T00:00:{started:02}Z"}
    document = {"metadata": metadata, "spec": {"containers": [container], "priority": priority, **spec}}
    return decode(encode({**document, "status": status}), Pod)


def budget(app: str, allowed: int) -> PodDisruptionBudget:
    selector = {"matchLabels": {"app": app}}
    return decode(
        encode(
            {
                "metadata": {"name": app, "namespace": "default"},
                "spec": {"selector": selector},
                "status": {"disruptionsAllowed": allowed},
            }
        ),
        PodDisruptionBudget,
    )


def cluster(**pods: list[Pod]) -> Cluster:
    """A cluster with the pods of each node."""
    made = Cluster()
    for name, on in pods.items():
        made.set_node(node(name))
        for one in on:
            made.assume(one, name)
    return made


def room_for(one: Pod, world: Cluster, *budgets: PodDisruptionBudget) -> Preemption | NoPreemption:
    verdict = schedule(one, world)
    assert isinstance(verdict, Unschedulable)
    return preempt(one, world, verdict, budgets)


def victims(found: Preemption | NoPreemption) -> tuple[str, list[str | None]]:
    assert isinstance(found, Preemption), found
    return found.node_name, [victim.metadata.name for victim in found.victims]


def test_no_more_pods_go_than_have_to_and_the_least_important_first() -> None:
    world = cluster(n=[pod("a1", 1), pod("b1", 2)])
    assert victims(room_for(pod("high", 10), world)) == ("n", ["a1"])
    assert victims(room_for(pod("high", 10, cpu="2"), world)) == ("n", ["b1", "a1"])


def test_the_younger_of_equals_goes() -> None:
    world = cluster(n=[pod("a1", 1, started=5), pod("b1", 1, started=9)])
    assert victims(room_for(pod("high", 10), world)) == ("n", ["b1"])


def test_the_node_where_least_is_lost_is_chosen() -> None:
    world = cluster(n=[pod("a1", 5, "2")], m=[pod("b1", 3), pod("b2", 3)], o=[pod("c1", 4, "2")])
    assert victims(room_for(pod("high", 10, cpu="2"), world))[0] == "m"


def test_a_budget_is_kept_where_another_choice_exists_and_broken_where_none_does() -> None:
    world = cluster(n=[pod("a1", 1, "2")], m=[pod("b1", 5, "2")])
    assert victims(room_for(pod("high", 10), world, budget("a", 0))) == ("m", ["b1"])
    assert victims(room_for(pod("high", 10), world, budget("a", 0), budget("b", 0))) == ("n", ["a1"])
    one = cluster(n=[pod("a1", 1), pod("b1", 5)])
    assert victims(room_for(pod("high", 10), one, budget("a", 0))) == ("n", ["b1"])


def test_nothing_of_equal_or_higher_priority_goes() -> None:
    found = room_for(pod("same", 5), cluster(n=[pod("a1", 5), pod("b1", 9)]))
    assert found == NoPreemption(
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_where_it_cannot_help_nothing_goes() -> None:
    world = cluster(n=[pod("a1", 1, "2")])
    for one in (pod("high", 10, nodeSelector={"host": "x"}), pod("huge", 10, cpu="3")):
        assert room_for(one, world) == NoPreemption(
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
    assert room_for(pod("meek", 10, preemptionPolicy="Never"), world) == NoPreemption(
        "preemption: not eligible due to preemptionPolicy=Never."
    )


def test_anti_affinity_can_be_resolved_by_it() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "a"}}, "topologyKey": "host"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    world = cluster(n=[pod("a1", 1), pod("b1", 1)])
    assert victims(room_for(pod("high", 10, "0", affinity=apart), world)) == ("n", ["a1"])


def test_the_room_is_kept_for_whom_it_was_made() -> None:
    low, high = pod("a1", 1, "2"), pod("high", 10, "2")
    world = cluster(n=[low])
    world.nominate(high, "n")
    world.remove_pod(low)
    waiting = schedule(pod("b1", 5), world)
    assert isinstance(waiting, Unschedulable)
    assert waiting.message == "0/1 nodes are available: 1 Insufficient cpu."
    assert schedule(pod("vip", 11), world) == Placement("n")
    assert schedule(high, world) == Placement("n")


def test_who_waits_for_room_ends_no_more_pods() -> None:
    leaving = pod("a1", 1, "2")
    leaving.metadata.deletion_timestamp = leaving.status.start_time
    high = pod("high", 10)
    world = cluster(n=[leaving], m=[pod("b1", 1, "2")])
    world.nominate(high, "n")
    assert room_for(high, world) == NoPreemption(
        "preemption: not eligible due to a terminating pod on the nominated node."
    )


def test_the_cluster_is_as_before_afterwards() -> None:
    world = cluster(n=[pod("a1", 1), pod("b1", 1)])
    before = world.usage("n").requested.copy(), {one.pod.metadata.name for one in world.on("n")}
    room_for(pod("high", 10, "2"), world)
    assert (world.usage("n").requested, {one.pod.metadata.name for one in world.on("n")}) == before
