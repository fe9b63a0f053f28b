"""What a Job does next, given its pods; and that it counts each exactly once, whatever fails between."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.controlplane.controllers import _job_indexes
from proa.controlplane.controllers._job_plan import Plan, expiry, plan
from proa.controlplane.controllers._job_pods import FAILURES, INDEX, TRACKING
from proa.controlplane.controllers._job_verdict import finish
from proa.kube.models.batch_v1 import (
    Job,
    JobCondition,
    JobSpec,
    JobStatus,
    PodFailurePolicy,
    PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
    SuccessPolicy,
    SuccessPolicyRule,
)
from proa.kube.models.core_v1 import (
    Container,
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
)
from proa.kube.models.meta_v1 import ObjectMeta

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(**spec: Any) -> Job:
    template = PodTemplateSpec(spec=PodSpec(containers=[Container(name="main")], restart_policy="Never"))
    values: dict[str, Any] = {
        "parallelism": 1,
        "completions": 1,
        "backoff_limit": 6,
        "template": template,
    } | spec
    return Job(
        metadata=ObjectMeta(name="pi", namespace="default", uid="job"),
        spec=JobSpec(**values),
        status=JobStatus(start_time=NOW),
    )


def pod(
    uid: str,
    phase: str = "Running",
    *,
    index: int | None = None,
    code: int = 1,
    tracked: bool = True,
    going: bool = False,
    ended: float = 0,
    failures: int = 0,
) -> Pod:
    annotations = {} if index is None else {INDEX: str(index), FAILURES: str(failures)}
    end = ContainerStateTerminated(exit_code=code, finished_at=NOW - timedelta(seconds=ended))
    state = ContainerState(terminated=end if phase in {"Failed", "Succeeded"} else None)
    status = ContainerStatus(name="main", image="i", image_id="", ready=False, restart_count=0, state=state)
    return Pod(
        metadata=ObjectMeta(
            name=uid,
            namespace="default",
            uid=uid,
            annotations=annotations,
            finalizers=[TRACKING] if tracked else [],
            deletion_timestamp=NOW if going else None,
        ),
        spec=PodSpec(containers=[]),
        status=PodStatus(phase=phase, container_statuses=[status]),
    )


def with_status(before: Job, status: JobStatus) -> Job:
    return msgspec.structs.replace(before, status=status)


def conditions(todo: Plan) -> dict[str, tuple[str, str | None]]:
    return {one.type: (one.status, one.reason) for one in todo.status.conditions}


@pytest.mark.parametrize(
    ("text", "indexes"),
    [("", set()), ("0-2,5", {0, 1, 2, 5}), ("1,2", {1, 2}), ("3", {3}), ("0-9", set(range(10)))],
)
def test_indexes_are_read_and_written_as_intervals(text: str, indexes: set[int]) -> None:
    assert _job_indexes.parse(text, 10) == indexes
    assert _job_indexes.text(indexes) == text


@given(st.frozensets(st.integers(0, 200)))
def test_indexes_survive_being_written(indexes: frozenset[int]) -> None:
    assert _job_indexes.parse(_job_indexes.text(indexes), 201) == indexes


def test_of_indexes_only_those_are_read_that_the_job_has() -> None:
    assert _job_indexes.parse("1-99999999999999,3-4,nonsense", 3) == {1, 2}


def test_as_many_pods_as_may_run_at_once_are_made() -> None:
    todo = plan(job(parallelism=3, completions=5), [pod("a")], NOW)
    assert len(todo.create) == 2
    assert all(TRACKING in one.metadata.finalizers for one in todo.create)
    assert todo.status.active == 1


def test_no_more_pods_are_made_than_completions_are_missing() -> None:
    started = job(parallelism=3, completions=5)
    started.status.succeeded = 4
    assert len(plan(started, [], NOW).create) == 1


def test_surplus_pods_go_when_parallelism_is_lowered() -> None:
    assert len(plan(job(parallelism=1, completions=5), [pod("a"), pod("b")], NOW).delete) == 1


def test_a_succeeded_pod_is_noted_then_released_then_counted_then_the_job_is_complete() -> None:
    first = plan(job(), [pod("a", "Succeeded")], NOW)
    assert first.status.uncounted_terminated_pods is not None
    assert first.status.uncounted_terminated_pods.succeeded == ["a"]
    assert (first.status.succeeded, [one.metadata.uid for one in first.release]) == (None, ["a"])
    assert conditions(first) == {"SuccessCriteriaMet": ("True", "CompletionsReached")}

    second = plan(with_status(job(), first.status), [pod("a", "Succeeded", tracked=False)], NOW)
    assert second.status.succeeded == 1
    assert conditions(second)["Complete"] == ("True", "CompletionsReached")
    assert second.status.completion_time == NOW


def test_a_noted_pod_that_vanished_is_counted() -> None:
    first = plan(job(completions=2), [pod("a", "Succeeded")], NOW)
    assert plan(with_status(job(completions=2), first.status), [], NOW).status.succeeded == 1


def test_the_end_is_announced_only_when_no_pod_is_left_running() -> None:
    several = job(parallelism=2, completions=1)
    first = plan(several, [pod("a", "Succeeded"), pod("b")], NOW)
    assert [one.metadata.uid for one in first.delete] == ["b"]
    going = pod("b", tracked=False, going=True)
    second = plan(with_status(several, first.status), [pod("a", "Succeeded", tracked=False), going], NOW)
    assert "Complete" not in conditions(second)
    assert second.status.terminating == 1


def test_without_completions_one_success_ends_it_once_the_others_are_done() -> None:
    queue = job(parallelism=3, completions=None)
    todo = plan(queue, [pod("a", "Succeeded"), pod("b")], NOW)
    assert (todo.create, todo.delete, conditions(todo)) == ((), (), {})
    after = plan(with_status(queue, todo.status), [pod("b", "Succeeded")], NOW)
    assert "SuccessCriteriaMet" in conditions(after)


def test_after_a_failure_the_next_pod_waits_and_longer_after_each_further_one() -> None:
    once = plan(job(), [pod("a", "Failed")], NOW)
    assert (once.create, once.again) == ((), 10)
    thrice = plan(
        job(), [pod(uid, "Failed", ended=after) for uid, after in (("a", 90), ("b", 60), ("c", 10))], NOW
    )
    assert thrice.again == 30
    assert len(plan(job(), [pod("a", "Failed", ended=10)], NOW).create) == 1
    assert plan(job(), [pod("a", "Failed", ended=-3600)], NOW).again == 10, "the clock was put back"


def test_the_backoff_limit_ends_the_job_and_its_pods() -> None:
    impatient = job(backoff_limit=1, parallelism=2, completions=4)
    impatient.status.failed = 1
    todo = plan(impatient, [pod("a", "Failed"), pod("b")], NOW)
    assert conditions(todo) == {"FailureTarget": ("True", "BackoffLimitExceeded")}
    assert [one.metadata.uid for one in todo.delete] == ["b"]
    assert todo.create == ()


def test_restarts_in_place_count_against_the_backoff_limit() -> None:
    restarting = job(backoff_limit=2)
    restarting.spec.template.spec.restart_policy = "OnFailure"
    busy = pod("a")
    busy.status.container_statuses[0].restart_count = 2
    assert conditions(plan(restarting, [busy], NOW)) == {"FailureTarget": ("True", "BackoffLimitExceeded")}


def test_the_deadline_ends_the_job_and_is_waited_for() -> None:
    limited = job(active_deadline_seconds=30)
    assert plan(limited, [pod("a")], NOW + timedelta(seconds=10)).again == 20
    todo = plan(limited, [pod("a")], NOW + timedelta(seconds=30))
    assert conditions(todo) == {"FailureTarget": ("True", "DeadlineExceeded")}


def test_suspending_ends_the_pods_and_stops_the_clock_and_resuming_starts_both() -> None:
    suspended = job(suspend=True, active_deadline_seconds=5)
    todo = plan(suspended, [pod("a")], NOW + timedelta(hours=1))
    assert len(todo.delete) == 1
    assert todo.status.start_time is None
    assert conditions(todo) == {"Suspended": ("True", "JobSuspended")}
    resumed = plan(with_status(job(), todo.status), [], NOW + timedelta(hours=2))
    assert conditions(resumed) == {"Suspended": ("False", "JobResumed")}
    assert resumed.status.start_time == NOW + timedelta(hours=2)
    assert len(resumed.create) == 1


def test_indexed_pods_are_made_for_the_indexes_that_are_missing_and_know_theirs() -> None:
    indexed = job(completion_mode="Indexed", completions=4, parallelism=3)
    todo = plan(indexed, [pod("a", "Succeeded", index=0), pod("b", index=2)], NOW)
    assert [one.metadata.annotations[INDEX] for one in todo.create] == ["1", "3"]
    assert todo.status.completed_indexes == "0"
    assert todo.create[0].spec.hostname == "pi-1"
    assert [one.name for one in todo.create[0].spec.containers[0].env] == ["JOB_COMPLETION_INDEX"]


def test_a_second_pod_for_an_index_goes() -> None:
    indexed = job(completion_mode="Indexed", completions=4, parallelism=2)
    todo = plan(indexed, [pod("a", index=1), pod("b", index=1), pod("c", index=9)], NOW)
    assert {one.metadata.uid for one in todo.delete} in ({"a", "c"}, {"b", "c"})


def test_an_index_that_failed_too_often_is_given_up_and_the_others_go_on() -> None:
    tolerant = job(
        completion_mode="Indexed", completions=2, parallelism=2, backoff_limit=None, backoff_limit_per_index=1
    )
    once = plan(tolerant, [pod("a", "Failed", index=0, ended=60), pod("b", index=1)], NOW)
    assert [(one.metadata.annotations[INDEX], one.metadata.annotations[FAILURES]) for one in once.create] == [
        ("0", "1")
    ]
    twice = plan(tolerant, [pod("a", "Failed", index=0, failures=1), pod("b", index=1)], NOW)
    assert (twice.status.failed_indexes, twice.create) == ("0", ())
    done = plan(
        with_status(tolerant, twice.status),
        [pod("a", "Failed", index=0, failures=1, tracked=False), pod("b", "Succeeded", index=1)],
        NOW,
    )
    assert conditions(done) == {"FailureTarget": ("True", "FailedIndexes")}


def test_how_often_an_index_has_failed_is_not_forgotten_with_its_pods() -> None:
    limited = job(
        completion_mode="Indexed",
        completions=2,
        parallelism=2,
        backoff_limit=None,
        backoff_limit_per_index=2,
        pod_failure_policy=PodFailurePolicy(rules=[rule("Ignore", 7)]),
    )
    other = pod("other", index=1)
    failed = pod("a", "Failed", index=0, failures=1, ended=5, going=True)
    first = plan(limited, [failed, other], NOW)
    assert (first.release, first.create, first.again) == ((), (), 15)
    then = plan(limited, [failed, other], NOW + timedelta(seconds=15))
    assert [one.metadata.annotations[FAILURES] for one in then.create] == ["2"]
    replaced = plan(limited, [failed, pod("b", index=0, failures=2), other], NOW)
    assert [one.metadata.uid for one in replaced.release] == ["a"]
    ignored = plan(limited, [pod("b", "Failed", index=0, failures=2, code=7), other], NOW)
    assert [one.metadata.annotations[FAILURES] for one in ignored.create] == ["2"]


def test_an_indexed_job_can_be_made_smaller_and_larger() -> None:
    def resized(completions: int) -> Job:
        elastic = job(completion_mode="Indexed", completions=completions, parallelism=completions)
        return with_status(elastic, JobStatus(completed_indexes="0,2-4", start_time=NOW))

    larger = plan(resized(7), [pod("a", index=1)], NOW)
    assert [one.metadata.annotations[INDEX] for one in larger.create] == ["5", "6"]
    smaller = plan(resized(3), [pod("a", index=1), pod("b", index=3)], NOW)
    assert (smaller.status.succeeded, smaller.status.completed_indexes) == (2, "0,2")
    assert ([one.metadata.uid for one in smaller.delete], conditions(smaller)) == (["b"], {})
    done = plan(resized(1), [pod("a", index=1)], NOW)
    assert conditions(done) == {"SuccessCriteriaMet": ("True", "CompletionsReached")}
    assert (done.status.succeeded, [one.metadata.uid for one in done.delete]) == (1, ["a"])


def test_too_many_failed_indexes_end_the_job() -> None:
    strict = job(
        completion_mode="Indexed",
        completions=5,
        parallelism=5,
        backoff_limit_per_index=0,
        max_failed_indexes=0,
    )
    strict.spec.backoff_limit = None
    assert conditions(plan(strict, [pod("a", "Failed", index=3)], NOW)) == {
        "FailureTarget": ("True", "MaxFailedIndexesExceeded")
    }


def rule(
    action: str, *codes: int, operator: str = "In", condition: str | None = None
) -> PodFailurePolicyRule:
    requirement = (
        PodFailurePolicyOnExitCodesRequirement(operator=operator, values=list(codes)) if codes else None
    )
    patterns = [PodFailurePolicyOnPodConditionsPattern(type=condition, status="True")] if condition else []
    return PodFailurePolicyRule(action=action, on_exit_codes=requirement, on_pod_conditions=patterns)


def test_the_first_matching_rule_of_the_failure_policy_decides() -> None:
    ruled = job(
        pod_failure_policy=PodFailurePolicy(rules=[rule("Ignore", 7), rule("FailJob", 1, operator="NotIn")])
    )
    ignored = plan(ruled, [pod("a", "Failed", code=7)], NOW)
    assert (ignored.status.failed, conditions(ignored), len(ignored.create)) == (None, {}, 1)
    assert [one.metadata.uid for one in ignored.release] == ["a"]
    counted = plan(ruled, [pod("a", "Failed", code=1)], NOW)
    assert counted.status.uncounted_terminated_pods is not None
    assert counted.status.uncounted_terminated_pods.failed == ["a"]
    fatal = plan(ruled, [pod("a", "Failed", code=42)], NOW)
    assert conditions(fatal) == {"FailureTarget": ("True", "PodFailurePolicy")}
    assert fatal.status.conditions[0].message == (
        "Container main for pod default/a failed with exit code 42 matching FailJob rule at index 1"
    )


def test_the_failure_policy_knows_conditions_and_fails_an_index() -> None:
    disrupted = pod("a", "Failed")
    disrupted.status.conditions = [PodCondition(type="DisruptionTarget", status="True")]
    forgiving = job(pod_failure_policy=PodFailurePolicy(rules=[rule("Ignore", condition="DisruptionTarget")]))
    assert len(plan(forgiving, [disrupted], NOW).create) == 1
    indexed = job(
        completion_mode="Indexed",
        completions=3,
        backoff_limit_per_index=9,
        pod_failure_policy=PodFailurePolicy(rules=[rule("FailIndex", 3)]),
    )
    assert plan(indexed, [pod("b", "Failed", index=2, code=3)], NOW).status.failed_indexes == "2"


def test_a_success_policy_ends_the_job_early() -> None:
    policy = SuccessPolicy(rules=[SuccessPolicyRule(succeeded_indexes="0-2", succeeded_count=1)])
    led = job(completion_mode="Indexed", completions=5, parallelism=5, success_policy=policy)
    todo = plan(led, [pod("a", "Succeeded", index=1), pod("b", index=0)], NOW)
    assert conditions(todo) == {"SuccessCriteriaMet": ("True", "SuccessPolicy")}
    assert [one.metadata.uid for one in todo.delete] == ["b"]


def test_a_deleted_pod_is_replaced_at_once_or_when_it_is_gone() -> None:
    going = pod("a", going=True)
    assert plan(job(), [going], NOW).again == 10
    patient = job(pod_replacement_policy="Failed")
    todo = plan(patient, [going], NOW)
    assert (todo.create, todo.again, todo.status.terminating) == ((), None, 1)


def test_a_finished_job_lives_as_long_as_it_says_and_releases_its_pods() -> None:
    done = job(ttl_seconds_after_finished=60)
    done.status.conditions = [JobCondition(type="Complete", status="True", last_transition_time=NOW)]
    assert expiry(done, NOW + timedelta(seconds=45)) == 15
    todo = plan(done, [pod("a", "Failed")], NOW)
    assert (todo.create, len(todo.release), todo.again) == ((), 1, 60)
    assert expiry(job(ttl_seconds_after_finished=0), NOW) is None


class World:
    """A server with one Job; a controller that sees both the Job and the pods late, and can die anywhere."""

    def __init__(self, wanted: Job) -> None:
        self.job = self.seen_job = wanted
        self.version = self.seen_version = 0
        self.outdated: int | None = None
        self.pods: dict[str, Pod] = {}
        self.seen_pods: dict[str, Pod] = {}
        self.news: list[tuple[str, Pod | None]] = []
        self.unseen: dict[str, Pod] = {}
        self.released: set[str] = set()
        self.made = self.succeeded = self.failed = 0
        self.failures = Counter[str | None]()
        self.most_active = 0

    def put(self, changed: Pod) -> None:
        uid = changed.metadata.uid or ""
        self.pods[uid] = changed
        self.news.append((uid, changed))

    def lose(self, uid: str) -> None:
        if not self.pods[uid].metadata.finalizers:
            del self.pods[uid]
            self.news.append((uid, None))

    def finish(self, number: int, phase: str) -> None:
        running = [one for one in self.pods.values() if one.status.phase == "Running"]
        if running:
            chosen = running[number % len(running)]
            index = chosen.metadata.annotations.get(INDEX)
            ended = pod(
                chosen.metadata.uid or "",
                phase,
                index=None if index is None else int(index),
                ended=1e6,
                failures=int(chosen.metadata.annotations.get(FAILURES, "0")),
            )
            ended.metadata.finalizers = chosen.metadata.finalizers
            if TRACKING in ended.metadata.finalizers:
                self.succeeded += phase == "Succeeded"
                self.failed += phase == "Failed"
                self.failures[index] += phase == "Failed"
            self.put(ended)

    def learn(self, count: int) -> None:
        for _ in range(min(count, len(self.news))):
            uid, changed = self.news.pop(0)
            self.unseen.pop(uid, None)
            if changed is None:
                self.seen_pods.pop(uid, None)
            else:
                self.seen_pods[uid] = changed
            if changed is None or TRACKING not in changed.metadata.finalizers:
                self.released.discard(uid)

    def see_job(self) -> None:
        self.seen_job, self.seen_version = self.job, self.version

    def restart(self) -> None:
        """The controller forgets everything and lists anew."""
        self.news.clear()
        self.unseen.clear()
        self.released.clear()
        self.outdated = None
        self.seen_pods = dict(self.pods)
        self.see_job()

    def reconcile(self, budget: int) -> None:
        """Do at most `budget` of the writes that the plan asks for, then die or go on."""
        if self.seen_version == self.outdated:
            return
        known = {**self.unseen, **self.seen_pods}
        view = [self.masked(one) for one in known.values()]
        todo = plan(self.seen_job, view, NOW)
        if todo.status != self.seen_job.status:
            if self.seen_version != self.version or not budget:
                return
            self.job, budget = with_status(self.job, todo.status), budget - 1
            self.version += 1
            self.outdated = self.seen_version
        for one in todo.release:
            if not budget:
                return
            self.release(one.metadata.uid or "")
            budget -= 1
        for one in todo.delete:
            if not budget:
                return
            self.release(one.metadata.uid or "")
            self.unseen.pop(one.metadata.uid or "", None)
            if one.metadata.uid in self.pods and self.pods[one.metadata.uid].status.phase == "Running":
                self.lose(one.metadata.uid)
            budget -= 1
        for template in todo.create:
            if not budget:
                return
            self.create(template)
            budget -= 1

    def masked(self, one: Pod) -> Pod:
        if one.metadata.uid not in self.released:
            return one
        return msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, finalizers=[]))

    def release(self, uid: str) -> None:
        if uid in self.pods and self.pods[uid].metadata.finalizers:
            self.put(
                msgspec.structs.replace(
                    self.pods[uid], metadata=msgspec.structs.replace(self.pods[uid].metadata, finalizers=[])
                )
            )
            self.released.add(uid)

    def create(self, template: Pod) -> None:
        self.made += 1
        index = template.metadata.annotations.get(INDEX)
        failures = int(template.metadata.annotations.get(FAILURES, "0"))
        made = pod(f"p{self.made}", index=None if index is None else int(index), failures=failures)
        self.put(made)
        self.unseen[made.metadata.uid or ""] = made
        active = sum(one.status.phase == "Running" for one in self.pods.values())
        self.most_active = max(self.most_active, active)


Steps = st.lists(
    st.one_of(
        st.tuples(st.just("reconcile"), st.integers(0, 6)),
        st.tuples(st.just("learn"), st.integers(1, 5)),
        st.tuples(st.just("see job"), st.just(0)),
        st.tuples(st.just("succeed"), st.integers(0, 9)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("collect"), st.integers(0, 9)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=80,
)


def live(world: World, steps: list[tuple[str, int]]) -> None:
    """Let it all happen; neither too many pods run at any time, nor is any counted twice."""
    for what, number in steps:
        match what:
            case "reconcile":
                world.reconcile(number)
                if number < 3:
                    world.restart()
            case "learn":
                world.learn(number)
            case "see job":
                world.see_job()
            case "succeed":
                world.finish(number, "Succeeded")
            case "fail":
                world.finish(number, "Failed")
            case "collect" if world.pods:
                world.lose(sorted(world.pods)[number % len(world.pods)])
            case "restart":
                world.restart()
        assert world.most_active <= (world.job.spec.parallelism or 0)
        assert (world.job.status.failed or 0) <= world.failed
        assert (world.job.status.succeeded or 0) <= world.succeeded
    for _ in range(60):
        world.learn(1000)
        world.see_job()
        world.reconcile(1000)
        world.finish(0, "Succeeded")
    assert finish(world.job) is not None
    assert all(TRACKING not in one.metadata.finalizers for one in world.pods.values())


@settings(max_examples=100, deadline=None)
@given(completions=st.integers(1, 3), limit=st.integers(0, 2), steps=Steps)
def test_no_index_is_tried_more_often_than_its_limit_allows(
    completions: int, limit: int, steps: list[tuple[str, int]]
) -> None:
    limited = job(
        completion_mode="Indexed",
        completions=completions,
        parallelism=completions,
        backoff_limit=None,
        backoff_limit_per_index=limit,
    )
    world = World(limited)
    live(world, steps)
    assert all(number <= limit + 1 for number in world.failures.values())
    given_up = {int(index or 0) for index, number in world.failures.items() if number > limit}
    assert _job_indexes.parse(world.job.status.failed_indexes, completions) == given_up


@settings(max_examples=200, deadline=None)
@given(indexed=st.booleans(), completions=st.integers(1, 5), parallelism=st.integers(1, 4), steps=Steps)
def test_each_pod_counts_exactly_once_through_stale_views_and_crashes(
    indexed: bool, completions: int, parallelism: int, steps: list[tuple[str, int]]
) -> None:
    mode = "Indexed" if indexed else "NonIndexed"
    world = World(
        job(completion_mode=mode, completions=completions, parallelism=parallelism, backoff_limit=1000)
    )
    live(world, steps)
    assert world.job.status.failed == (world.failed or None)
    if indexed:
        assert world.job.status.completed_indexes == _job_indexes.text(range(completions))
    else:
        assert world.job.status.succeeded == world.succeeded
