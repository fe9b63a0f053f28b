"""Counting a Job's pods: each finished one exactly once, however often this is done and interrupted.

A pod that has finished keeps the finalizer `TRACKING` until the status mentions it. The steps are those of
Kubernetes (KEP-2307): its uid is written into the status as uncounted; its finalizer is removed; once the pod
is seen without it, the uid becomes one more in the status' number. Every write of the status is bound to the
version that it was computed from, so a stale view loses to the server instead of counting twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from proa.controlplane.controllers._job_indexes import parse
from proa.controlplane.controllers._job_pods import (
    failures_of,
    has_failed,
    has_succeeded,
    index_of,
    is_indexed,
    is_tracked,
    judge,
)
from proa.controlplane.controllers._pods import has_ended, is_active
from proa.kube.models.batch_v1 import Job
from proa.kube.models.core_v1 import Pod


@dataclass
class Count:
    """What a Job's pods come to.

    Attributes:
        succeeded: Pods (or indexes) counted as done.
        failed: Pods counted as failed.
        uncounted_succeeded: Uids of further ones whose finalizer stands in the way of counting them.
        uncounted_failed: The same for failed ones.
        completed: The indexes that are done.
        failed_indexes: The indexes that have failed for good.
        active: Pods that run or will.
        stray: Pods that run and could never be counted, because their finalizer was taken away.
        terminating: Pods that have been deleted and have not ended.
        release: Pods that have been taken into account and need to be kept no longer.
        fatal: Why one pod's failure fails the Job at once.
    """

    succeeded: int = 0
    failed: int = 0
    uncounted_succeeded: set[str] = field(default_factory=set)
    uncounted_failed: set[str] = field(default_factory=set)
    completed: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    active: list[Pod] = field(default_factory=list)
    stray: list[Pod] = field(default_factory=list)
    terminating: list[Pod] = field(default_factory=list)
    release: list[Pod] = field(default_factory=list)
    fatal: str | None = None

    @property
    def all_succeeded(self) -> int:
        """All that succeeded so far."""
        return self.succeeded + len(self.uncounted_succeeded)

    @property
    def all_failed(self) -> int:
        """All that failed so far."""
        return self.failed + len(self.uncounted_failed)

    @property
    def settled(self) -> bool:
        """Whether no pod is left that could still change the numbers."""
        return not (
            self.active
            or self.stray
            or self.terminating
            or self.release
            or self.uncounted_succeeded
            or self.uncounted_failed
        )


def count(job: Job, pods: Sequence[Pod]) -> Count:
    """Count `pods`, all that the Job controls, on top of what its status says."""
    result = _resume(job, {pod.metadata.uid or "" for pod in pods if is_tracked(pod)})
    for pod in pods:
        if has_succeeded(pod):
            _succeeded(job, result, pod)
        elif has_failed(job, pod):
            _failed(job, result, pod)
        if is_active(pod):
            (result.active if is_tracked(pod) else result.stray).append(pod)
        elif not has_ended(pod):
            result.terminating.append(pod)
    if is_indexed(job):
        result.succeeded = len(result.completed)
        result.failed_indexes -= result.completed
    return result


def _resume(job: Job, tracked: set[str]) -> Count:
    """Start from the status; an uncounted pod without the finalizer is counted."""
    status = job.status
    uncounted, completions = status.uncounted_terminated_pods, job.spec.completions or 0
    succeeded = set(uncounted.succeeded if uncounted else ())
    failed = set(uncounted.failed if uncounted else ())
    return Count(
        succeeded=(status.succeeded or 0) + len(succeeded - tracked),
        failed=(status.failed or 0) + len(failed - tracked),
        uncounted_succeeded=succeeded & tracked,
        uncounted_failed=failed & tracked,
        completed=set(parse(status.completed_indexes, completions)),
        failed_indexes=set(parse(status.failed_indexes, completions)),
    )


def _succeeded(job: Job, result: Count, pod: Pod) -> None:
    if not is_tracked(pod):
        return
    result.release.append(pod)
    index = index_of(job, pod)
    if not is_indexed(job):
        result.uncounted_succeeded.add(pod.metadata.uid or "")
    elif index is not None:
        result.completed.add(index)


def _failed(job: Job, result: Count, pod: Pod) -> None:
    if not is_tracked(pod):
        return
    judgement = judge(job, pod)
    if judgement.action != "Ignore":
        result.uncounted_failed.add(pod.metadata.uid or "")
    if judgement.action == "FailJob":
        result.fatal = result.fatal or judgement.message
    limit, index = job.spec.backoff_limit_per_index, index_of(job, pod)
    if limit is not None and index is not None:
        exhausted = failures_of(pod) >= limit and judgement.action != "Ignore"
        if exhausted or judgement.action == "FailIndex":
            result.failed_indexes.add(index)
    result.release.append(pod)
