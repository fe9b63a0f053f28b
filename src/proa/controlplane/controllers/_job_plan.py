"""What a Job needs next: a plain function of the Job, its pods and the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from proa.controlplane.controllers._job_count import Count, count
from proa.controlplane.controllers._job_indexes import text
from proa.controlplane.controllers._job_pods import (
    failures_of,
    finished_at,
    has_failed,
    has_succeeded,
    index_of,
    is_indexed,
    is_tracked,
    judge,
    new_pod,
    replaces_failed_only,
)
from proa.controlplane.controllers._job_verdict import Verdict, finish, seconds_left, verdict
from proa.controlplane.controllers._pods import EPOCH, dispensable, is_ready
from proa.kube.models.batch_v1 import Job, JobCondition, JobStatus, UncountedTerminatedPods
from proa.kube.models.core_v1 import Pod

BURST = 500
"""The most pods created or deleted for one Job in one go."""

FIRST_DELAY = 10.0
LONGEST_DELAY = 600.0


@dataclass(frozen=True)
class Plan:
    """The writes that bring the Job closer to its end, to be done in this order.

    Attributes:
        status: The status to write. What follows is done only if that succeeds.
        release: Pods to take the finalizer from: the status mentions them.
        delete: Pods to end.
        create: Pods to make.
        again: Seconds until time alone makes a difference.
    """

    status: JobStatus
    release: tuple[Pod, ...] = ()
    delete: tuple[Pod, ...] = ()
    create: tuple[Pod, ...] = ()
    again: float | None = None


def plan(job: Job, pods: Sequence[Pod], now: datetime) -> Plan:
    """Return what to do, given all pods that the Job controls."""
    if finish(job) or job.metadata.deletion_timestamp is not None:
        return Plan(job.status, release=tuple(pod for pod in pods if is_tracked(pod)), again=expiry(job, now))
    counted = count(job, pods)
    end = verdict(job, counted, now)
    status = _status(job, counted, end, now)
    kept = _remembered(job, counted, pods) if end is None else ()
    release = tuple(pod for pod in counted.release if pod.metadata.uid not in kept)
    if end is not None or job.spec.suspend:
        return Plan(status, release, tuple([*counted.stray, *counted.active][:BURST]))
    surplus = _surplus(job, counted)
    due, later = _due(job, counted, pods, now)
    waits = [seconds for seconds in (seconds_left(job, now), later) if seconds is not None]
    return Plan(status, release, surplus, tuple(due[:BURST]), min(waits, default=None))


def expiry(job: Job, now: datetime) -> float | None:
    """Return the seconds until a finished Job is to be deleted, at most 0 if it is due; None if never."""
    done, keep = finish(job), job.spec.ttl_seconds_after_finished
    if done is None or keep is None:
        return None
    return ((done.last_transition_time or now) + timedelta(seconds=keep) - now).total_seconds()


def _wanted(job: Job, counted: Count) -> int:
    """Return how many pods should be active."""
    parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
    if job.spec.completions is None:
        # Once one has succeeded the others finish, and none is added.
        return min(parallelism, len(counted.active)) if counted.all_succeeded else parallelism
    ended = counted.all_succeeded + len(counted.failed_indexes)
    return max(0, min(parallelism, job.spec.completions - ended))


def _surplus(job: Job, counted: Count) -> tuple[Pod, ...]:
    """Return the active pods that are too many: first those whose index is done, twice there or no index."""
    unneeded, needed = _sorted_out(job, counted) if is_indexed(job) else ([], counted.active)
    excess = max(0, len(needed) - _wanted(job, counted))
    return tuple([*counted.stray, *unneeded, *dispensable(needed)[:excess]][:BURST])


def _sorted_out(job: Job, counted: Count) -> tuple[list[Pod], list[Pod]]:
    ended = counted.completed | counted.failed_indexes
    needed: dict[int, Pod] = {}
    unneeded: list[Pod] = []
    for pod in reversed(dispensable(counted.active)):
        index = index_of(job, pod)
        if index is None or index in ended or index in needed:
            unneeded.append(pod)
        else:
            needed[index] = pod
    return unneeded, list(needed.values())


def _due(job: Job, counted: Count, pods: Sequence[Pod], now: datetime) -> tuple[list[Pod], float | None]:
    """Return the pods to create now, and the seconds until another is due after failures."""
    occupied = [*counted.active, *(counted.terminating if replaces_failed_only(job) else ())]
    missing = _wanted(job, counted) - len(occupied)
    if missing <= 0:
        return [], None
    in_a_row = _in_a_row(job, pods)
    if not is_indexed(job):
        wait = _delay(*in_a_row, now)
        return ([], wait) if wait > 0 else ([new_pod(job, None)] * missing, None)
    per_index = job.spec.backoff_limit_per_index is not None
    histories = _histories(job, pods) if per_index else {}
    taken = counted.completed | counted.failed_indexes | {index_of(job, pod) for pod in occupied}
    due: list[Pod] = []
    waits: list[float] = []
    for index in range(job.spec.completions or 0):
        if index in taken:
            continue
        failures, last = histories.get(index, (0, EPOCH)) if per_index else in_a_row
        wait = _delay(failures, last, now)
        if wait > 0:
            waits.append(wait)
        elif len(due) < missing:
            due.append(new_pod(job, index, failures))
        else:
            break
    return due, min(waits, default=None)


def _in_a_row(job: Job, pods: Iterable[Pod]) -> tuple[int, datetime]:
    """Return how many pods failed since the last success, and when the last of them did."""
    last_success = max((finished_at(pod) for pod in pods if has_succeeded(pod)), default=EPOCH)
    ends = [finished_at(pod) for pod in pods if _counts_as_failed(job, pod)]
    since = [end for end in ends if end > last_success]
    return len(since), max(since, default=EPOCH)


def _histories(job: Job, pods: Iterable[Pod]) -> dict[int, tuple[int, datetime]]:
    """Return of each index how often it has failed, as far as its pods know, and when it did last."""
    found: dict[int, tuple[int, datetime]] = {}
    for pod in pods:
        index, counts = index_of(job, pod), _counts_as_failed(job, pod)
        if index is not None and has_failed(job, pod):
            failures, last = found.get(index, (0, EPOCH))
            end = finished_at(pod) if counts else EPOCH
            found[index] = max(failures, failures_of(pod) + counts), max(last, end)
    return found


def _counts_as_failed(job: Job, pod: Pod) -> bool:
    return has_failed(job, pod) and judge(job, pod).action != "Ignore"


def _remembered(job: Job, counted: Count, pods: Iterable[Pod]) -> set[str]:
    """Return the pods that alone know how often an index has failed, until its next pod is there.

    As long as they are held, nobody who deletes them makes the index begin anew.
    """
    if job.spec.backoff_limit_per_index is None:
        return set()
    newest: dict[int, Pod] = {}
    for pod in sorted(pods, key=lambda pod: (failures_of(pod), not has_failed(job, pod))):
        if (index := index_of(job, pod)) is not None:
            newest[index] = pod
    ended = counted.completed | counted.failed_indexes
    return {pod.metadata.uid or "" for index, pod in newest.items() if index not in ended}


def _delay(failures: int, last: datetime, now: datetime) -> float:
    """Return the seconds to wait: 10 after a failure, twice as many after each further one in a row."""
    if not failures or last == EPOCH:
        return 0.0
    pause: float = min(FIRST_DELAY * 2 ** min(failures - 1, 16), LONGEST_DELAY)
    # A clock that was put back makes no pause longer.
    return min(pause, (last + timedelta(seconds=pause) - now).total_seconds())


def _status(job: Job, counted: Count, end: Verdict | None, now: datetime) -> JobStatus:
    """Return the status; numbers that are 0 are left out, as Kubernetes does."""
    before = job.status
    uncounted = UncountedTerminatedPods(
        succeeded=sorted(counted.uncounted_succeeded), failed=sorted(counted.uncounted_failed)
    )
    conditions = _conditions(job, counted, end, now)
    complete = any(one.type == "Complete" for one in conditions)
    return JobStatus(
        active=len(counted.active) or None,
        ready=sum(map(is_ready, counted.active)),
        terminating=len(counted.terminating),
        succeeded=counted.succeeded or None,
        failed=counted.failed or None,
        completed_indexes=text(counted.completed) or None,
        failed_indexes=_failed_indexes(job, counted),
        uncounted_terminated_pods=uncounted,
        start_time=None if job.spec.suspend and end is None else before.start_time or now,
        completion_time=now if complete else None,
        conditions=conditions,
    )


def _failed_indexes(job: Job, counted: Count) -> str | None:
    return None if job.spec.backoff_limit_per_index is None else text(counted.failed_indexes)


def _conditions(job: Job, counted: Count, end: Verdict | None, now: datetime) -> list[JobCondition]:
    conditions = list(job.status.conditions)
    if end is None:
        return _suspension(job, conditions, now)
    for kind in (end.interim, *((end.outcome,) if counted.settled else ())):
        if all(one.type != kind for one in conditions):
            conditions.append(_condition(kind, "True", end.reason, end.message, now))
    return conditions


def _suspension(job: Job, conditions: list[JobCondition], now: datetime) -> list[JobCondition]:
    known = next((one for one in conditions if one.type == "Suspended"), None)
    wanted = "True" if job.spec.suspend else "False"
    if (known is None and not job.spec.suspend) or (known is not None and known.status == wanted):
        return conditions
    word = "suspended" if job.spec.suspend else "resumed"
    changed = _condition("Suspended", wanted, f"Job{word.capitalize()}", f"Job {word}", now)
    return [one for one in conditions if one is not known] + [changed]


def _condition(kind: str, status: str, reason: str, message: str, now: datetime) -> JobCondition:
    return JobCondition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_probe_time=now,
        last_transition_time=now,
    )
