"""A clock that is put forward or back, or goes on while the machine sleeps."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from proa.app.testing import virtual_time
from proa.controlplane.controllers import _cronjob, _eviction, _job
from proa.controlplane.controllers._cronjob import CronJobController
from proa.controlplane.controllers._eviction import TaintEvictionController
from proa.controlplane.controllers._job import JobController
from proa.controlplane.controllers._pods import available_since
from proa.kube import Api, Merge
from proa.kube.models.batch_v1 import (
    CronJob,
    CronJobSpec,
    CronJobStatus,
    Job,
    JobCondition,
    JobSpec,
    JobStatus,
    JobTemplateSpec,
)
from proa.kube.models.core_v1 import (
    Container,
    Node,
    NodeSpec,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    PodTemplateSpec,
    Taint,
    Toleration,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Recorder, Reflector
from proa.runtime.testing import MemoryServer

NIGHT = datetime(2026, 1, 1, 22, tzinfo=UTC)
JOB = JobSpec(template=PodTemplateSpec(spec=PodSpec(containers=[Container(name="main")])))


class Clock:
    """The calendar's time, which is set by hand; timers know nothing of it."""

    now = NIGHT


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (_cronjob, _eviction, _job):
        monkeypatch.setattr(module, "now", lambda: made.now)
    return made


@virtual_time
async def test_a_run_that_was_due_while_the_machine_slept_begins_within_a_minute(clock: Clock) -> None:
    server = MemoryServer()
    async with (
        server.client() as client,
        Recorder(client, "cronjob-controller") as recorder,
        Reflector(Api(client, CronJob)) as cron_jobs,
        Reflector(Api(client, Job)) as jobs,
        CronJobController(client, cron_jobs, jobs, recorder).controller,
    ):
        cron_job = CronJob(
            metadata=ObjectMeta(name="daily", namespace="default"),
            spec=CronJobSpec(schedule="0 9 * * *", job_template=JobTemplateSpec(spec=JOB)),
            status=CronJobStatus(last_schedule_time=NIGHT - timedelta(hours=13)),
        )
        api = Api(client, CronJob, namespace="default")
        await api.replace_status(replace(await api.create(cron_job), status=cron_job.status))

        async def started() -> list[str]:
            return [one.metadata.name or "" async for one in Api(client, Job, namespace="default").list()]

        await asyncio.sleep(100)
        assert await started() == []
        clock.now += timedelta(hours=12)
        await asyncio.sleep(61)
        assert len(await started()) == 1
        clock.now -= timedelta(hours=3)
        await asyncio.sleep(200)
        assert len(await started()) == 1


@virtual_time
async def test_a_finished_job_goes_within_a_minute_of_its_time(clock: Clock) -> None:
    server = MemoryServer()
    async with (
        server.client() as client,
        Recorder(client, "job-controller") as recorder,
        Reflector(Api(client, Pod)) as pods,
        Reflector(Api(client, Job)) as jobs,
        JobController(client, jobs, pods, recorder).controller,
    ):
        api = Api(client, Job, namespace="default")
        spec = replace(JOB, ttl_seconds_after_finished=3600)
        job = await api.create(Job(metadata=ObjectMeta(name="once", namespace="default"), spec=spec))
        done = JobCondition(type="Complete", status="True", last_transition_time=NIGHT)
        await api.replace_status(replace(job, status=JobStatus(conditions=[done])))
        await asyncio.sleep(100)
        assert await api.get_opt("once") is not None
        clock.now += timedelta(hours=1)
        await asyncio.sleep(61)
        assert await api.get_opt("once") is None


@virtual_time
async def test_a_toleration_s_time_is_the_calendar_s(clock: Clock) -> None:
    server = MemoryServer()
    async with (
        server.client() as client,
        Recorder(client, "taint-eviction-controller") as recorder,
        Reflector(Api(client, Node)) as nodes,
        Reflector(Api(client, Pod)) as pods,
        TaintEvictionController(client, nodes, pods, recorder).controller,
    ):
        taint = Taint(key="gone", effect="NoExecute", time_added=NIGHT)
        await Api(client, Node).create(Node(metadata=ObjectMeta(name="n"), spec=NodeSpec(taints=[taint])))
        api = Api(client, Pod, namespace="default")
        stays = Toleration(key="gone", operator="Exists", toleration_seconds=3600)
        spec = PodSpec(node_name="n", containers=[Container(name="main")], tolerations=[stays])
        await api.create(Pod(metadata=ObjectMeta(name="p", namespace="default"), spec=spec))
        await asyncio.sleep(100)
        assert (await api.get("p")).metadata.deletion_timestamp is None
        clock.now += timedelta(hours=1)
        await asyncio.sleep(61)
        left = await api.get_opt("p")
        assert left is None or left.metadata.deletion_timestamp is not None


@virtual_time
async def test_a_taint_that_does_not_say_since_when_counts_from_when_it_was_seen(clock: Clock) -> None:
    server = MemoryServer()
    async with (
        server.client() as client,
        Recorder(client, "taint-eviction-controller") as recorder,
        Reflector(Api(client, Node)) as nodes,
        Reflector(Api(client, Pod)) as pods,
        TaintEvictionController(client, nodes, pods, recorder).controller,
    ):
        fire = Taint(key="fire", value="yes", effect="NoExecute")  # as `kubectl taint` makes it
        await Api(client, Node).create(Node(metadata=ObjectMeta(name="n"), spec=NodeSpec(taints=[fire])))
        api = Api(client, Pod, namespace="default")
        stays = Toleration(key="fire", operator="Exists", toleration_seconds=90)
        spec = PodSpec(node_name="n", containers=[Container(name="main")], tolerations=[stays])
        await api.create(Pod(metadata=ObjectMeta(name="p", namespace="default"), spec=spec))
        await asyncio.sleep(61)
        clock.now += timedelta(seconds=61)
        for heartbeat in range(3):
            labels = {"metadata": {"labels": {"heartbeat": str(heartbeat)}}}
            await Api(client, Node).patch("n", Merge(labels))
        await asyncio.sleep(1)
        assert (await api.get("p")).metadata.deletion_timestamp is None
        clock.now += timedelta(seconds=30)
        await asyncio.sleep(61)
        left = await api.get_opt("p")
        assert left is None or left.metadata.deletion_timestamp is not None


def test_a_pod_that_need_not_stay_ready_is_available_though_the_clock_was_put_back() -> None:
    ready = PodCondition(type="Ready", status="True", last_transition_time=NIGHT + timedelta(hours=1))
    pod = Pod(status=PodStatus(conditions=[ready]))
    since = available_since(pod, 0)
    assert since is not None
    assert since <= NIGHT
    assert available_since(pod, 10) == NIGHT + timedelta(hours=1, seconds=10)
