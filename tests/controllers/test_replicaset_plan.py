"""How many pods a ReplicaSet makes and which it lets go, also when its cache is behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.controlplane.controllers._expectations import PATIENCE, Expectations
from proa.controlplane.controllers._replicaset_plan import new_pod, plan, status
from proa.kube.models.apps_v1 import ReplicaSet, ReplicaSetSpec
from proa.kube.models.core_v1 import Pod, PodCondition, PodSpec, PodStatus
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import ObjectRef

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = ObjectRef("web", "default")


def replica_set(replicas: int, min_ready_seconds: int | None = None) -> ReplicaSet:
    spec = ReplicaSetSpec(replicas=replicas, min_ready_seconds=min_ready_seconds)
    return ReplicaSet(metadata=ObjectMeta(name="web", namespace="default", uid="rs", generation=3), spec=spec)


def pod(uid: str, *, node: str | None = "n", phase: str = "Running", ready_for: float | None = 60) -> Pod:
    conditions = []
    if ready_for is not None:
        since = NOW - timedelta(seconds=ready_for)
        conditions = [PodCondition(type="Ready", status="True", last_transition_time=since)]
    return Pod(
        metadata=ObjectMeta(name=uid, uid=uid),
        spec=PodSpec(node_name=node, containers=[]),
        status=PodStatus(phase=phase, conditions=conditions),
    )


def test_too_few_are_completed_and_the_ended_do_not_count() -> None:
    todo = plan(replica_set(3), [pod("a"), pod("b", phase="Failed")])
    assert (todo.create, todo.delete) == (2, ())


@pytest.mark.parametrize(
    "least",
    [
        pod("x", node=None, phase="Pending", ready_for=None),
        pod("x", phase="Pending", ready_for=None),
        pod("x", ready_for=None),
        pod("x", ready_for=1),
    ],
)
def test_the_pod_with_which_least_is_lost_goes_first(least: Pod) -> None:
    assert plan(replica_set(2), [pod("a"), least, pod("b")]).delete == (least,)


def test_a_lower_deletion_cost_goes_first() -> None:
    cheap = pod("x", ready_for=1000)
    cheap.metadata.annotations = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    assert plan(replica_set(2), [pod("a"), cheap, pod("b")]).delete == (cheap,)


def test_doubled_up_pods_go_before_lone_ones() -> None:
    pods = [pod("a", node="n1"), pod("b", node="n2", ready_for=10), pod("c", node="n1")]
    assert plan(replica_set(2), pods).delete[0].spec.node_name == "n1"


def test_a_pod_is_made_from_the_template_and_controlled() -> None:
    made = new_pod(replica_set(1))
    (owner,) = made.metadata.owner_references
    assert (owner.kind, owner.uid, owner.controller, made.metadata.generate_name) == (
        "ReplicaSet",
        "rs",
        True,
        "web-",
    )


def test_the_status_counts_ready_and_available_pods_and_says_when_to_look_again() -> None:
    pods = [pod("a", ready_for=5), pod("b", ready_for=60), pod("c", ready_for=None)]
    counts, again = status(replica_set(3, min_ready_seconds=30), pods, NOW, None)
    assert (counts.replicas, counts.ready_replicas, counts.available_replicas) == (3, 2, 1)
    assert counts.observed_generation == 3
    assert again == 25


def test_a_failure_becomes_a_condition_and_leaves_again() -> None:
    failing = replica_set(3)
    failing.status, _ = status(failing, [], NOW, "quota exceeded")
    assert [(one.type, one.reason) for one in failing.status.conditions] == [
        ("ReplicaFailure", "FailedCreate")
    ]
    counts, _ = status(failing, [], NOW, None)
    assert counts.conditions == []


class World:
    """A server, a cache that is behind it, and a controller that sees only the cache and its own writes."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.now = 0.0
        self.pods: dict[str, Pod] = {}
        self.cache: dict[str, Pod] = {}
        self.news: list[tuple[str, Pod]] = []
        self.expectations: Expectations[Pod] = Expectations(lambda: self.now)
        self.made = 0

    def active(self) -> int:
        return len(self.pods)

    def reconcile(self) -> None:
        todo = plan(replica_set(self.wanted), self.expectations.view(OWNER, self.cache.values()))
        for _ in range(todo.create):
            self.made += 1
            made = pod(f"p{self.made}")
            self.pods[made.metadata.uid or ""] = made
            self.news.append(("put", made))
            self.expectations.created(OWNER, made)
        for condemned in todo.delete:
            self.expectations.deleted(OWNER, condemned)
            self.lose(condemned.metadata.uid or "")

    def lose(self, uid: str) -> None:
        gone = self.pods.pop(uid, None)
        if gone is not None:
            self.news.append(("delete", gone))

    def learn(self, count: int) -> None:
        for _ in range(min(count, len(self.news))):
            what, about = self.news.pop(0)
            if what == "put":
                self.cache[about.metadata.uid or ""] = about
            else:
                self.cache.pop(about.metadata.uid or "", None)
            self.expectations.seen(OWNER, about)

    def relist(self) -> None:
        """A 410: the cache jumps to the present, and what came and went meanwhile is never told of."""
        self.news.clear()
        for uid, gone in list(self.cache.items()):
            if uid not in self.pods:
                self.expectations.seen(OWNER, gone)
        self.cache = dict(self.pods)


Steps = st.lists(
    st.one_of(
        st.tuples(st.just("reconcile"), st.just(0)),
        st.tuples(st.just("learn"), st.integers(1, 4)),
        st.tuples(st.just("lose"), st.integers(0, 9)),
        st.tuples(st.just("relist"), st.just(0)),
        st.tuples(st.just("scale"), st.integers(0, 6)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(wanted=st.integers(0, 6), steps=Steps)
def test_however_far_the_cache_is_behind_there_is_never_a_pod_too_many(
    wanted: int, steps: list[tuple[str, int]]
) -> None:
    world = World(wanted)
    most = wanted
    for what, number in steps:
        match what:
            case "reconcile":
                world.reconcile()
            case "learn":
                world.learn(number)
            case "lose" if world.pods:
                world.lose(sorted(world.pods)[number % len(world.pods)])
            case "relist":
                world.relist()
            case "scale":
                world.wanted = number
                most = max(most, number)
        assert world.active() <= most
    for _ in range(5):
        world.learn(1000)
        world.now += PATIENCE + 1
        world.reconcile()
    assert world.active() == world.wanted
