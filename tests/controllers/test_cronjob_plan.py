"""When CronJobs are due, and what they do then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from proa.controlplane.controllers._cron import Schedule, ScheduleError
from proa.controlplane.controllers._cronjob_plan import Plan, plan
from proa.kube.models.batch_v1 import (
    CronJob,
    CronJobSpec,
    CronJobStatus,
    Job,
    JobCondition,
    JobStatus,
    JobTemplateSpec,
)
from proa.kube.models.meta_v1 import ObjectMeta

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def cron_job(schedule: str = "*/10 * * * *", last: datetime | None = None, **spec: Any) -> CronJob:
    values: dict[str, Any] = {
        "schedule": schedule,
        "concurrency_policy": "Allow",
        "successful_jobs_history_limit": 3,
        "failed_jobs_history_limit": 1,
        "job_template": JobTemplateSpec(metadata=ObjectMeta(labels={"app": "report"})),
    }
    return CronJob(
        metadata=ObjectMeta(
            name="report", namespace="default", uid="cj", creation_timestamp=NOON - timedelta(minutes=5)
        ),
        spec=CronJobSpec(**(values | spec)),
        status=CronJobStatus(last_schedule_time=last),
    )


def job(name: str, ended: str | None = None, at: datetime = NOON) -> Job:
    status = JobStatus(start_time=at)
    if ended:
        status.conditions = [JobCondition(type=ended, status="True", last_transition_time=at)]
        status.completion_time = at if ended == "Complete" else None
    return Job(metadata=ObjectMeta(name=name, namespace="default", uid=name), status=status)


def at(now: datetime, wanted: CronJob, *jobs: Job, zone: str = "UTC") -> Plan:
    return plan(wanted, jobs, Schedule.parse(wanted.spec.schedule, ZoneInfo(zone)), now)


def reasons(todo: Plan) -> list[str]:
    return [notice.reason for notice in todo.notices]


def test_nothing_is_started_before_its_time_which_is_waited_for() -> None:
    todo = at(NOON - MINUTE, cron_job())
    assert (todo.start, todo.again) == (None, 60)


def test_a_run_that_is_due_is_started_under_a_name_made_of_its_time() -> None:
    todo = at(NOON + timedelta(seconds=3), cron_job())
    assert todo.start is not None
    assert todo.start.metadata.name == f"report-{int(NOON.timestamp()) // 60}"
    assert todo.start.metadata.annotations == {
        "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-03-10T12:00:00Z"
    }
    assert todo.start.metadata.labels == {"app": "report"}
    assert todo.start.metadata.owner_references[0].uid == "cj"
    assert (todo.status.last_schedule_time, todo.again) == (NOON, 597)


def test_a_run_is_started_once() -> None:
    assert at(NOON + timedelta(seconds=3), cron_job(last=NOON)).start is None


def test_of_many_missed_runs_only_the_latest_is_made_up_for() -> None:
    todo = at(NOON + timedelta(minutes=35), cron_job(last=NOON))
    assert todo.status.last_schedule_time == NOON + timedelta(minutes=30)
    assert reasons(todo) == []


def test_too_many_missed_runs_are_told_of() -> None:
    todo = at(NOON + timedelta(days=3), cron_job(last=NOON))
    assert todo.start is not None
    assert reasons(todo) == ["TooManyMissedTimes"]


def test_a_run_missed_beyond_its_deadline_is_not_made_up_for() -> None:
    late = NOON + timedelta(minutes=5)
    assert at(late, cron_job(starting_deadline_seconds=60)).start is None
    assert at(late, cron_job(starting_deadline_seconds=600)).start is not None


def test_a_clock_that_jumps_back_starts_nothing_twice() -> None:
    assert at(NOON - timedelta(hours=5), cron_job(last=NOON)).start is None


@pytest.mark.parametrize(
    ("policy", "starts", "removes"), [("Allow", 1, []), ("Forbid", 0, []), ("Replace", 1, ["old"])]
)
def test_what_happens_while_the_last_run_goes_on(policy: str, starts: int, removes: list[str]) -> None:
    todo = at(NOON, cron_job(concurrency_policy=policy), job("old"))
    assert (todo.start is not None) == bool(starts)
    assert [one.metadata.name for one in todo.remove] == removes
    assert reasons(todo) == (["JobAlreadyActive"] if policy == "Forbid" else [])
    assert [one.name for one in todo.status.active] == ["old"]


def test_a_suspended_one_starts_nothing_and_still_looks_after_what_has_finished() -> None:
    done = [job(f"j{number}", "Complete", NOON + number * MINUTE) for number in range(5)]
    todo = at(NOON, cron_job(suspend=True), *done, job("f1", "Failed"), job("f2", "Failed", NOON + MINUTE))
    assert todo.start is None
    assert [one.metadata.name for one in todo.remove] == ["j0", "j1", "f1"]
    assert todo.status.last_successful_time == NOON + 4 * MINUTE


def test_the_end_of_a_job_that_was_active_is_told() -> None:
    wanted = cron_job(last=NOON)
    wanted.status = at(NOON, wanted, job("old")).status
    assert (
        at(NOON, wanted, job("old", "Failed")).notices[0].message
        == "Saw completed job: old, condition: Failed"
    )


def test_the_time_zone_s_clock_counts() -> None:
    daily = Schedule.parse("30 9 * * *", ZoneInfo("Asia/Kolkata"))
    assert daily.after(NOON) == datetime(2026, 3, 11, 4, tzinfo=UTC)
    todo = at(NOON, cron_job("0 8 * * *", starting_deadline_seconds=60), zone="America/New_York")
    assert todo.start is not None
    assert list(todo.start.metadata.annotations.values()) == ["2026-03-10T08:00:00-04:00"]


def test_a_run_in_the_hour_that_is_skipped_happens_after_it_and_one_in_a_doubled_hour_once() -> None:
    berlin = Schedule.parse("30 2 * * *", ZoneInfo("Europe/Berlin"))
    spring = berlin.after(datetime(2026, 3, 28, 12, tzinfo=UTC))
    assert spring == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    autumn = berlin.after(datetime(2026, 10, 24, 12, tzinfo=UTC))
    assert autumn is not None
    following = berlin.after(autumn)
    assert following is not None
    assert following - autumn > timedelta(hours=20)


@pytest.mark.parametrize("text", ["@every 1s", "*/10 * * * *", "@hourly", "0 12 * * *"])
def test_the_last_run_is_the_one_before_the_next(text: str) -> None:
    schedule = Schedule.parse(text)
    last = schedule.last(NOON - timedelta(days=2), NOON)
    assert last == NOON
    assert schedule.last(NOON, NOON) is None
    assert schedule.last(NOON, NOON + timedelta(milliseconds=900)) is None


def test_names_and_periods_are_known() -> None:
    assert Schedule.parse("@daily").after(NOON) == datetime(2026, 3, 11, tzinfo=UTC)
    assert Schedule.parse("@every 1h30m").after(NOON) == NOON + timedelta(minutes=90)
    assert Schedule.parse("0 0 ? JAN mon").after(NOON) == datetime(2027, 1, 4, tzinfo=UTC)
    assert Schedule.parse("@every 10m").missed(NOON, NOON + timedelta(days=9)) == 101


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@often",
        "* * * *",
        "* * * * * *",
        "61 * * * *",
        "@every soon",
        "@every 5ms",
        "0 0 L * *",
        "0 0 * * 5#2",
    ],
)
def test_a_schedule_that_kubernetes_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError):
        Schedule.parse(text)
