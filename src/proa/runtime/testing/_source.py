"""A collection in memory, to watch and to make fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Generic

import msgspec

from proa.kube import Bookmark, GoneError, KubeError, Page, WatchEvent
from proa.kube.models.meta_v1 import Status
from proa.runtime._object import K, ObjectRef


def gone() -> GoneError:
    """Return the error of a server that has forgotten a resourceVersion."""
    return GoneError(Status(status="Failure", code=410, reason="Expired", message="too old resource version"))


class FakeSource(Generic[K]):
    """The objects of one kind, kept in memory, to be listed and watched instead of an `Api`.

    What happens to them is told to the watches that are open, and to later ones that resume: as by a server,
    including its faults. `requests` counts the lists and watches that were asked for.
    """

    def __init__(self, type_: type[K]) -> None:
        self.type = type_
        self.requests = {"list": 0, "watch": 0}
        self.failures: list[KubeError] = []
        """Errors with which the next requests are answered, in order."""
        self._objects: dict[ObjectRef, K] = {}
        self._history: list[tuple[int, WatchEvent[K] | Bookmark]] = []
        self._version = 1
        self._forgotten = 0
        self._breaks: list[KubeError | None] = []
        self._changed = asyncio.Condition()

    async def put(self, *objects: K) -> None:
        """Add or replace objects; those without a uid get one."""
        for obj in objects:
            ref = ObjectRef.of(obj)
            known = self._objects.get(ref)
            self._version += 1
            stored = _copy(obj)
            stored.metadata.resource_version = str(self._version)
            if stored.metadata.uid is None:
                stored.metadata.uid = (known.metadata.uid if known else None) or f"uid-{self._version}"
            self._objects[ref] = stored
            self._history.append((self._version, WatchEvent("MODIFIED" if known else "ADDED", stored)))
        await self._tell()

    async def remove(self, name: str, namespace: str | None = None) -> None:
        """Delete an object."""
        self._version += 1
        last = _copy(self._objects.pop(ObjectRef(name, namespace)))
        last.metadata.resource_version = str(self._version)
        self._history.append((self._version, WatchEvent("DELETED", last)))
        await self._tell()

    async def bookmark(self) -> None:
        """Tell the watches how far they are, after changes of objects that they do not see."""
        self._version += 10
        self._history.append((self._version, Bookmark(str(self._version))))
        await self._tell()

    async def end(self, error: KubeError | None = None) -> None:
        """End the watch that is open or opened next: cleanly, or with an error."""
        self._breaks.append(error)
        await self._tell()

    def forget(self) -> None:
        """Forget the past: a watch that resumes at an earlier version is told 410."""
        self._forgotten = self._version
        self._history.clear()

    async def list_page(
        self,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = None,
        continue_: str | None = None,
    ) -> Page[K]:
        """Return a page of the objects as they are now."""
        self._requested("list")
        start = int(continue_ or 0)
        stop = start + (limit or len(self._objects))
        items = list(self._objects.values())
        return Page(items[start:stop], str(self._version), str(stop) if stop < len(items) else None)

    async def watch(
        self,
        resource_version: str,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout: int = 290,
        initial_events: bool = False,
    ) -> AsyncGenerator[WatchEvent[K] | Bookmark, None]:
        """Yield what happens after `resource_version` until `end` is called."""
        self._requested("watch")
        position = int(resource_version or self._version)
        if initial_events:
            for obj in list(self._objects.values()):
                yield WatchEvent("ADDED", obj)
            yield Bookmark(str(position), initial_events_end=True)
        while True:
            if position < self._forgotten:
                raise gone()
            for version, event in [entry for entry in self._history if entry[0] > position]:
                position = version
                yield event
            if self._breaks:
                error = self._breaks.pop(0)
                if error is not None:
                    raise error
                return
            async with self._changed:
                await self._changed.wait_for(lambda: self._breaks or self._version > position)  # noqa: B023

    def _requested(self, what: str) -> None:
        self.requests[what] += 1
        if self.failures:
            raise self.failures.pop(0)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _copy(obj: K) -> K:
    return msgspec.convert(msgspec.to_builtins(obj), type(obj), dec_hook=lambda type_, value: type_(value))
