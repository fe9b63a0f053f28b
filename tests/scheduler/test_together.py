"""Where pods go for the sake of other pods: affinity, anti-affinity and topology spread."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.json import encode

from proa.controlplane.scheduler import Cluster, Placement, Unschedulable, schedule
from proa.kube import decode
from proa.kube.models.apps_v1 import ReplicaSet
from proa.kube.models.core_v1 import Node, Pod, Service
from proa.kube.models.meta_v1 import ObjectMeta

HOST = "kubernetes.io/hostname"


def node(name: str, zone: str | None = None, **room: object) -> Node:
    labels = {HOST: name} | ({"zone": zone} if zone else {})
    allocatable = {"cpu": "4", "memory": "4Gi", "pods": "110", **room}
    ready = [{"type": "Ready", "status": "True"}]
    metadata = {"name": name, "labels": labels}
    status = {"allocatable": allocatable, "conditions": ready}
    return decode(encode({"metadata": metadata, "status": status}), Node)


def pod(name: str, app: str = "web", namespace: str = "default", **spec: object) -> Pod:
    metadata = {"name": name, "uid": name, "namespace": namespace, "labels": {"app": app}}
    return decode(encode({"metadata": metadata, "spec": {"containers": [{"name": "c"}], **spec}}), Pod)


def term(app: str, key: str = "zone", **more: object) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key, **more}


def affinity(kind: str, *terms: dict[str, Any]) -> dict[str, Any]:
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def preferred(kind: str, one: dict[str, Any], weight: int = 50) -> dict[str, Any]:
    terms = [{"weight": weight, "podAffinityTerm": one}]
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": terms}}


def spread(**more: object) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "web"}}
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**constraint, "labelSelector": selector, **more}]}


@pytest.fixture
def world() -> Cluster:
    """Two zones, a with two nodes and b with one."""
    made = Cluster()
    for one in (node("a1", "a"), node("a2", "a"), node("b1", "b")):
        made.set_node(one)
    return made


def place(world: Cluster, one: Pod) -> str:
    verdict = schedule(one, world)
    assert isinstance(verdict, Placement), verdict
    world.assume(one, verdict.node_name)
    return verdict.node_name


def why_not(world: Cluster, one: Pod) -> str:
    verdict = schedule(one, world)
    assert isinstance(verdict, Unschedulable), verdict
    return verdict.message


def test_affinity_brings_a_pod_into_the_zone_of_another(world: Cluster) -> None:
    world.assume(pod("db", app="db"), "b1")
    assert place(world, pod("web", affinity=affinity("podAffinity", term("db")))) == "b1"


def test_without_the_other_pod_affinity_says_so(world: Cluster) -> None:
    message = why_not(world, pod("web", affinity=affinity("podAffinity", term("db"))))
    assert message == "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."


def test_the_first_of_pods_that_want_to_be_together_may_go_anywhere(world: Cluster) -> None:
    wish = affinity("podAffinity", term("web"))
    first = place(world, pod("w1", affinity=wish))
    zones = {place(world, pod(f"w{number}", affinity=wish))[0] for number in range(2, 6)}
    assert zones == {first[0]}


def test_anti_affinity_gives_each_node_one(world: Cluster) -> None:
    apart = affinity("podAntiAffinity", term("web", HOST))
    assert {place(world, pod(f"w{number}", affinity=apart)) for number in range(3)} == {"a1", "a2", "b1"}
    message = why_not(world, pod("w4", affinity=apart))
    assert message == "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."


def test_pods_that_are_there_keep_others_away_too(world: Cluster) -> None:
    hermit = pod("hermit", app="hermit", affinity=affinity("podAntiAffinity", term("web")))
    world.assume(hermit, "a1")
    assert place(world, pod("w1")) == "b1"
    world.remove_node(node("b1"))
    message = why_not(world, pod("w2"))
    assert message == "0/2 nodes are available: 2 node(s) didn't satisfy existing pods anti-affinity rules."
    world.remove_pod(hermit)
    assert place(world, pod("w2")) in {"a1", "a2"}


@pytest.mark.parametrize(
    ("where", "meant"),
    [
        ({}, False),
        ({"namespaces": ["other"]}, True),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "red"}}}, False),
    ],
)
def test_terms_mean_the_pods_of_their_namespaces(world: Cluster, where: dict[str, Any], meant: bool) -> None:
    world.set_namespace("other", {"team": "blue"})
    world.assume(pod("db", app="db", namespace="other"), "b1")
    verdict = schedule(pod("web", affinity=affinity("podAffinity", term("db", **where))), world)
    assert (verdict == Placement("b1")) is meant


def test_counts_follow_labels_and_ends(world: Cluster) -> None:
    wish = pod("web", affinity=affinity("podAffinity", term("db")))
    assert "affinity rules" in why_not(world, wish)
    other = pod("db", app="cache")
    world.assume(other, "b1")
    assert "affinity rules" in why_not(world, wish)
    renamed = pod("db", app="db", nodeName="b1")
    world.set_pod(renamed)
    assert schedule(wish, world) == Placement("b1")
    world.remove_pod(renamed)
    assert "affinity rules" in why_not(world, wish)


@pytest.mark.parametrize(("kind", "zone"), [("podAffinity", "b"), ("podAntiAffinity", "a")])
def test_preferences_decide_among_possible_nodes(world: Cluster, kind: str, zone: str) -> None:
    world.assume(pod("db", app="db"), "b1")
    assert place(world, pod("web", affinity=preferred(kind, term("db"))))[0] == zone


def test_the_preferences_of_pods_that_are_there_count_too(world: Cluster) -> None:
    world.assume(pod("fan", app="fan", affinity=preferred("podAffinity", term("web"))), "b1")
    assert place(world, pod("web")) == "b1"


def test_spread_keeps_zones_even_and_says_when_it_cannot(world: Cluster) -> None:
    zones = Counter(place(world, pod(f"w{number}", **spread()))[0] for number in range(6))
    assert zones == {"a": 3, "b": 3}
    full = node("b1", "b", pods="3")
    world.set_node(full)
    assert place(world, pod("w6", **spread()))[0] == "a"
    message = why_not(world, pod("w7", **spread()))
    assert message == (
        "0/3 nodes are available: 1 Too many pods, 2 node(s) didn't match pod topology spread constraints."
    )


def test_nodes_without_the_label_are_out_of_a_hard_spread(world: Cluster) -> None:
    world.set_node(node("c1"))
    world.remove_node(node("b1"))
    world.remove_node(node("a1"))
    world.remove_node(node("a2"))
    assert "(missing required label)" in why_not(world, pod("w", **spread()))


def test_too_few_domains_count_as_one_more_that_is_empty(world: Cluster) -> None:
    few = spread(minDomains=3)
    assert {place(world, pod(f"w{number}", **few))[0] for number in range(2)} == {"a", "b"}
    assert "spread constraints" in why_not(world, pod("w2", **few))


def test_nodes_that_the_pod_cannot_go_to_do_not_count(world: Cluster) -> None:
    for number in range(3):
        only_a = pod(f"w{number}", nodeSelector={"zone": "a"}, **spread())
        assert place(world, only_a)[0] == "a"
    counting_b = pod("w4", nodeSelector={"zone": "a"}, **spread(nodeAffinityPolicy="Ignore"))
    assert "spread constraints" in why_not(world, counting_b)


def test_pods_of_another_revision_do_not_count_with_match_label_keys(world: Cluster) -> None:
    for number in range(2):
        world.assume(pod(f"old{number}"), "b1")
    new = pod("new", **spread(matchLabelKeys=["revision"]))
    new.metadata.labels["revision"] = "2"
    for name in ("a1", "a2"):
        world.remove_node(node(name))
    assert place(world, new) == "b1"


def test_pods_on_their_way_out_do_not_count(world: Cluster) -> None:
    leaving = pod("old", nodeName="b1")
    leaving.metadata.deletion_timestamp = datetime(2026, 1, 1, tzinfo=UTC)
    world.set_pod(leaving)
    for name in ("a1", "a2"):
        world.set_node(node(name, "a", pods="0"))
    assert place(world, pod("w", **spread())) == "b1"


def test_a_soft_spread_prefers_the_emptier_zone_but_is_no_obstacle(world: Cluster) -> None:
    soft = spread(whenUnsatisfiable="ScheduleAnyway")
    for number in range(4):
        world.assume(pod(f"old{number}"), "b1")
    assert place(world, pod("w1", **soft))[0] == "a"
    world.remove_node(node("a1"))
    world.remove_node(node("a2"))
    assert place(world, pod("w2", **soft)) == "b1"


def of_set(name: str) -> Pod:
    """A pod of a ReplicaSet, which asks for little."""
    made = pod(name)
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "set", "controller": True}
    made.metadata.owner_references = decode(encode({"ownerReferences": [owner]}), ObjectMeta).owner_references
    return made


def test_pods_of_one_controller_or_service_are_spread_though_they_do_not_say_so(world: Cluster) -> None:
    world.assume(pod("busy", app="other", containers=asking("3")), "a2")
    world.assume(pod("busier", app="other", containers=asking("3")), "b1")
    for number in range(4):
        world.assume(of_set(f"web-{number}"), "a1")
    alone = schedule(of_set("web-4"), world)
    selects = {"selector": {"matchLabels": {"app": "web"}}}
    replica_set = decode(encode({"metadata": {"uid": "set"}, "spec": selects}), ReplicaSet)
    service = decode(
        encode({"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "web"}}}),
        Service,
    )
    groups, elsewhere = world.groups, {Placement("a2"), Placement("b1")}
    groups.set_controller(replica_set)
    assert schedule(of_set("web-4"), world) in elsewhere
    groups.remove_controller(replica_set)
    assert schedule(of_set("web-4"), world) == alone == Placement("a1")
    groups.set_service(service)
    assert schedule(of_set("web-4"), world) in elsewhere
    groups.remove_service(service)
    assert schedule(of_set("web-4"), world) == alone


def test_nodes_without_a_zone_take_part_in_the_spread_by_default(world: Cluster) -> None:
    world.set_node(zoned := node("c1", cpu="4"))
    zoned.metadata.labels["topology.kubernetes.io/zone"] = "c"
    world.set_node(zoned)
    selects = {"selector": {"matchLabels": {"app": "web"}}}
    world.groups.set_controller(decode(encode({"metadata": {"uid": "set"}, "spec": selects}), ReplicaSet))
    for number in range(3):
        world.assume(of_set(f"web-{number}"), "c1")
    found = schedule(of_set("web-3"), world)
    assert isinstance(found, Placement)
    assert found.node_name != "c1"


def asking(cpu: str) -> list[dict[str, Any]]:
    return [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
