"""The CronJob controller: starts Jobs when they are due."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from proa.controlplane.controllers._adoption import by_controller
from proa.controlplane.controllers._clock import look_in
from proa.controlplane.controllers._cron import Schedule, ScheduleError
from proa.controlplane.controllers._cronjob_plan import Plan, plan, reference
from proa.controlplane.controllers._pods import controller_of
from proa.controlplane.controllers._status import same
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, NotFoundError
from proa.kube.models import now
from proa.kube.models.batch_v1 import CronJob, CronJobStatus, Job
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector

PROMPTNESS = 0.05
"""Seconds that a run is looked for after its time, so that a timer that is early doesn't miss it."""


class CronJobController:
    """Starts a Job for each run that is due, and removes old ones.

    A run's Job has a name made of its time, so no run is started twice, whatever this process or its cache
    forgets.
    """

    def __init__(
        self, client: Client, cron_jobs: Reflector[CronJob], jobs: Reflector[Job], recorder: Recorder
    ) -> None:
        self._api = Api(client, CronJob)
        self._jobs_api = Api(client, Job)
        self._cron_jobs = cron_jobs
        self._jobs = jobs.store.index(by_controller)
        self._recorder = recorder
        self.controller = Controller(cron_jobs, self.reconcile, name="cronjob").owns(jobs)

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Start the run of one CronJob that is due, and say when to look again."""
        cron_job = self._cron_jobs.store.find(ref)
        if cron_job is None:
            return Action.await_change()
        jobs = self._jobs[cron_job.metadata.uid]
        todo = plan(cron_job, jobs, await self._schedule(cron_job), now())
        for notice in todo.notices:
            self._recorder.event(cron_job, type=notice.type, reason=notice.reason, message=notice.message)
        for job in todo.remove:
            await self._remove(cron_job, job)
        status = await self._start(cron_job, todo)
        if not same(status, cron_job.status):
            with suppress(NotFoundError, ConflictError):
                await self._api.replace_status(msgspec.structs.replace(cron_job, status=status))
        return Action(look_in(None if todo.again is None else todo.again + PROMPTNESS))

    async def _schedule(self, cron_job: CronJob) -> Schedule | None:
        try:
            return Schedule.parse(cron_job.spec.schedule, await _zone(cron_job.spec.time_zone))
        except ScheduleError as error:
            self._recorder.event(
                cron_job,
                type="Warning",
                reason="UnparseableSchedule",
                message=f"unparseable schedule: {error}",
            )
        except (ZoneInfoNotFoundError, ValueError, OSError):
            why = f"invalid timeZone: {cron_job.spec.time_zone!r} is not in the time zone database"
            self._recorder.event(cron_job, type="Warning", reason="UnknownTimeZone", message=why)
        return None

    async def _start(self, cron_job: CronJob, todo: Plan) -> CronJobStatus:
        """Create the Job that is due; return the status that is then right."""
        replaced = {job.metadata.uid for job in todo.remove}
        active = [one for one in todo.status.active if one.uid not in replaced]
        if todo.start is not None:
            started = await self._create(cron_job, todo.start)
            if started is None:
                return cron_job.status
            active = [one for one in active if one.uid != started.metadata.uid] + [reference(started)]
        return msgspec.structs.replace(todo.status, active=active)

    async def _create(self, cron_job: CronJob, job: Job) -> Job | None:
        """Create a Job, or find the one that was created before and not noted; None if it is not ours."""
        name, namespace = job.metadata.name or "", job.metadata.namespace
        try:
            made = await self._jobs_api.create(job)
        except AlreadyExistsError:
            made = await self._jobs_api.get(name, namespace=namespace)
            owner = controller_of(made)
            if owner is None or owner.uid != cron_job.metadata.uid:
                why = f"Error creating job: {name} exists and is not this CronJob's"
                self._recorder.event(cron_job, type="Warning", reason="FailedCreate", message=why)
                return None
        else:
            self._recorder.event(cron_job, reason="SuccessfulCreate", message=f"Created job {name}")
        return made

    async def _remove(self, cron_job: CronJob, job: Job) -> None:
        name = job.metadata.name or ""
        with suppress(NotFoundError, ConflictError):
            await self._jobs_api.delete(
                name, uid=job.metadata.uid, propagation="Background", namespace=job.metadata.namespace
            )
        self._recorder.event(cron_job, reason="SuccessfulDelete", message=f"Deleted job {name}")


async def _zone(name: str | None) -> tzinfo:
    """Return a time zone; its rules are read from a file when it is first used."""
    return UTC if not name else await asyncio.to_thread(ZoneInfo, name)
