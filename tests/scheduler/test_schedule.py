"""Where pods go, and the reasons why not."""

from __future__ import annotations

from collections import Counter

import pytest

from proa.controlplane.scheduler import Cluster, Placement, Unschedulable, schedule
from proa.controlplane.scheduler._resources import requests
from proa.kube import decode
from proa.kube.models.core_v1 import Node, Pod


def node(name: str, spec: str = "{}", labels: str = "{}", cpu: str = "2", ready: str = "True") -> Node:
    return decode(
        f"""{{"kind": "Node", "apiVersion": "v1", "metadata": {{"name": "{name}", "labels": {labels}}},
        "spec": {spec}, "status": {{"allocatable": {{"cpu": "{cpu}", "memory": "4Gi", "pods": "3"}},
        "conditions": [{{"type": "Ready", "status": "{ready}"}}]}}}}""",
        Node,
    )


def pod(name: str = "p", spec: str = "{}", cpu: str = "0", ports: str = "[]") -> Pod:
    made = decode(
        f"""{{"kind": "Pod", "apiVersion": "v1",
        "metadata": {{"name": "{name}", "namespace": "default", "uid": "{name}"}}, "spec": {spec}}}""",
        Pod,
    )
    containers = decode(
        f"""{{"kind": "Pod", "spec": {{"containers": [{{"name": "c", "ports": {ports},
        "resources": {{"requests": {{"cpu": "{cpu}"}}}}}}]}}}}""",
        Pod,
    )
    made.spec.containers = made.spec.containers or containers.spec.containers
    return made


def cluster(*nodes: Node) -> Cluster:
    made = Cluster()
    for one in nodes:
        made.set_node(one)
    return made


def why_not(pod: Pod, *nodes: Node) -> str:
    verdict = schedule(pod, cluster(*nodes))
    assert isinstance(verdict, Unschedulable), verdict
    return verdict.message


TAINTED = '{"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}'


def test_without_nodes_there_is_nowhere_to_go() -> None:
    assert why_not(pod()) == "no nodes available to schedule pods"


def test_too_large_a_request_is_refused_in_kubernetes_words() -> None:
    assert why_not(pod(cpu="3"), node("a")) == "0/1 nodes are available: 1 Insufficient cpu."


def test_every_node_counts_with_its_own_reason() -> None:
    message = why_not(pod(cpu="3"), node("a"), node("b"), node("c", TAINTED), node("d", ready="False"))
    assert message == (
        "0/4 nodes are available: 1 node(s) had untolerated taint {gpu: yes}, "
        "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 2 Insufficient cpu."
    )


def test_what_is_assumed_counts_at_once() -> None:
    world = cluster(node("a"))
    assert schedule(pod("p1", cpu="1500m"), world) == Placement("a")
    world.assume(pod("p1", cpu="1500m"), "a")
    assert isinstance(schedule(pod("p2", cpu="600m"), world), Unschedulable)
    assert schedule(pod("p3", cpu="500m"), world) == Placement("a")


def test_what_a_pod_took_is_free_when_it_ends_or_goes() -> None:
    world, large = cluster(node("a")), pod("p1", cpu="2")
    large.spec.node_name = "a"
    world.set_pod(large)
    assert isinstance(schedule(pod("p2", cpu="1"), world), Unschedulable)
    large.status.phase = "Succeeded"
    assert world.set_pod(large)
    assert schedule(pod("p2", cpu="1"), world) == Placement("a")
    assert world.usage("a").requested == Counter()


def test_an_assumed_pod_that_the_api_shows_as_unassigned_still_counts() -> None:
    world = cluster(node("a"))
    world.assume(pod("p1", cpu="2"), "a")
    world.set_pod(pod("p1", cpu="2"))
    assert isinstance(schedule(pod("p2", cpu="1"), world), Unschedulable)


def test_pods_spread_over_nodes_though_they_ask_for_nothing() -> None:
    world = cluster(node("a"), node("b"), node("c"))
    placed = []
    for number in range(6):
        verdict = schedule(pod(f"p{number}"), world)
        assert isinstance(verdict, Placement)
        world.assume(pod(f"p{number}"), verdict.node_name)
        placed.append(verdict.node_name)
    assert Counter(placed) == {"a": 2, "b": 2, "c": 2}


