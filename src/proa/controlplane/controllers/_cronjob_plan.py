"""What a CronJob needs next: a plain function of it, its Jobs, its schedule and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from proa.controlplane.controllers._cron import MANY, Schedule
from proa.controlplane.controllers._job_verdict import condition, finish
from proa.controlplane.controllers._pods import EPOCH, controlled_by
from proa.kube.models.batch_v1 import CronJob, CronJobStatus, Job
from proa.kube.models.core_v1 import ObjectReference
from proa.kube.models.meta_v1 import ObjectMeta

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class Notice(NamedTuple):
    """Something to tell about the CronJob."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """The writes that bring the CronJob up to date, to be done in this order.

    Attributes:
        remove: Jobs to delete: beyond the history's limits, or replaced.
        start: The Job to create.
        status: The status to write, once that is done.
        notices: What to tell.
        again: Seconds until the next run; None if there is none.
    """

    status: CronJobStatus
    remove: tuple[Job, ...] = ()
    start: Job | None = None
    notices: tuple[Notice, ...] = ()
    again: float | None = None


def plan(cron_job: CronJob, jobs: Sequence[Job], schedule: Schedule | None, now: datetime) -> Plan:
    """Return what to do, given all Jobs that the CronJob controls.

    However many runs were missed, only the latest is made up for, and only within `startingDeadlineSeconds`.
    Without a schedule (it cannot be read) only what has finished is looked after.
    """
    active = sorted((job for job in jobs if not finish(job)), key=_age)
    notices = _finished(cron_job, jobs)
    status = _status(cron_job, jobs, active)
    remove = _history(cron_job, jobs)
    if schedule is None or cron_job.spec.suspend or cron_job.metadata.deletion_timestamp is not None:
        return Plan(status, tuple(remove), notices=tuple(notices))
    upcoming = schedule.after(now)
    again = (upcoming - now).total_seconds() if upcoming else None
    due = _due(cron_job, schedule, now, notices)
    if due is None:
        return Plan(status, tuple(remove), notices=tuple(notices), again=again)
    policy = cron_job.spec.concurrency_policy
    if policy == "Forbid" and active:
        why = "Not starting job because prior execution is running and concurrency policy is Forbid"
        notices.append(Notice("Normal", "JobAlreadyActive", why))
        return Plan(status, tuple(remove), notices=tuple(notices), again=again)
    if policy == "Replace":
        remove += [job for job in active if job.metadata.deletion_timestamp is None]
    status.last_schedule_time = due
    return Plan(status, tuple(remove), new_job(cron_job, due, schedule), tuple(notices), again)


def _due(cron_job: CronJob, schedule: Schedule, now: datetime, notices: list[Notice]) -> datetime | None:
    """Return the run that is to be started now."""
    since = cron_job.status.last_schedule_time or cron_job.metadata.creation_timestamp or now
    deadline = cron_job.spec.starting_deadline_seconds
    if deadline is not None and schedule.every is None:
        since = max(since, now - timedelta(seconds=deadline))
    due = schedule.last(since, now)
    if due is not None and deadline is not None and due < now - timedelta(seconds=deadline):
        notices.append(
            Notice(
                "Warning",
                "MissSchedule",
                f"Missed scheduled time to start a job: {due:%a, %d %b %Y %H:%M:%S %z}",
            )
        )
        return None
    if due is not None and schedule.missed(since, now) > MANY:
        hint = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        notices.append(Notice("Warning", "TooManyMissedTimes", f"too many missed start times. {hint}"))
    return due


def new_job(cron_job: CronJob, due: datetime, schedule: Schedule) -> Job:
    """Return the Job for the run at `due`; its name is the same however often it is tried."""
    template = cron_job.spec.job_template
    stamp = due.astimezone(schedule.zone).isoformat().replace("+00:00", "Z")
    return Job(
        metadata=ObjectMeta(
            name=f"{cron_job.metadata.name}-{int(due.timestamp()) // 60}",
            namespace=cron_job.metadata.namespace,
            labels=dict(template.metadata.labels),
            annotations={**template.metadata.annotations, SCHEDULED: stamp},
            owner_references=[controlled_by(cron_job)],
        ),
        spec=template.spec,
    )


def reference(job: Job) -> ObjectReference:
    """Return the reference by which the status names an active Job."""
    return ObjectReference(
        api_version=job.api_version,
        kind=job.kind,
        name=job.metadata.name,
        namespace=job.metadata.namespace,
        uid=job.metadata.uid,
    )


def _age(job: Job) -> tuple[datetime, str]:
    return (job.status.start_time or job.metadata.creation_timestamp or EPOCH, job.metadata.name or "")


def _finished(cron_job: CronJob, jobs: Sequence[Job]) -> list[Notice]:
    """Tell of the Jobs that the status still calls active."""
    known = {one.uid for one in cron_job.status.active}
    return [
        Notice(
            "Normal", "SawCompletedJob", f"Saw completed job: {job.metadata.name}, condition: {ended.type}"
        )
        for job in jobs
        if job.metadata.uid in known and (ended := finish(job))
    ]


def _status(cron_job: CronJob, jobs: Sequence[Job], active: Sequence[Job]) -> CronJobStatus:
    ends = [job.status.completion_time for job in jobs if condition(job, "Complete")]
    before = cron_job.status.last_successful_time
    successes = [end for end in (*ends, before) if end is not None]
    return CronJobStatus(
        active=[reference(job) for job in active],
        last_schedule_time=cron_job.status.last_schedule_time,
        last_successful_time=max(successes, default=None),
    )


def _history(cron_job: CronJob, jobs: Sequence[Job]) -> list[Job]:
    """Return the oldest finished Jobs beyond what is kept of each outcome."""
    spec, remove = cron_job.spec, []
    for kind, limit in (
        ("Complete", spec.successful_jobs_history_limit),
        ("Failed", spec.failed_jobs_history_limit),
    ):
        ended = sorted((job for job in jobs if condition(job, kind)), key=_age)
        if limit is not None:
            remove += ended[: max(0, len(ended) - limit)]
    return [job for job in remove if job.metadata.deletion_timestamp is None]
