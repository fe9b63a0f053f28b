"""In which order a StatefulSet makes, ends and updates its pods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.controlplane.controllers._history import HASH, outdated, snapshot, template_of
from proa.controlplane.controllers._statefulset_plan import Plan, Revisions, plan, status
from proa.controlplane.controllers._statefulset_pods import new_claims, new_pod, owners_of_claim
from proa.kube.models.apps_v1 import (
    ControllerRevision,
    RollingUpdateStatefulSetStrategy,
    StatefulSet,
    StatefulSetOrdinals,
    StatefulSetPersistentVolumeClaimRetentionPolicy,
    StatefulSetSpec,
    StatefulSetStatus,
    StatefulSetUpdateStrategy,
)
from proa.kube.models.core_v1 import (
    Container,
    PersistentVolumeClaim,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
)
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta, OwnerReference

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def revision(name: str, image: str = "db:1", number: int = 1) -> ControllerRevision:
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": "db"}),
        spec=PodSpec(containers=[Container(name="main", image=image)]),
    )
    return ControllerRevision(metadata=ObjectMeta(name=name), data=snapshot(template), revision=number)


OLD, NEW = revision("db-old"), revision("db-new", "db:2", 2)
SAME, ROLLING = Revisions(NEW, NEW), Revisions(OLD, NEW)


def stateful_set(replicas: int = 3, *, partition: int | None = None, **spec: Any) -> StatefulSet:
    values: dict[str, Any] = {
        "replicas": replicas,
        "service_name": "db",
        "selector": LabelSelector(match_labels={"app": "db"}),
        "update_strategy": StatefulSetUpdateStrategy(
            type="RollingUpdate", rolling_update=RollingUpdateStatefulSetStrategy(partition=partition)
        ),
    }
    return StatefulSet(
        metadata=ObjectMeta(name="db", namespace="default", uid="sts"),
        spec=StatefulSetSpec(**(values | spec)),
    )


def pod(number: int, made_from: ControllerRevision = NEW, *, ready: bool = True, going: bool = False) -> Pod:
    phase = "Running" if ready else "Pending"
    condition = PodCondition(
        type="Ready", status=str(ready), last_transition_time=NOW - timedelta(seconds=10)
    )
    return Pod(
        metadata=ObjectMeta(
            name=f"db-{number}",
            labels={HASH: made_from.metadata.name or ""},
            deletion_timestamp=NOW if going else None,
        ),
        status=PodStatus(phase=phase, conditions=[condition]),
    )


def names(pods: tuple[Pod, ...]) -> list[str | None]:
    return [one.metadata.name for one in pods]


def todo(
    wanted: StatefulSet, *pods: Pod, revisions: Revisions = SAME
) -> tuple[list[str | None], list[str | None]]:
    result = plan(wanted, pods, revisions, NOW)
    return names(result.create), names(result.delete)


def test_pods_are_made_one_after_another_once_those_before_serve() -> None:
    assert todo(stateful_set()) == (["db-0"], [])
    assert todo(stateful_set(), pod(0, ready=False)) == ([], [])
    assert todo(stateful_set(), pod(0)) == (["db-1"], [])
    assert todo(stateful_set(), pod(0, going=True)) == ([], [])


def test_parallel_ones_are_made_and_ended_all_at_once() -> None:
    wanted = stateful_set(pod_management_policy="Parallel")
    assert todo(wanted, pod(1, ready=False)) == (["db-0", "db-2"], [])
    assert todo(wanted, *map(pod, range(5))) == ([], ["db-4", "db-3"])


def test_the_highest_go_first_one_after_another() -> None:
    assert todo(stateful_set(1), *map(pod, range(3))) == ([], ["db-2"])
    assert todo(stateful_set(1), pod(0), pod(1), pod(2, going=True)) == ([], [])


def test_nothing_shrinks_while_one_that_stays_is_missing() -> None:
    assert todo(stateful_set(1), pod(0, ready=False), pod(1)) == ([], [])


def test_a_pod_that_has_ended_is_replaced() -> None:
    ended = pod(1)
    ended.status.phase = "Failed"
    assert todo(stateful_set(), pod(0), ended, pod(2)) == ([], ["db-1"])


def test_the_numbering_begins_where_it_is_told_to() -> None:
    wanted = stateful_set(2, ordinals=StatefulSetOrdinals(start=5))
    assert todo(wanted, pod(4)) == (["db-5"], [])
    assert todo(wanted, pod(4), pod(5), pod(6)) == ([], ["db-4"])


def test_a_pod_has_its_name_its_place_its_revision_and_its_claims() -> None:
    claim = PersistentVolumeClaim(metadata=ObjectMeta(name="data"))
    wanted = stateful_set(volume_claim_templates=[claim])
    made = new_pod(wanted, 1, NEW)
    assert (made.metadata.name, made.spec.hostname, made.spec.subdomain) == ("db-1", "db-1", "db")
    assert made.metadata.labels == {
        "app": "db",
        "statefulset.kubernetes.io/pod-name": "db-1",
        "apps.kubernetes.io/pod-index": "1",
        "controller-revision-hash": "db-new",
    }
    source = made.spec.volumes[0].persistent_volume_claim
    assert source is not None
    assert (made.spec.volumes[0].name, source.claim_name) == ("data", "data-db-1")
    (needed,) = new_claims(wanted, 1)
    assert (needed.metadata.name, needed.metadata.labels) == ("data-db-1", {"app": "db"})
    assert needed.metadata.owner_references == []


def test_claims_go_with_the_set_or_the_pod_where_the_policy_says_so() -> None:
    policy = retention("Delete", "Delete")
    claim = PersistentVolumeClaim(metadata=ObjectMeta(name="data"))
    wanted = stateful_set(volume_claim_templates=[claim], persistent_volume_claim_retention_policy=policy)
    (made,) = new_claims(wanted, 0)
    assert [one.uid for one in made.metadata.owner_references] == ["sts"]


def retention(when_deleted: str, when_scaled: str) -> StatefulSetPersistentVolumeClaimRetentionPolicy:
    return StatefulSetPersistentVolumeClaimRetentionPolicy(when_deleted=when_deleted, when_scaled=when_scaled)


@pytest.mark.parametrize(
    ("when_deleted", "when_scaled", "within", "beyond"),
    [
        ("Retain", "Retain", [], []),
        ("Delete", "Retain", ["StatefulSet"], ["StatefulSet"]),
        ("Retain", "Delete", [], ["Pod"]),
        ("Delete", "Delete", ["StatefulSet"], ["Pod"]),
    ],
)
def test_claims_follow_the_policy_of_today_and_keep_the_owners_that_others_gave_them(
    when_deleted: str, when_scaled: str, within: list[str], beyond: list[str]
) -> None:
    wanted = stateful_set(2, persistent_volume_claim_retention_policy=retention(when_deleted, when_scaled))
    foreign = OwnerReference(api_version="v1", kind="Backup", name="b", uid="backup")
    for number, expected in ((1, within), (2, beyond)):
        owner = pod(number)
        owner.metadata.uid = "pod"
        before = [
            foreign,
            OwnerReference(api_version="apps/v1", kind="StatefulSet", name="db", uid="sts"),
            OwnerReference(api_version="v1", kind="Pod", name=f"db-{number}", uid="pod"),
        ]
        for owners in ([foreign], before):
            claim = PersistentVolumeClaim(metadata=ObjectMeta(name="data", owner_references=owners))
            found = owners_of_claim(wanted, owner, claim)
            assert [one.kind for one in found] == ["Backup", *expected]


def test_an_update_goes_from_the_highest_down_and_waits_for_each() -> None:
    old = [pod(number, OLD) for number in range(3)]
    assert todo(stateful_set(), *old, revisions=ROLLING) == ([], ["db-2"])
    assert todo(stateful_set(), *old[:2], pod(2, ready=False), revisions=ROLLING) == ([], [])
    assert todo(stateful_set(), *old[:2], pod(2), revisions=ROLLING) == ([], ["db-1"])


def test_an_update_stops_at_the_partition() -> None:
    old = [pod(number, OLD) for number in range(3)]
    assert todo(stateful_set(partition=2), *old[:2], pod(2), revisions=ROLLING) == ([], [])
    made = plan(stateful_set(partition=2), [pod(0, OLD)], ROLLING, NOW).create
    assert made[0].metadata.labels[HASH] == "db-old"


def test_several_may_be_updated_at_once() -> None:
    wanted = stateful_set(4, pod_management_policy="Parallel")
    rolling = wanted.spec.update_strategy.rolling_update
    assert rolling is not None
    rolling.max_unavailable = "50%"
    old = [pod(number, OLD) for number in range(4)]
    assert todo(wanted, *old, revisions=ROLLING) == ([], ["db-3", "db-2"])


def test_on_delete_updates_only_what_somebody_deleted() -> None:
    wanted = stateful_set(update_strategy=StatefulSetUpdateStrategy(type="OnDelete"))
    assert todo(wanted, *[pod(number, OLD) for number in range(3)], revisions=ROLLING) == ([], [])
    made = plan(wanted, [pod(0, OLD), pod(1, OLD)], ROLLING, NOW).create
    assert made[0].metadata.labels[HASH] == "db-new"


def test_a_pod_lost_in_the_middle_of_an_update_comes_back_as_it_was() -> None:
    wanted = stateful_set()
    wanted.status = StatefulSetStatus(replicas=3, current_replicas=2)
    made = plan(wanted, [pod(0, OLD), pod(2)], ROLLING, NOW).create
    assert (names(made), made[0].metadata.labels[HASH]) == (["db-1"], "db-old")


def test_min_ready_seconds_hold_up_the_next() -> None:
    patient = stateful_set(min_ready_seconds=30)
    assert todo(patient, pod(0)) == ([], [])
    seen, again = status(patient, [pod(0)], SAME, NOW)
    assert (seen.ready_replicas, seen.available_replicas, again) == (1, 0, 20)


def test_the_status_tells_how_far_the_update_is_and_closes_it() -> None:
    seen, _ = status(stateful_set(), [pod(0, OLD), pod(1, OLD), pod(2)], ROLLING, NOW)
    assert (seen.current_replicas, seen.updated_replicas, seen.current_revision) == (2, 1, "db-old")
    seen, _ = status(stateful_set(), [pod(number) for number in range(3)], ROLLING, NOW)
    assert (seen.current_revision, seen.current_replicas, seen.updated_replicas) == ("db-new", 3, 3)


def test_a_revision_brings_its_template_back_and_the_oldest_idle_ones_go() -> None:
    assert template_of(OLD).spec.containers[0].image == "db:1"
    many = [revision(f"r{number}", number=number) for number in range(5)]
    assert names_of(outdated(many, {"r0"}, 2)) == ["r1", "r2"]


def names_of(revisions: list[ControllerRevision]) -> list[str | None]:
    return [one.metadata.name for one in revisions]


States = st.dictionaries(
    st.integers(0, 6),
    st.tuples(st.booleans(), st.sampled_from(["ready", "starting", "going", "failed"])),
    max_size=6,
)


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
@settings(max_examples=200, deadline=None)
@given(replicas=st.integers(0, 5), states=States)
def test_from_wherever_it_is_it_comes_to_what_it_says(
    policy: str, replicas: int, states: dict[int, tuple[bool, str]]
) -> None:
    wanted = stateful_set(replicas, pod_management_policy=policy)
    pods = {
        number: pod(number, OLD if old else NEW, ready=state in {"ready", "going"}, going=state == "going")
        for number, (old, state) in states.items()
    }
    for number, (_, state) in states.items():
        if state == "failed":
            pods[number].status.phase = "Failed"
    for _ in range(60):
        wanted.status, _ = status(wanted, list(pods.values()), ROLLING, NOW)
        step = plan(wanted, list(pods.values()), ROLLING, NOW)
        assert len(step.create) + len(step.delete) <= (1 if policy == "OrderedReady" else 9)
        live(pods, step)
    assert sorted(pods) == list(range(replicas))
    assert {one.metadata.labels[HASH] for one in pods.values()} <= {"db-new"}


def live(pods: dict[int, Pod], step: Plan) -> None:
    """The deleted go, the starting become ready, the new ones start."""
    for number, one in list(pods.items()):
        if one.metadata.deletion_timestamp is not None:
            del pods[number]
        elif one.status.phase == "Pending":
            pods[number] = pod(number, OLD if one.metadata.labels[HASH] == "db-old" else NEW)
    for one in step.delete:
        number = int((one.metadata.name or "").rpartition("-")[2])
        if number in pods:
            pods[number].metadata.deletion_timestamp = NOW
    for one in step.create:
        number = int((one.metadata.name or "").rpartition("-")[2])
        assert number not in pods
        pods[number] = pod(number, OLD if one.metadata.labels[HASH] == "db-old" else NEW, ready=False)
