"""Keeps room on the node: removes images that nobody uses, and evicts pods if it runs short all the same."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from proa.app import logs
from proa.kubelet import _storage, _usage
from proa.kubelet._host_facts import HostFacts
from proa.kubelet._images import Images
from proa.kubelet._pod import PodWorker
from proa.kubelet._pod_states import Sentence
from proa.kubelet._pod_status import TERMINAL_PHASES
from proa.kubelet._pressure import Candidate, Pressure, Shortage, rank, requested
from proa.kubelet._settings import KubeletSettings

_log = logs.get_logger(__name__)
_ENDING_SECONDS: Final = 30.0
_COLLECT_EVERY: Final = 300.0


class Evictor:
    """Looks at the machine every some seconds.

    Args:
        settings: Thresholds.
        observe: Looks at the machine; blocks.
        pressure: Told what is seen.
        images: What may be removed before any pod is.
        workers: Gives the pods of the node.
        every: Seconds between looks.
    """

    def __init__(
        self,
        settings: KubeletSettings,
        observe: Callable[[], HostFacts],
        pressure: Pressure,
        images: Images,
        workers: Callable[[], list[PodWorker]],
        every: float,
    ) -> None:
        self._settings = settings
        self._observe = observe
        self._pressure = pressure
        self._images = images
        self._workers = workers
        self._every = every

    async def evict(self) -> None:
        """Evict a pod whenever the node is short of something, one after the other; for ever."""
        while True:
            pause = self._every
            found = await self._short()
            if any(one.condition == "DiskPressure" for one in found):
                await self._collect(lambda: False, least_age=0.0)
                found = await self._short()
            if found and await self._evict_for(found[0]):
                pause = 0.0
            await asyncio.sleep(pause)

    async def collect_images(self) -> None:
        """Remove unused images whenever the disk is fuller than it should be; for ever."""
        settings = self._settings
        while True:
            if await asyncio.to_thread(self._disk_use) >= settings.image_gc_high_threshold_percent:
                await self._collect(self._has_room, settings.image_minimum_gc_age.total_seconds())
            await asyncio.sleep(_COLLECT_EVERY)

    async def _short(self) -> list[Shortage]:
        return self._pressure.look(await asyncio.to_thread(self._observe))

    def _has_room(self) -> bool:
        return self._disk_use() < self._settings.image_gc_low_threshold_percent

    def _disk_use(self) -> float:
        machine = self._observe()
        return 100 * (1 - machine.disk_available / max(machine.disk, 1))

    async def _collect(self, enough: Callable[[], bool], least_age: float) -> None:
        statuses = [
            container.status
            for worker in self._workers()
            for container in [*worker.init_containers, *worker.containers]
            if worker.status.phase not in TERMINAL_PHASES
        ]
        in_use = {status.image_id.rpartition("@")[2] for status in statuses}
        if removed := await self._images.collect(in_use, enough, least_age):
            _log.info("removed images that nobody uses", images=removed)

    async def _evict_for(self, shortage: Shortage) -> bool:
        ranked = rank(await asyncio.to_thread(self._candidates, shortage.resource))
        if not ranked:
            return False
        first = ranked[0]
        worker = next(one for one in self._workers() if one.context.pod is first.pod)
        message = (
            f"The node was low on resource: {shortage.resource}. Threshold quantity: {shortage.threshold}, "
            f"available: {shortage.available}. The pod was using {first.used}, request is {first.requested}."
        )
        _log.warning("evicting a pod", pod=worker.context.title, reason=message)
        worker.condemn(Sentence("Evicted", message, grace_period=0.0, disrupts=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDING_SECONDS):
                await worker.until_finished()
        return True

    def _candidates(self, resource: str) -> list[Candidate]:
        """The pods that run, with what they use; of what is not counted by pod, nothing."""
        running = [one for one in self._workers() if one.status.phase not in TERMINAL_PHASES]
        if resource == "memory":
            used = {one.uid: one.total.memory for one in _usage.of_pods(running)}
        else:
            used = {one.context.uid: _storage.usage(one.context.directory.path) for one in running}
        return [
            Candidate(one.context.pod, used.get(one.context.uid, 0), requested(one.context.pod, resource))
            for one in running
        ]
