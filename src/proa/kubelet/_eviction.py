"""Evicts pods when the node runs short of something, after all else that makes room."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from proa.app import logs
from proa.kubelet import _storage, _usage
from proa.kubelet._host_facts import HostFacts
from proa.kubelet._image_collection import ImageCollector
from proa.kubelet._node_events import NodeEvents
from proa.kubelet._pod import PodWorker
from proa.kubelet._pod_states import Sentence
from proa.kubelet._pod_status import TERMINAL_PHASES
from proa.kubelet._pressure import Pressure
from proa.kubelet._standing import Candidate, rank, requests
from proa.kubelet._thresholds import Threshold

_log = logs.get_logger(__name__)
_ENDING_SECONDS: Final = 30.0


class Evictor:
    """Looks at the host every some seconds.

    Args:
        observe: Looks at the host; blocks.
        pressure: Judges what is seen.
        images: Makes room before any pod is evicted.
        workers: Gives the pods of the node.
        events: Tells of it.
        every: Seconds between looks.
        most_grace: Seconds that pods have for their hooks when a soft threshold was crossed.
    """

    def __init__(
        self,
        observe: Callable[[], HostFacts],
        pressure: Pressure,
        images: ImageCollector,
        workers: Callable[[], list[PodWorker]],
        events: NodeEvents,
        *,
        every: float,
        most_grace: float,
    ) -> None:
        self._observe = observe
        self._pressure = pressure
        self._images = images
        self._workers = workers
        self._events = events
        self._every = every
        self._most_grace = most_grace

    async def run(self) -> None:
        """Evict a pod whenever the node is short of something, one after the other; for ever."""
        while True:
            evicted = await self._make_room()
            await asyncio.sleep(0.0 if evicted else self._every)

    async def _make_room(self) -> bool:
        host, due = await self._look()
        if not due:
            return False
        self._events.event("EvictionThresholdMet", f"Attempting to reclaim {due[0].resource}", "Warning")
        if due[0].condition == "DiskPressure":
            await self._images.remove_unused()
            host, due = await self._look()
        return bool(due) and await self._evict_for(due[0], host)

    async def _look(self) -> tuple[HostFacts, list[Threshold]]:
        host = await asyncio.to_thread(self._observe)
        return host, self._pressure.look(host)

    async def _evict_for(self, threshold: Threshold, host: HostFacts) -> bool:
        candidates = await asyncio.to_thread(self._candidates, threshold.resource)
        ranked = rank(candidates, threshold.resource)
        if not ranked:
            return False
        first = ranked[0]
        worker = next(one for one in self._workers() if one.context.pod is first.pod)
        message = (
            f"The node was low on resource: {threshold.resource}. {threshold.describe(host)}"
            f" The pod was using {first.used}, request is {first.requested}."
        )
        _log.warning("evicting a pod", pod=worker.context.title, reason=message)
        grace = min(self._most_grace, worker.context.grace_period) if threshold.soft else 0.0
        worker.condemn(Sentence("Evicted", message, grace, disrupts=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDING_SECONDS + grace):
                await worker.until_finished()
        return True

    def _candidates(self, resource: str) -> list[Candidate]:
        """The pods that run, with what they use of it."""
        running = [one for one in self._workers() if one.status.phase not in TERMINAL_PHASES]
        measure = _MEASURES[resource]
        return [
            Candidate(one.context.pod, measure(one), requests(one.context.pod)[resource]) for one in running
        ]


def _memory(worker: PodWorker) -> int:
    return sum(pod.total.memory for pod in _usage.of_pods([worker]))


def _space(worker: PodWorker) -> int:
    return _storage.usage(worker.context.directory.path)


def _files(worker: PodWorker) -> int:
    return _storage.count(worker.context.directory.path)


def _processes(worker: PodWorker) -> int:
    return sum(pod.total.processes for pod in _usage.of_pods([worker]))


_MEASURES: Final = {
    "memory": _memory,
    "ephemeral-storage": _space,
    "inodes": _files,
    "pids": _processes,
}
