"""The Job controller: runs pods until as many as each Job wants have succeeded."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from proa.controlplane.controllers._adoption import candidates, claim, concerned
from proa.controlplane.controllers._clock import look_in
from proa.controlplane.controllers._expectations import PATIENCE
from proa.controlplane.controllers._job_plan import Plan, expiry, plan
from proa.controlplane.controllers._job_pods import NAME, TRACKING, is_tracked
from proa.controlplane.controllers._job_verdict import finish
from proa.controlplane.controllers._podcontrol import PodControl, slow_start
from proa.controlplane.controllers._pods import COLLECT, controller_of
from proa.kube import Api, Client, ConflictError, NotFoundError, Strategic
from proa.kube.models import now
from proa.kube.models.batch_v1 import Job, JobStatus
from proa.kube.models.core_v1 import Pod
from proa.kube.models.meta_v1 import LabelSelector
from proa.runtime import Action, Controller, Mapper, ObjectRef, Recorder, Reflector


class JobController:
    """Creates, counts and ends the pods of Jobs, and deletes Jobs whose time to live is over.

    A pod counts exactly once, also if this process or the server stops at any point: see `_job_count`.
    """

    def __init__(
        self, client: Client, jobs: Reflector[Job], pods: Reflector[Pod], recorder: Recorder
    ) -> None:
        self._api = Api(client, Job)
        self._jobs = jobs
        self._recorder = recorder
        self._pods = PodControl(client, pods, recorder)
        self._released: dict[ObjectRef, set[str]] = {}
        self._outdated: dict[ObjectRef, str | None] = {}
        self._by_owner = pods.store.index(_owner_name)
        self.follow = self._pods.follow
        adopting: Mapper[Pod] = concerned(jobs, lambda job: job.spec.selector or LabelSelector())
        self.controller = Controller(jobs, self.reconcile, name="job").watches(
            pods, lambda pod: [*adopting(pod), *_owner_name(pod)], collect=COLLECT
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Take the next step of one Job."""
        job = self._jobs.store.find(ref)
        if job is None:
            self._pods.forget(ref)
            self._outdated.pop(ref, None)
        elif self._outdated.get(ref) == job.metadata.resource_version:
            return Action.await_change()  # what was counted last is not seen yet: it would be missing
        self._note_released(ref)
        await self._let_go(ref, job)
        if job is None or job.spec.managed_by not in {None, "kubernetes.io/job-controller"}:
            return Action.await_change()
        at = now()
        left = expiry(job, at)
        if left is not None and left <= 0 and job.metadata.deletion_timestamp is None:
            await self._delete(job)
            return Action.await_change()
        released = self._released.get(ref, ())
        pods = self._pods.view(ref, await self._owned(job))
        # The watch may not show yet that a pod was released; to count it again would be once too often.
        todo = plan(job, [_untracked(pod) if pod.metadata.uid in released else pod for pod in pods], at)
        with suppress(NotFoundError, ConflictError):
            # On a conflict the plan is void: the change that was missed leads here again.
            await self._write_status(job, todo.status)
            await self._carry_out(job, todo)
        if todo.again is None and self._pods.pending(ref):
            return Action.requeue(PATIENCE)
        return Action(look_in(todo.again))

    async def _owned(self, job: Job) -> list[Pod]:
        found = candidates(job, self._pods.by_controller)
        selector = job.spec.selector or LabelSelector()
        return await claim(self._api, job, selector, self._pods.api, found, finalizer=TRACKING)

    def _note_released(self, ref: ObjectRef) -> None:
        """Forget releases that the watch has shown by now."""
        tracked = {pod.metadata.uid or "" for pod in self._by_owner[ref] if is_tracked(pod)}
        unseen = self._released.pop(ref, set()) & tracked
        if unseen:
            self._released[ref] = unseen

    async def _write_status(self, job: Job, wanted: JobStatus) -> None:
        if wanted == job.status:
            return
        written = await self._api.replace_status(msgspec.structs.replace(job, status=wanted))
        if written.metadata.resource_version != job.metadata.resource_version:
            self._outdated[ObjectRef.of(job)] = job.metadata.resource_version
        known = {(one.type, one.status) for one in job.status.conditions}
        for one in wanted.conditions:
            if (one.type, one.status) not in known:
                self._tell(job, one.type, one.reason or "", one.message or "")

    def _tell(self, job: Job, kind: str, reason: str, message: str) -> None:
        match kind:
            case "Complete":
                self._recorder.event(job, reason="Completed", message="Job completed")
            case "Failed":
                self._recorder.event(job, type="Warning", reason=reason, message=message)
            case "Suspended":
                self._recorder.event(job, reason=message.rsplit(maxsplit=1)[-1].capitalize(), message=message)

    async def _carry_out(self, job: Job, todo: Plan) -> None:
        for pod in todo.release:
            await self._release(ObjectRef.of(job), pod)
        work = [self._end(job, pod) for pod in todo.delete]
        work += [self._pods.create(job, pod) for pod in todo.create]
        if (failure := await slow_start(work)) is not None:
            raise failure

    async def _end(self, job: Job, pod: Pod) -> None:
        """Delete a pod that the Job has no use for: without the finalizer, so that it is no failure."""
        await self._release(ObjectRef.of(job), pod)
        await self._pods.delete(job, pod)

    async def _let_go(self, ref: ObjectRef, job: Job | None) -> None:
        """Release pods whose Job is gone, or another by now: nobody will count them."""
        lost = [
            pod
            for pod in self._by_owner[ref]
            if is_tracked(pod) and (job is None or _owner_uid(pod) != job.metadata.uid)
        ]
        if not lost:
            return
        current = await self._api.get_opt(ref.name, namespace=ref.namespace)
        for pod in lost:
            if current is None or current.metadata.uid != _owner_uid(pod):
                await self._release(ref, pod)

    async def _release(self, ref: ObjectRef, pod: Pod) -> None:
        if not is_tracked(pod) or pod.metadata.uid in self._released.get(ref, ()):
            return
        change = {"metadata": {"uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [TRACKING]}}
        with suppress(NotFoundError, ConflictError):
            await self._pods.api.patch(
                pod.metadata.name or "", Strategic(change), namespace=pod.metadata.namespace
            )
        self._released.setdefault(ref, set()).add(pod.metadata.uid or "")

    async def _delete(self, job: Job) -> None:
        """Delete a Job that has outlived its time, if it still is as it was seen."""
        current = await self._api.get_opt(job.metadata.name or "", namespace=job.metadata.namespace)
        left = expiry(current, now()) if current is not None and finish(current) else None
        if current is None or left is None or left > 0:
            return
        with suppress(NotFoundError, ConflictError):
            await self._api.delete(
                job.metadata.name or "",
                uid=current.metadata.uid,
                propagation="Background",
                namespace=job.metadata.namespace,
            )


def _owner_name(pod: Pod) -> list[ObjectRef]:
    """Return the Job that a pod belongs to, or did before it was orphaned."""
    owner = controller_of(pod)
    if owner is not None:
        return [ObjectRef(owner.name, pod.metadata.namespace)] if owner.kind == "Job" else []
    name = pod.metadata.labels.get(NAME) if is_tracked(pod) else None
    return [ObjectRef(name, pod.metadata.namespace)] if name else []


def _owner_uid(pod: Pod) -> str | None:
    owner = controller_of(pod)
    return owner.uid if owner else None


def _untracked(pod: Pod) -> Pod:
    kept = [one for one in pod.metadata.finalizers if one != TRACKING]
    return msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, finalizers=kept))