def test_a_node_takes_no_more_pods_than_it_says() -> None:
    world = cluster(node("a"))
    for number in range(3):
        world.assume(pod(f"p{number}"), "a")
    verdict = schedule(pod("p4"), world)
    assert isinstance(verdict, Unschedulable)
    assert verdict.message == "0/1 nodes are available: 1 Too many pods."


REQUIRED = (
    '{"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": '
    '{"nodeSelectorTerms": [{"%s": [{"key": "%s", "operator": "In", "values": ["%s"]}]}]}}}}'
)
PREFERRED = (
    '{"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": '
    '[{"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}]}}}'
)


@pytest.mark.parametrize(
    "spec",
    [
        '{"nodeSelector": {"disk": "ssd"}}',
        REQUIRED % ("matchExpressions", "disk", "ssd"),
        REQUIRED % ("matchFields", "metadata.name", "b"),
        PREFERRED,
    ],
)
def test_selectors_and_affinity_choose_the_node(spec: str) -> None:
    assert schedule(pod(spec=spec), cluster(node("a"), node("b", labels='{"disk": "ssd"}'))) == Placement("b")


def test_no_node_with_the_label() -> None:
    message = why_not(pod(spec='{"nodeSelector": {"disk": "ssd"}}'), node("a"))
    assert message == "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."


@pytest.mark.parametrize(
    "toleration",
    ['{"operator": "Exists"}', '{"key": "gpu", "operator": "Exists"}', '{"key": "gpu", "value": "yes"}'],
)
def test_a_toleration_opens_a_tainted_node(toleration: str) -> None:
    assert schedule(pod(spec=f'{{"tolerations": [{toleration}]}}'), cluster(node("a", TAINTED))) == Placement(
        "a"
    )


@pytest.mark.parametrize(
    "toleration",
    [
        '{"key": "gpu", "value": "no"}',
        '{"key": "tpu", "operator": "Exists"}',
        '{"key": "gpu", "value": "yes", "effect": "NoExecute"}',
    ],
)
def test_other_tolerations_do_not(toleration: str) -> None:
    assert "untolerated" in why_not(pod(spec=f'{{"tolerations": [{toleration}]}}'), node("a", TAINTED))


def test_a_soft_taint_is_avoided_but_no_obstacle() -> None:
    disliked = node("a", '{"taints": [{"key": "old", "effect": "PreferNoSchedule"}]}', cpu="64")
    assert schedule(pod(), cluster(disliked, node("b"))) == Placement("b")
    assert schedule(pod(), cluster(disliked)) == Placement("a")


def test_a_cordoned_node_takes_nothing() -> None:
    message = why_not(pod(), node("a", '{"unschedulable": true}'))
    assert message == "0/1 nodes are available: 1 node(s) were unschedulable."


def test_a_host_port_is_given_once() -> None:
    world = cluster(node("a"), node("b"))
    web = '[{"containerPort": 80, "hostPort": 8080}]'
    for name in ("p1", "p2"):
        verdict = schedule(pod(name, ports=web), world)
        assert isinstance(verdict, Placement)
        world.assume(pod(name, ports=web), verdict.node_name)
    verdict = schedule(pod("p3", ports=web), world)
    assert isinstance(verdict, Unschedulable)
    assert verdict.reasons == {"node(s) didn't have free ports for the requested pod ports": 2}
    other = '[{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}]'
    assert isinstance(schedule(pod("p4", ports=other), world), Placement)


def test_init_containers_count_by_the_greediest_and_sidecars_add_up() -> None:
    spec = """{"initContainers": [
        {"name": "i", "resources": {"requests": {"cpu": "500m"}}},
        {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
        {"name": "j", "resources": {"requests": {"cpu": "700m"}}}],
      "containers": [
        {"name": "c", "resources": {"requests": {"cpu": "200m"}, "limits": {"memory": "1Mi"}}}]}"""
    assert requests(pod(spec=spec)) == {"cpu": 800, "memory": 2**20}


def test_only_a_change_that_could_help_a_pod_wakes_the_waiting() -> None:
    world = cluster(node("a"))
    assert not world.set_node(node("a"))
    assert world.set_node(node("a", cpu="4"))
    assert world.set_node(node("a", cpu="4", ready="False"))
