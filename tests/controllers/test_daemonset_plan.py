"""On which nodes a DaemonSet runs, and how it updates them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.controlplane.controllers._daemonset_plan import Plan, new_pod, node_of, places, plan, status
from proa.controlplane.controllers._history import HASH, snapshot
from proa.kube.models.apps_v1 import (
    ControllerRevision,
    DaemonSet,
    DaemonSetSpec,
    DaemonSetUpdateStrategy,
    RollingUpdateDaemonSet,
)
from proa.kube.models.core_v1 import (
    Container,
    Node,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    Taint,
    Toleration,
)
from proa.kube.models.meta_v1 import ObjectMeta

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATE = PodTemplateSpec(spec=PodSpec(containers=[Container(name="main")]))
NEWEST = ControllerRevision(
    metadata=ObjectMeta(name="log-2", labels={HASH: "2"}), data=snapshot(TEMPLATE), revision=2
)


def daemon_set(unavailable: int | str | None = 1, surge: int | str | None = 0, **spec: Any) -> DaemonSet:
    rolling = RollingUpdateDaemonSet(max_unavailable=unavailable, max_surge=surge)
    values: dict[str, Any] = {
        "template": TEMPLATE,
        "update_strategy": DaemonSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling),
    }
    return DaemonSet(
        metadata=ObjectMeta(name="log", namespace="default", uid="ds"), spec=DaemonSetSpec(**(values | spec))
    )


def node(name: str, *taints: Taint, ready: str = "True", **labels: str) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, labels=labels),
        spec=NodeSpec(taints=list(taints)),
        status=NodeStatus(conditions=[NodeCondition(type="Ready", status=ready)]),
    )


def pod(uid: str, where: str, made_from: str = "2", *, ready: bool = True, phase: str = "Running") -> Pod:
    condition = PodCondition(
        type="Ready", status=str(ready), last_transition_time=NOW - timedelta(seconds=10)
    )
    return Pod(
        metadata=ObjectMeta(name=uid, uid=uid, labels={HASH: made_from}, creation_timestamp=NOW),
        spec=PodSpec(node_name=where),
        status=PodStatus(phase=phase, conditions=[condition]),
    )


def step(wanted: DaemonSet, nodes: list[Node], *pods: Pod) -> Plan:
    return plan(wanted, places(wanted, pods, nodes, NEWEST), NEWEST, NOW)


def done(todo: Plan) -> tuple[list[str], list[str | None]]:
    return [node_of(one) for one in todo.create], [one.metadata.name for one in todo.delete]


def test_every_node_gets_one_pod_bound_for_it() -> None:
    todo = step(daemon_set(), [node("a"), node("b")], pod("x", "a"))
    assert done(todo) == (["b"], [])
    keys = {(one.key, one.effect) for one in todo.create[0].spec.tolerations}
    assert ("node.kubernetes.io/unreachable", "NoExecute") in keys
    assert ("node.kubernetes.io/unschedulable", "NoSchedule") in keys


def test_taints_and_selectors_keep_pods_away_and_no_execute_sends_them_off() -> None:
    picky = daemon_set(template=PodTemplateSpec(spec=PodSpec(containers=[], node_selector={"disk": "ssd"})))
    assert done(step(picky, [node("a", disk="ssd"), node("b")])) == (["a"], [])
    held = [node("a", Taint(key="gpu", effect="NoSchedule")), node("b", Taint(key="gpu", effect="NoExecute"))]
    assert done(step(daemon_set(), held)) == ([], [])
    assert done(step(daemon_set(), held, pod("x", "a"), pod("y", "b"))) == ([], ["y"])
    tolerant = PodTemplateSpec(spec=PodSpec(containers=[], tolerations=[Toleration(operator="Exists")]))
    assert done(step(daemon_set(template=tolerant), held)) == (["a", "b"], [])


def test_a_node_that_is_not_ready_or_cordoned_keeps_its_pod_and_gets_one() -> None:
    cordoned = node("b", Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule"))
    cordoned.spec.unschedulable = True
    ill = node("a", Taint(key="node.kubernetes.io/not-ready", effect="NoExecute"), ready="False")
    created, _ = done(step(daemon_set(), [cordoned]))
    assert created == ["b"]
    assert done(step(daemon_set(), [ill], pod("x", "a"))) == ([], [])


def test_a_second_pod_on_a_node_and_one_on_a_lost_node_go() -> None:
    todo = step(daemon_set(), [node("a")], pod("x", "a"), pod("y", "a"), pod("z", "gone"))
    assert done(todo) == ([], ["y", "z"])


def test_a_failed_pod_is_ended_first_and_replaced_after() -> None:
    todo = step(daemon_set(), [node("a")], pod("x", "a", phase="Failed"))
    assert done(todo) == ([], ["x"])
    assert todo.failed == todo.delete


def test_an_update_ends_as_many_as_may_be_missing_and_what_does_not_serve_at_once() -> None:
    nodes = [node(name) for name in "abcd"]
    old = [pod(name, name, "1") for name in "abc"]
    assert done(step(daemon_set(2), nodes, *old, pod("d", "d"))) == ([], ["a", "b"])
    assert done(step(daemon_set(2), nodes, *old, pod("d", "d", ready=False))) == ([], ["a"])
    broken = pod("d", "d", "1", ready=False)
    assert done(step(daemon_set(1), nodes, *old, broken)) == ([], ["d"])
    assert done(step(daemon_set("50%"), nodes, *old, pod("d", "d"))) == ([], ["a", "b"])


def test_an_update_with_surge_starts_the_new_before_the_old_goes() -> None:
    nodes, wanted = [node("a"), node("b")], daemon_set(0, 1)
    old = [pod("a1", "a", "1"), pod("b1", "b", "1")]
    assert done(step(wanted, nodes, *old)) == (["a"], [])
    assert done(step(wanted, nodes, *old, pod("a2", "a", ready=False))) == ([], [])
    assert done(step(wanted, nodes, *old, pod("a2", "a"))) == (["b"], ["a1"])
    failed = pod("a2", "a", phase="Failed")
    assert done(step(wanted, nodes, *old, failed)) == (["b"], ["a2"])


def test_on_delete_updates_nothing_by_itself() -> None:
    wanted = daemon_set(update_strategy=DaemonSetUpdateStrategy(type="OnDelete"))
    assert done(step(wanted, [node("a")], pod("x", "a", "1"))) == ([], [])


def test_the_status_counts_nodes() -> None:
    nodes = [node("a"), node("b"), node("c"), node("d", Taint(key="gpu", effect="NoSchedule"))]
    pods = [pod("a", "a"), pod("b", "b", "1", ready=False), pod("d", "d")]
    wanted = daemon_set(min_ready_seconds=30)
    seen, again = status(wanted, places(wanted, pods, nodes, NEWEST), NOW)
    assert (seen.desired_number_scheduled, seen.current_number_scheduled, seen.number_misscheduled) == (
        3,
        2,
        1,
    )
    assert (seen.number_ready, seen.number_available, seen.number_unavailable) == (1, 0, 3)
    assert (seen.updated_number_scheduled, again) == (1, 20)


@pytest.mark.parametrize(("unavailable", "surge"), [(1, 0), (2, 0), (0, 1), (0, "50%")])
@settings(max_examples=150, deadline=None)
@given(
    nodes=st.sets(st.sampled_from("abcde"), max_size=5),
    states=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("12"), st.booleans()), max_size=8),
)
def test_from_wherever_it_is_every_node_comes_to_one_new_pod(
    unavailable: int, surge: int | str, nodes: set[str], states: list[tuple[str, str, bool]]
) -> None:
    wanted = daemon_set(unavailable, surge)
    there = [node(name) for name in sorted(nodes)]
    pods = {
        f"p{number}": pod(f"p{number}", *state[:2], ready=state[2]) for number, state in enumerate(states)
    }
    for turn in range(40):
        todo = step(wanted, there, *pods.values())
        for one in list(pods.values()):
            pods[one.metadata.uid or ""] = pod(
                one.metadata.uid or "", node_of(one), one.metadata.labels[HASH]
            )
        for one in todo.delete:
            del pods[one.metadata.uid or ""]
        for number, one in enumerate(todo.create):
            uid = f"n{turn}-{number}"
            pods[uid] = pod(uid, node_of(one), ready=False)
    assert sorted(node_of(one) for one in pods.values()) == sorted(nodes)
    assert {one.metadata.labels[HASH] for one in pods.values()} <= {"2"}


def test_a_pod_is_made_from_the_revision_and_controlled() -> None:
    made = new_pod(daemon_set(), "a", NEWEST)
    assert (made.metadata.generate_name, made.metadata.labels) == ("log-", {HASH: "2"})
    assert made.metadata.owner_references[0].uid == "ds"
