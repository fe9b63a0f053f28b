"""One pod from the moment it is bound to this node until it is gone."""

import asyncio
import dataclasses
from collections.abc import Coroutine, Iterable
from datetime import timedelta
from typing import Final

from proa.app import logs
from proa.app.backoff import Backoff
from proa.kube import Api, ConflictError, KubeError, NotFoundError
from proa.kube.models import now
from proa.kube.models.core_v1 import Container as ContainerSpec
from proa.kube.models.core_v1 import ContainerStatus, Pod, PodStatus
from proa.kubelet import _container_states, _container_status, _storage
from proa.kubelet._admission import Refusal
from proa.kubelet._container import Container
from proa.kubelet._pod_context import PodContext, Services
from proa.kubelet._pod_directory import PodDirectory
from proa.kubelet._pod_states import POD, Sentence
from proa.kubelet._pod_status import TERMINAL_PHASES, PodFacts, pod_status
from proa.kubelet._racing import first_of
from proa.kubelet._sidecars import Sidecars
from proa.kubelet._status_writer import StatusWriter
from proa.kubelet._volume_updates import keep_current
from proa.statemachine import Cell

_log = logs.get_logger(__name__)
_RETRY: Final = Backoff(initial=0.2, maximum=10.0, jitter=0.5)


class PodWorker:
    """Runs one pod.

    Deletion ends its containers as soon as their `preStop` hooks have ended, which may take the grace period
    at most. The rest of it is not waited for: a guest of WASI cannot be sent a signal, so there is nothing
    that it could do with the time.

    Args:
        services: The node's.
        pod: As the server has it.
        directory: Where it is kept.
        ip: Its address.
        saved: The status that an earlier kubelet saved; None when there is none.
        refusal: Why this pod must not run here; None when it may.
    """

    def __init__(
        self,
        services: Services,
        pod: Pod,
        directory: PodDirectory,
        ip: str,
        saved: PodStatus | None,
        refusal: Refusal | None = None,
    ) -> None:
        known = saved or pod.status
        self.context = PodContext(
            services=services, latest=Cell(pod), directory=directory, ip=ip, changed=self._changed
        )
        self.init_containers = self._containers(
            pod.spec.init_containers, known.init_container_statuses, init=True
        )
        self.containers = self._containers(pod.spec.containers, known.container_statuses, init=False)
        self.sidecars = Sidecars()
        self.refusal = refusal
        self.status = known
        self._api = Api(services.client, Pod, namespace=self.context.namespace)
        self._writer = StatusWriter(self._api, pod, mirrored=self.is_static)
        over = known.phase in TERMINAL_PHASES
        self._facts = PodFacts(
            host_ip=services.node_ip,
            pod_ip=ip,
            started_at=known.start_time or now(),
            finished=over,
            rejected=over and not known.container_statuses,
            reason=known.reason if over else None,
            message=known.message if over else None,
        )
        self._sentence: asyncio.Future[Sentence] = asyncio.get_running_loop().create_future()
        self._guards: list[asyncio.Task[None]] = []
        self._finished = asyncio.Event()
        self._saving = asyncio.Lock()
        self._saved_pod: Pod | None = None
        self._ending = asyncio.Event()
        self.update(pod)

    def update(self, pod: Pod) -> None:
        """The server has a newer version of the pod."""
        before, old = self.context.pod.metadata, self.context.pod.spec
        self.context.latest.set(pod)
        if added := [one.name for one in pod.spec.ephemeral_containers[len(old.ephemeral_containers) :]]:
            self.context.event(
                "Unsupported", f"Proa runs no ephemeral containers: {', '.join(added)}", "Warning"
            )
        if (before.labels, before.annotations) != (pod.metadata.labels, pod.metadata.annotations):
            self.context.volumes_changed.set()
        self._writer.observe(pod)
        if pod.metadata.deletion_timestamp is not None:
            self._ending.set()

    @property
    def is_static(self) -> bool:
        """Whether it comes from the node itself, and the API server has a mirror of it only."""
        return self.context.pod.metadata.annotations.get("kubernetes.io/config.source") == "file"

    def shown_as(self, mirror: Pod) -> None:
        """This is the mirror of the static pod."""
        self._writer.observe(mirror)

    def end(self) -> None:
        """The static pod is not wanted any more."""
        self._ending.set()

    def gone(self) -> None:
        """The server has the pod no longer."""
        self.context.gone.set()
        self._ending.set()

    def renewed(self) -> "PodWorker":
        """Another worker for the same pod, that finds its way in from what this one has saved."""
        context = self.context
        worker = PodWorker(
            context.services, context.pod, context.directory, context.ip, self.status, self.refusal
        )
        if self.context.gone.is_set():
            worker.gone()
        return worker

    async def run(self) -> None:
        """Live until the pod is gone. If cancelled, its containers run on for the next kubelet."""
        async with asyncio.TaskGroup() as group, self.sidecars:
            writing = group.create_task(self._writer.run(), name=f"status of {self.context.title}")
            self._guards = [group.create_task(guard) for guard in self._to_guard()]
            await self._changed()
            await POD.run(self, self.context.latest, deleted=self._ending)
            self._unguard()
            await self.context.gone.wait()
            writing.cancel()
        await self.context.directory.remove()

    def condemn(self, sentence: Sentence) -> None:
        """The pod must end now and counts as failed; one that has ended stays as it is."""
        if not self._facts.finished and not self._sentence.done():
            self._sentence.set_result(sentence)

    async def settled(self) -> None:
        """Wait until the API server has its newest status."""
        await self._writer.settled()

    def close_logs(self) -> None:
        """Nobody writes the logs any more: let go of those who follow them."""
        for container in [*self.init_containers, *self.containers]:
            if container.log is not None:
                container.log.close()
            if container.stdin is not None:
                container.stdin.close()

    def container(self, name: str) -> Container | None:
        """The container of that name, init or app."""
        return next((one for one in [*self.init_containers, *self.containers] if one.name == name), None)

    # What the pod's states do

    def has_started(self) -> bool:
        """Whether an app container was ever started: then the init containers are done with."""
        return any(
            _container_status.was_started(container.status) or container.sandboxes()
            for container in self.containers
        )

    async def wait(self, message: str) -> None:
        """No container can be started yet, for the reason given."""
        self._explain_waiting(message)
        await self._changed()

    def sandbox_ready(self) -> None:
        """What the containers need is there."""
        self.context.mounted.set()
        self._facts = dataclasses.replace(self._facts, sandbox_ready=True)
        self._explain_waiting("")

    def reject(self, refusal: Refusal) -> None:
        """The node does not take it."""
        self._facts = dataclasses.replace(
            self._facts, rejected=True, reason=refusal.reason, message=refusal.message
        )

    def explain(self, reason: str, message: str, *, disrupted: bool = False) -> None:
        """The pod as a whole fails, for this reason; `disrupted` when the node needs its place."""
        self._facts = dataclasses.replace(
            self._facts, reason=reason, message=message, disruption=message if disrupted else None
        )

    async def finish(self) -> None:
        """No container will run again."""
        self._unguard()
        self._facts = dataclasses.replace(self._facts, finished=True)
        await self._changed()
        self._finished.set()

    async def until_condemned(self) -> Sentence:
        """Wait until it must end before its time."""
        return await asyncio.shield(self._sentence)

    async def until_finished(self) -> None:
        """Wait until no container will run again."""
        await self._finished.wait()

    async def until_deleted(self) -> None:
        """Wait until it is to be deleted, or gone already."""
        await self._ending.wait()

    async def stop(self, seconds: float) -> None:
        """End all containers, sidecars after the others, and read their output to the end."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            for container in [*self.init_containers, *self.containers]:
                if not container.is_sidecar:
                    group.create_task(_container_states.stop(container, seconds))
        await self.stop_sidecars(max(0.0, deadline - loop.time()))
        for sandbox in self.context.services.sandboxes.of_pod(self.context.uid):
            sandbox.kill()  # Commands of `kubectl exec`: whoever runs them lets go of them.
        if self.has_started():
            await self.finish()

    async def stop_sidecars(self, seconds: float) -> None:
        """End the sidecars, the last one first, within so many seconds in all."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        for container in reversed(self.init_containers):
            if container.is_sidecar:
                await self.sidecars.release(container)
                await _container_states.stop(container, max(0.0, deadline - loop.time()))

    async def release(self) -> None:
        """Tell the server how it ended, and that it may forget the pod."""
        if self.is_static:
            self.gone()
            return
        backoff = _RETRY.start()
        await self._unless_gone(self._writer.settled())
        while not self.context.gone.is_set():
            try:
                await self._api.delete(
                    self.context.pod.metadata.name or "", grace_period=0, uid=self.context.uid
                )
                return
            except (NotFoundError, ConflictError):
                return
            except KubeError as error:
                _log.warning("cannot delete a pod yet", pod=self.context.title, error=str(error))
                await asyncio.sleep(backoff.next())

    # What may condemn it

    def _to_guard(self) -> "list[Coroutine[None, None, None]]":
        if self.status.phase in TERMINAL_PHASES or self._ending.is_set():
            return []
        return [keep_current(self.context), self._guard_deadline(), self._guard_storage()]

    def _unguard(self) -> None:
        for guard in self._guards:
            guard.cancel()

    async def _guard_deadline(self) -> None:
        async for pod in self.context.latest:
            seconds = pod.spec.active_deadline_seconds
            left = None if seconds is None else self._facts.started_at + timedelta(seconds=seconds) - now()
            changed = self.context.latest.until(
                lambda pod, seconds=seconds: pod.spec.active_deadline_seconds != seconds  # type: ignore[misc]
            )
            try:
                async with asyncio.timeout(None if left is None else max(0.0, left.total_seconds())):
                    await changed
            except TimeoutError:
                break
        message = "Pod was active on the node longer than the specified deadline"
        self.condemn(Sentence("DeadlineExceeded", message, self.context.grace_period))

    async def _guard_storage(self) -> None:
        if limits := _storage.limits(self.context.pod.spec, self.context.directory):
            message = await _storage.exceeded(limits, self.context.services.pauses.storage)
            self.condemn(Sentence("Evicted", message, grace_period=0.0))

    def _explain_waiting(self, message: str) -> None:
        for container in [*self.init_containers, *self.containers]:
            if not _container_status.was_started(container.status):
                container.status = _container_status.still_waiting(container.status, message)

    async def _unless_gone(self, work: Coroutine[None, None, None]) -> None:
        await first_of(work, self.context.gone.wait())

    async def _changed(self) -> None:
        self._facts = dataclasses.replace(
            self._facts,
            init_containers=[container.status for container in self.init_containers],
            containers=[container.status for container in self.containers],
        )
        self.status = pod_status(self.context.pod, self._facts, self.status, now())
        async with self._saving:
            before = self._saved_pod
            # Whoever waits here saves what is newest by then.
            pod, self._saved_pod = self.context.pod, self.context.pod
            is_new = pod is not before and (before is None or _lasting(pod) != _lasting(before))
            await self.context.directory.save(self.status, pod if is_new else None)
        self._writer.report(self.status)

    def _containers(
        self, specs: Iterable[ContainerSpec], statuses: Iterable[ContainerStatus], *, init: bool
    ) -> list[Container]:
        known = {status.name: status for status in statuses}
        after_init = bool(self.context.pod.spec.init_containers)
        reason = _container_status.INITIALIZING if after_init else _container_status.CREATING
        return [
            Container(
                self.context, spec, known.get(spec.name) or _container_status.initial(spec, reason), init=init
            )
            for spec in specs
        ]


def _lasting(pod: Pod) -> tuple[object, ...]:
    """What of a pod the next kubelet must know; its status is kept beside it."""
    metadata = pod.metadata
    return pod.spec, metadata.labels, metadata.annotations, metadata.deletion_timestamp
