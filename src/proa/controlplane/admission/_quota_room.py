"""The room that quotas leave: checked and noted with each write, counted anew when things go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from proa.app import logs
from proa.controlplane._housekeeping import Housekeeper
from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity
from proa.controlplane.registry import Catalogue, Review
from proa.controlplane.storage import Event, Store, Stored
from proa.controlplane.storage._store import StorageError

from ._quotas import COUNTED, STORAGE, Usage, added, count, hard_of, must_say, shown
from ._refusal import refused

_COUNTED_PARTS = frozenset({"", "resize"})
"""Subresources that change what an object uses."""
_OVER = (b'"Succeeded"', b'"Failed"')


class QuotaRoom:
    """Sees to it that no namespace holds more than its quotas allow."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, review: Review) -> None:
        """Refuses (403) a write for which there is no room; notes the use of one for which there is.

        The last hook of all: nothing may refuse the write after it.
        """
        if review.subresource not in _COUNTED_PARTS or review.new is None:
            return
        if not self._store.count(STORAGE, review.namespace):
            return
        changes = []
        for stored in self._store.scan_latest(STORAGE, review.namespace):
            quota = stored.document()
            more = added(review, quota)
            missing = must_say(quota, review)
            if missing:
                raise refused(review, f"failed quota: {stored.key.name}: must specify {','.join(missing)}")
            if more:
                changes.append((stored, quota, self._use(review, quota, more)))
        for stored, quota, used in changes if not review.options.dry_run else ():
            self.note(stored, quota, used)

    def _use(self, review: Review, quota: Document, more: Usage) -> dict[str, str]:
        hard, status = hard_of(quota), quota.get("status") or {}
        used = status.get("used") if status.get("hard") == hard else None
        used = dict(used if used is not None else self.count(quota))
        over = {}
        for name, amount in more.items():
            total = quantity(used.get(name, "0")) + amount
            if total > quantity(hard[name]):
                over[name] = (shown(amount), used.get(name, "0"), hard[name])
            used[name] = shown(total)
        if over:
            told = [
                ",".join(f"{name}={amounts[index]}" for name, amounts in sorted(over.items()))
                for index in range(3)
            ]
            why = f"requested: {told[0]}, used: {told[1]}, limited: {told[2]}"
            raise refused(review, f"exceeded quota: {quota['metadata']['name']}, {why}")
        return used

    def count(self, quota: Document) -> dict[str, str]:
        """What is used of a quota, by looking at all that it is about, committed or on its way."""
        return count(quota, self._objects(quota))

    def _objects(self, quota: Document) -> Iterator[tuple[str, Document]]:
        namespace = quota["metadata"]["namespace"]
        for storage in storages_of(quota):
            for stored in self._store.scan_latest(storage, namespace):
                yield storage, stored.document()

    def note(self, stored: Stored, quota: Document, used: dict[str, str]) -> asyncio.Future[Stored]:
        """Writes what is used into a quota's status, together with whatever else is being written."""
        quota["status"] = {"hard": hard_of(quota), "used": used}
        return self._store.submit(stored.key, quota)


def storages_of(quota: Document) -> set[str]:
    """The kinds of stored objects that a quota is about."""
    found = set()
    for name in hard_of(quota):
        if name.startswith("count/"):
            found.add(name.removeprefix("count/"))
        elif name in COUNTED:
            found.add(COUNTED[name])
        elif name.startswith("services."):
            found.add("services")
        elif name == "requests.storage" or ".storageclass.storage.k8s.io/" in name:
            found.add("persistentvolumeclaims")
        else:
            found.add("pods")
    return found


class QuotaKeeper(Housekeeper):
    """Counts anew what is used of quotas when they change, or what they are about goes. Use as an async
    context manager: it works within.
    """

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        super().__init__()
        self._store = store
        self._room = QuotaRoom(store)
        self._catalogue = catalogue
        self._followed: set[str] = set()
        self._due: set[str] = set()
        self._woken = asyncio.Event()
        self._log = logs.get_logger(__name__)

    def begin(self) -> None:
        self._due = {stored.key.namespace for stored in self._store.scan(STORAGE)}
        self.ends.append(self._store.subscribe(STORAGE, self._on_quota))
        self._follow()
        self._catalogue.on_change(self._follow)
        self._woken.set()

    def _follow(self) -> None:
        storages = {one.storage for one in self._catalogue if one.namespaced and one.is_stored}
        for storage in storages - self._followed:
            self.ends.append(self._store.subscribe(storage, self._on_object))
        self._followed |= storages

    def _on_quota(self, event: Event) -> None:
        quota = event.current.document() if event.current is not None else None
        if quota is not None and (quota.get("status") or {}).get("hard") != hard_of(quota):
            self._wake(event.key.namespace)

    def _on_object(self, event: Event) -> None:
        if not self._store.count(STORAGE, event.key.namespace):
            return
        gone = event.current is None
        if gone or (event.key.resource == "pods" and event.current and _is_over(event.current)):
            self._wake(event.key.namespace)

    def _wake(self, namespace: str) -> None:
        if self._store.count(STORAGE, namespace):
            self._due.add(namespace)
            self._woken.set()

    async def run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._due:
                namespace = self._due.pop()
                for stored in list(self._store.scan_latest(STORAGE, namespace)):
                    await self._settle(stored)

    async def _settle(self, stored: Stored) -> None:
        current = self._store.latest(stored.key)
        if current is None:
            return
        quota = current.document()
        used = self._room.count(quota)
        if quota.get("status") != {"hard": hard_of(quota), "used": used}:
            try:
                await self._room.note(current, quota, used)
            except StorageError as error:
                self._log.warning("a quota's use is not noted", quota=str(stored.key), error=str(error))


def _is_over(stored: Stored) -> bool:
    return any(mark in stored.tail for mark in _OVER)
