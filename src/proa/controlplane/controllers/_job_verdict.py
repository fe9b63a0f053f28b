"""Whether a Job has succeeded or failed, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from proa.controlplane.controllers._job_count import Count
from proa.controlplane.controllers._job_indexes import parse
from proa.controlplane.controllers._job_pods import is_indexed, restarts_of
from proa.kube.models.batch_v1 import Job, JobCondition

UNLIMITED = 2**31 - 1


@dataclass(frozen=True)
class Verdict:
    """The end that a Job has come to; it is carried out before it is announced.

    Attributes:
        outcome: The type of the condition that announces it.
        reason: Why, in one word.
        message: Why, in a sentence.
    """

    outcome: Literal["Complete", "Failed"]
    reason: str
    message: str

    @property
    def interim(self) -> str:
        """The condition that stands until the pods are gone."""
        return "SuccessCriteriaMet" if self.outcome == "Complete" else "FailureTarget"


def condition(job: Job, kind: str) -> JobCondition | None:
    """Return the Job's condition of a type, if it is true."""
    return next((one for one in job.status.conditions if one.type == kind and one.status == "True"), None)


def finish(job: Job) -> JobCondition | None:
    """Return the condition that says that the Job has finished."""
    return condition(job, "Complete") or condition(job, "Failed")


def verdict(job: Job, counted: Count, now: datetime) -> Verdict | None:
    """Return the end that the Job has come to; None while it goes on. What was decided once stays."""
    if known := condition(job, "FailureTarget"):
        return Verdict("Failed", known.reason or "", known.message or "")
    if known := condition(job, "SuccessCriteriaMet"):
        return Verdict("Complete", known.reason or "", known.message or "")
    return _failure(job, counted, now) or _success(job, counted) or _failed_indexes(job, counted)


def seconds_left(job: Job, now: datetime) -> float | None:
    """Return how long an unfinished Job may still be active; None if it has no deadline."""
    limit, start = job.spec.active_deadline_seconds, job.status.start_time
    if limit is None or start is None or job.spec.suspend:
        return None
    return (start + timedelta(seconds=limit) - now).total_seconds()


def _failure(job: Job, counted: Count, now: datetime) -> Verdict | None:
    if counted.fatal is not None:
        return Verdict("Failed", "PodFailurePolicy", counted.fatal)
    limit = job.spec.backoff_limit
    if limit is None:
        limit = 6 if job.spec.backoff_limit_per_index is None else UNLIMITED
    if counted.all_failed > limit or _restarted_too_often(job, counted, limit):
        return Verdict("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = seconds_left(job, now)
    if left is not None and left <= 0:
        return Verdict("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    most = job.spec.max_failed_indexes
    if most is not None and len(counted.failed_indexes) > most:
        return Verdict(
            "Failed",
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        )
    return None


def _restarted_too_often(job: Job, counted: Count, limit: int) -> bool:
    if job.spec.template.spec.restart_policy != "OnFailure":
        return False
    restarts = sum(restarts_of(pod) for pod in counted.active)
    return restarts > 0 if limit == 0 else restarts >= limit


def _success(job: Job, counted: Count) -> Verdict | None:
    if met := _policy_met(job, counted):
        return met
    completions = job.spec.completions
    if completions is None:
        done = counted.all_succeeded > 0 and not counted.active
    else:
        done = counted.all_succeeded >= completions
    return (
        Verdict("Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        if done
        else None
    )


def _policy_met(job: Job, counted: Count) -> Verdict | None:
    rules = job.spec.success_policy.rules if job.spec.success_policy and is_indexed(job) else []
    completions = job.spec.completions or 0
    for number, rule in enumerate(rules):
        among = counted.completed
        if rule.succeeded_indexes is not None:
            among = among & parse(rule.succeeded_indexes, completions)
        needed = rule.succeeded_count
        if needed is None:
            needed = len(parse(rule.succeeded_indexes, completions))
        if len(among) >= needed:
            return Verdict("Complete", "SuccessPolicy", f"Matched rules at index {number}")
    return None


def _failed_indexes(job: Job, counted: Count) -> Verdict | None:
    """Every index has come to its end, and some have failed."""
    if not counted.failed_indexes or job.spec.completions is None:
        return None
    if len(counted.completed | counted.failed_indexes) < job.spec.completions:
        return None
    return Verdict("Failed", "FailedIndexes", "Job has failed indexes")
