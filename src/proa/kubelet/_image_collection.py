"""Removes images that no container uses, and what was compiled of them, for room or for their age."""

import asyncio
from collections.abc import Callable
from typing import Final

from proa.app import logs
from proa.kubelet._host_facts import HostFacts
from proa.kubelet._images import Images
from proa.kubelet._node_events import NodeEvents
from proa.kubelet._node_room_settings import NodeRoomSettings
from proa.kubelet._pod import PodWorker
from proa.kubelet._pod_status import TERMINAL_PHASES
from proa.kubelet._sandbox_host import SandboxHost

_log = logs.get_logger(__name__)
_COLLECT_EVERY: Final = 300.0


class ImageCollector:
    """Keeps the node's store of images and of compiled modules within bounds.

    Args:
        settings: The thresholds and ages.
        observe: Looks at the host; blocks.
        images: The node's.
        sandboxes: Who keeps what was compiled.
        workers: Gives the pods of the node.
        events: Tells when too little could be removed.
    """

    def __init__(
        self,
        settings: NodeRoomSettings,
        observe: Callable[[], HostFacts],
        images: Images,
        sandboxes: SandboxHost,
        workers: Callable[[], list[PodWorker]],
        events: NodeEvents,
    ) -> None:
        self._settings = settings
        self._observe = observe
        self._images = images
        self._sandboxes = sandboxes
        self._workers = workers
        self._events = events

    async def run(self) -> None:
        """Look every five minutes, for ever."""
        while True:
            await self.collect()
            await asyncio.sleep(_COLLECT_EVERY)

    async def collect(self) -> None:
        """Remove what is too old, and more if the disk is fuller than it should be."""
        settings = self._settings
        if oldest := settings.image_maximum_gc_age.total_seconds():
            await self._remove(lambda: False, oldest)
        if await asyncio.to_thread(self._disk_use) < settings.image_gc_high_threshold_percent:
            return
        await self._remove(self._has_room, settings.image_minimum_gc_age.total_seconds())
        if not await asyncio.to_thread(self._has_room):
            message = (
                "Failed to garbage collect required amount of images: what is left is in use or new, and"
                f" the disk is still fuller than {settings.image_gc_low_threshold_percent} %"
            )
            self._events.event("FreeDiskSpaceFailed", message, "Warning")

    async def remove_unused(self) -> None:
        """Remove whatever no container uses."""
        await self._remove(lambda: False, 0.0)

    async def _remove(self, enough: Callable[[], bool], least_age: float) -> None:
        removed = await self._images.collect(self._in_use(), enough, least_age)
        kept = self._in_use() | await self._images.modules()
        modules = await self._sandboxes.remove_modules(kept, least_age)
        if removed or modules:
            _log.info("removed images that nobody uses", images=removed, compiled_modules=modules)

    def _in_use(self) -> set[str]:
        """The digests of all images of containers that may run again."""
        return {
            container.status.image_id.rpartition("@")[2]
            for worker in self._workers()
            for container in [*worker.init_containers, *worker.containers]
            if worker.status.phase not in TERMINAL_PHASES
        }

    def _has_room(self) -> bool:
        return self._disk_use() < self._settings.image_gc_low_threshold_percent

    def _disk_use(self) -> float:
        host = self._observe()
        return 100 * (1 - host.disk_available / max(host.disk, 1))
