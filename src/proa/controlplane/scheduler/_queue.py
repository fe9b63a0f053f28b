"""The pods that wait for a node: which is next, and which waits for something to change. Without a clock."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from proa.app import Backoff
from proa.runtime import ObjectRef

BACKOFF = Backoff(initial=1.0, maximum=10.0, factor=2.0)
LONGEST = 300.0
"""Seconds after which a pod is looked at again even though nothing seems to have changed."""


class Change(Enum):
    """What happened, by the filters that may judge otherwise after it; None means all."""

    NODE = None
    POD_PLACED = frozenset({"InterPodAffinity", "PodTopologySpread"})
    POD_GONE = POD_PLACED | {"NodeResourcesFit", "NodePorts"}
    VOLUME = frozenset({"VolumeBinding"})
    NAMESPACE = frozenset({"InterPodAffinity"})


@dataclass(slots=True)
class _Entry:
    """A pod in the queue, or one that was there and is being decided about."""

    ref: ObjectRef
    priority: int
    order: int
    version: object = None
    attempts: int = 0
    rejected_by: frozenset[str] = frozenset()
    due: float = 0.0
    queued: bool = False


class SchedulingQueue:
    """Gives out pods by priority, then in the order in which they came.

    A pod that fitted nowhere waits until something changes that a filter that ruled nodes out looks at. It
    then waits 1 s, 2 s, ... up to 10 s after each attempt in vain, but only as long as there are others to
    decide about. One whose attempt failed waits that long in any case.

    Times are seconds of any clock that only goes forward.
    """

    def __init__(self) -> None:
        self._entries: dict[ObjectRef, _Entry] = {}
        self._ready: list[tuple[float, int, ObjectRef]] = []
        self._resting: list[tuple[float, int, ObjectRef]] = []
        self._failed: list[tuple[float, int, ObjectRef]] = []
        self._stuck: OrderedDict[ObjectRef, float] = OrderedDict()
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, ref: ObjectRef, priority: int, version: object = None) -> bool:
        """Take in a pod that is new, or has changed itself, to be decided about at once.

        Args:
            ref: The pod.
            priority: Its priority.
            version: What has to change of it so that it is decided about anew.

        Returns:
            Whether it is to be.
        """
        entry = self._entries.get(ref)
        if entry is None:
            entry = self._entries[ref] = _Entry(ref, priority, next(self._order), version)
        elif entry.version == version:
            return False
        entry.priority, entry.version = priority, version
        self._stuck.pop(ref, None)
        self._make_ready(entry)
        return True

    def remove(self, ref: ObjectRef) -> None:
        """Forget a pod that needs no node any more."""
        self._entries.pop(ref, None)
        self._stuck.pop(ref, None)

    def take(self, now: float) -> ObjectRef | None:
        """Return the pod to decide about next; None if there is none."""
        while self._stuck and next(iter(self._stuck.values())) <= now:
            self._make_ready(self._entries[self._stuck.popitem(last=False)[0]])
        for heap in (self._resting, self._failed):
            while heap and heap[0][0] <= now:
                entry = self._entries.get(heapq.heappop(heap)[2])
                if entry is not None and entry.queued:
                    self._make_ready(entry)
        return self._pop(self._ready) or self._pop(self._resting)

    def _pop(self, heap: list[tuple[float, int, ObjectRef]]) -> ObjectRef | None:
        while heap:
            entry = self._entries.get(heapq.heappop(heap)[2])
            if entry is not None and entry.queued:
                entry.queued = False
                entry.attempts += 1
                return entry.ref
        return None

    def stuck(self, ref: ObjectRef, rejected_by: frozenset[str], now: float) -> None:
        """Put a pod back that fits nowhere, because of what some filters say."""
        entry = self._entries.get(ref)
        if entry is None or entry.queued:
            return
        entry.rejected_by = rejected_by
        entry.due = now + BACKOFF.delay(entry.attempts - 1)
        self._stuck[ref] = now + LONGEST

    def failed(self, ref: ObjectRef, now: float) -> None:
        """Put a pod back whose attempt went wrong."""
        entry = self._entries.get(ref)
        if entry is None or entry.queued:
            return
        entry.queued = True
        heapq.heappush(self._failed, (now + BACKOFF.delay(entry.attempts - 1), next(self._order), ref))

    def wake(self, change: Change) -> bool:
        """Let the pods in again that a change may help; return whether there are any."""
        helped: Collection[str] | None = change.value
        woken = [
            ref
            for ref in self._stuck
            if helped is None or not self._entries[ref].rejected_by.isdisjoint(helped)
        ]
        for ref in woken:
            del self._stuck[ref]
            entry = self._entries[ref]
            entry.queued = True
            heapq.heappush(self._resting, (entry.due, entry.order, ref))
        return bool(woken)

    def next_due(self) -> float | None:
        """Return when `take` will have something, should nothing happen before."""
        times = [heap[0][0] for heap in (self._failed, self._resting) if heap]
        times += [next(iter(self._stuck.values()))] if self._stuck else []
        return min(times, default=None)

    def _make_ready(self, entry: _Entry) -> None:
        entry.queued = True
        heapq.heappush(self._ready, (-entry.priority, entry.order, entry.ref))
