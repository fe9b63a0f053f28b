"""The life of a pod, as states. Each says by its return annotation what may follow it.

::

    Admitting ──▶ Mounting ──▶ Initializing ──▶ RunningContainers ──▶ Finished
         ╰──▶ Rejected             ╰───────────────────────────────────▲

Deletion and the deadline may come in any of them: they cancel it (`_pod.PodWorker`). A restarted kubelet
begins at Admitting again; what has been done is found done.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from proa.kube import KubeError
from proa.kubelet import _container_states, _unsupported, _volumes
from proa.kubelet._pod_status import TERMINAL_PHASES
from proa.kubelet.errors import KubeletError

if TYPE_CHECKING:
    from proa.kubelet._pod import PodWorker


class PodState(Protocol):
    """One state of a pod."""

    async def next(self, pod: "PodWorker") -> "PodState | None":
        """Do what is to be done in this state and return the state after it; None when there is none."""


@dataclass(frozen=True)
class Admitting:
    """May it run here, and has it not run already?"""

    async def next(self, pod: "PodWorker") -> "Mounting | Rejected | None":
        if pod.context.pod.status.phase in TERMINAL_PHASES:
            return None
        if pod.refusal is not None:
            return Rejected("OutOfpods", pod.refusal)
        if not pod.has_started() and (fields := _unsupported.ignored(pod.context.pod.spec)):
            pod.context.event("Unsupported", f"Proa ignores for now: {', '.join(fields)}", "Warning")
        return Mounting()


@dataclass(frozen=True)
class Rejected:
    """It cannot run on this node."""

    reason: str
    message: str

    async def next(self, pod: "PodWorker") -> None:
        pod.context.event(self.reason, self.message, "Warning")
        await pod.fail(self.reason, self.message)


@dataclass(frozen=True)
class Mounting:
    """Its volumes are made; one that cannot be had is tried again, less often each time."""

    async def next(self, pod: "PodWorker") -> "Initializing":
        context, failures = pod.context, pod.context.services.pauses.configuration.start()
        waiting = list(context.pod.spec.volumes)
        while waiting:
            volume = waiting[0]
            try:
                provided = await _volumes.provide(
                    context.services.client,
                    volume,
                    context.directory.volumes,
                    context.fields,
                    context.tokens,
                )
            except (KubeletError, KubeError, OSError) as error:
                message = f'MountVolume.SetUp failed for volume "{volume.name}": {error}'
                context.event("FailedMount", message, "Warning")
                await pod.wait(message)
                await asyncio.sleep(failures.next())
            else:
                context.volumes[volume.name] = provided
                waiting.pop(0)
        pod.sandbox_ready()
        return Initializing()


@dataclass(frozen=True)
class Initializing:
    """Its init containers run, one after the other, each to a good end; sidecars need only have started."""

    async def next(self, pod: "PodWorker") -> "RunningContainers | Finished":
        was_initialized = pod.has_started()
        for container in pod.init_containers:
            if container.is_sidecar:
                pod.sidecars.start(container)
                if not was_initialized:
                    await container.until_started()
                continue
            if was_initialized:
                continue
            await _container_states.live(container, _container_states.first_state(container))
            end = container.status.state.terminated
            if end is None or end.exit_code != 0:
                return Finished()
        return RunningContainers()


@dataclass(frozen=True)
class RunningContainers:
    """Its containers run side by side, until all have ended for good."""

    async def next(self, pod: "PodWorker") -> "Finished":
        async with asyncio.TaskGroup() as group:
            for container in pod.containers:
                first = _container_states.first_state(container)
                group.create_task(
                    _container_states.live(container, first), name=f"{pod.context.title} {container.name}"
                )
        return Finished()


@dataclass(frozen=True)
class Finished:
    """Its containers have ended for good; now its sidecars are ended, and none of it will run again."""

    async def next(self, pod: "PodWorker") -> None:
        await pod.stop_sidecars(pod.context.grace_period)
        await pod.finish()
