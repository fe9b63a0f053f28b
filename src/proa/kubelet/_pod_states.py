"""The life of a pod: a machine (`proa.statemachine`) of states, drawn in docs/kubelet.md.

A pod is admitted to the node, gets its volumes, runs its init containers and then its containers, and has
ended when all of these have. Two things take it elsewhere from any state: what condemns it leads to
`Failing`, and its deletion to `Terminating`. Each container's life is a machine of its own
(`_container_states`).

A restarted kubelet begins at `Admitting` again; what has been done is found done.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proa.kube import KubeError
from proa.kube.models.core_v1 import Pod
from proa.kubelet import _container_states, _unsupported, _volumes
from proa.kubelet._admission import Refusal
from proa.kubelet._pod_status import TERMINAL_PHASES
from proa.kubelet.errors import KubeletError
from proa.statemachine import Done, Latest, Machine, State

if TYPE_CHECKING:
    from proa.kubelet._pod import PodWorker


@dataclass(frozen=True)
class Sentence:
    """Why a pod must end before its time, and how many seconds its hooks have until then."""

    reason: str
    message: str
    grace_period: float
    disrupts: bool = False
    """Whether the node takes the pod's place, rather than the pod itself being to blame."""


class Admitting(State["PodWorker"]):
    """May it run here, and has it not run already?"""

    async def next(self, worker: "PodWorker", pod: Latest[Pod]) -> "Mounting | Rejected | Ended":
        if pod.value.status.phase in TERMINAL_PHASES:
            return Ended()
        if worker.refusal is not None:
            return Rejected(worker.refusal)
        if not worker.has_started() and (fields := _unsupported.ignored(pod.value.spec)):
            worker.context.event(
                "Unsupported", f"Proa ignores what a guest cannot do: {', '.join(fields)}", "Warning"
            )
        return Mounting()


@dataclass(frozen=True)
class Rejected(State["PodWorker"]):
    """It cannot run on this node."""

    refusal: Refusal

    async def next(self, worker: "PodWorker", _pod: Latest[Pod]) -> "Ended":
        worker.context.event(*self.refusal, "Warning")
        worker.reject(self.refusal)
        return Ended()


class Mounting(State["PodWorker"]):
    """Its volumes are made; one that cannot be had is tried again, less often each time."""

    async def next(self, worker: "PodWorker", pod: Latest[Pod]) -> "Initializing":
        context, failures = worker.context, worker.context.services.pauses.configuration.start()
        waiting = list(pod.value.spec.volumes)
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
                await worker.wait(message)
                await asyncio.sleep(failures.next())
            else:
                context.volumes[volume.name] = provided
                waiting.pop(0)
        worker.sandbox_ready()
        return Initializing()


class Initializing(State["PodWorker"]):
    """Its init containers run, one after the other, each to a good end; sidecars need only have started."""

    async def next(self, worker: "PodWorker", _pod: Latest[Pod]) -> "Running | Finishing":
        was_initialized = worker.has_started()
        for container in worker.init_containers:
            if container.is_sidecar:
                worker.sidecars.start(container)
                if not was_initialized:
                    await container.until_started()
                continue
            if was_initialized:
                continue
            await _container_states.live(container)
            end = container.status.state.terminated
            if end is None or end.exit_code != 0:
                return Finishing()
        return Running()


class Running(State["PodWorker"]):
    """Its containers run side by side, until all have ended for good."""

    async def next(self, worker: "PodWorker", _pod: Latest[Pod]) -> "Finishing":
        async with asyncio.TaskGroup() as group:
            for container in worker.containers:
                name = f"{worker.context.title} {container.name}"
                group.create_task(_container_states.live(container), name=name)
        return Finishing()


class Finishing(State["PodWorker"]):
    """Its containers have ended for good; now its sidecars are ended."""

    async def next(self, worker: "PodWorker", _pod: Latest[Pod]) -> "Ended":
        await worker.stop_sidecars(worker.context.grace_period)
        return Ended()


@dataclass(frozen=True)
class Failing(State["PodWorker"]):
    """It is condemned: all that runs of it is ended, and it counts as failed."""

    sentence: Sentence

    async def next(self, worker: "PodWorker", _pod: Latest[Pod]) -> "Ended":
        worker.context.event(self.sentence.reason, self.sentence.message, "Warning")
        worker.explain(self.sentence.reason, self.sentence.message, disrupted=self.sentence.disrupts)
        await worker.stop(self.sentence.grace_period)
        return Ended()


class Ended(State["PodWorker"]):
    """None of it will run again: Succeeded or Failed. The node keeps its logs until it is deleted."""

    async def next(self, worker: "PodWorker", _pod: Latest[Pod]) -> Done:
        await worker.finish()
        await worker.until_deleted()
        return Done()


class Terminating(State["PodWorker"]):
    """It is deleted: what runs of it is ended, and the API server told that it may forget the pod."""

    async def next(self, worker: "PodWorker", _pod: Latest[Pod]) -> Done:
        await worker.stop(worker.context.grace_period)
        await worker.release()
        return Done()


async def condemned(worker: "PodWorker", _pod: Latest[Pod]) -> Failing:
    """Its deadline has passed, it outgrew a limit, or the node needs its place."""
    return Failing(await worker.until_condemned())


POD: Final = Machine("pod", initial=Admitting, deleted=Terminating, interrupts=[condemned])
