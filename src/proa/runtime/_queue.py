"""The work queue of a controller, without I/O and without a clock: every method is told the time.

It holds keys, not events: a key asked for many times before its turn is worked on once, and never twice at
the same time. That is what makes a controller level-triggered.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

from proa.app import Backoff

Key = TypeVar("Key", bound=Hashable)

FOREVER = 180 * 86_400.0
"""The longest delay in seconds; timers of event loops overflow with longer ones."""


class WorkQueue(Generic[Key]):
    """Keys and when they are due.

    - A key that waits is kept once; of two times asked for, the earlier wins.
    - A key asked for while it is worked on waits until that is done, and is then due (again) once.
    - Keys due at the same time come out in the order they were asked for.
    - A key that fails is due again after a delay that doubles with each failure in a row.
    """

    def __init__(self, backoff: Backoff, debounce: float = 0.0) -> None:
        """Make an empty queue.

        Args:
            backoff: The delays of keys that failed.
            debounce: Seconds of quiet to wait for: a key asked for at once is due so much later, and pushed
                back by each further request, but by no more than ten times as long in all.
        """
        self._backoff = backoff
        self._debounce = debounce
        self._pushed: dict[Key, float] = {}
        self._order = itertools.count()
        self._heap: list[tuple[float, int, Key]] = []
        self._waiting: dict[Key, tuple[float, int]] = {}
        self._held: dict[Key, float] = {}
        self._running: set[Key] = set()
        self._failures: dict[Key, int] = {}

    def __len__(self) -> int:
        """The number of keys that wait for their turn."""
        return len(self._waiting) + len(self._held)

    @property
    def running(self) -> int:
        """The number of keys that are worked on."""
        return len(self._running)

    def add(self, key: Key, now: float, delay: float = 0.0) -> None:
        """Ask for `key` at `now + delay`."""
        at = now + min(max(delay, 0.0), FOREVER)
        if key in self._running:
            self._held[key] = min(at, self._held.get(key, at))
            return
        waiting = self._waiting.get(key)
        if self._debounce and delay <= 0:
            latest = self._pushed.setdefault(key, now + 10 * self._debounce)
            self._place(key, min(now + self._debounce, latest))
        elif waiting is None or at < waiting[0]:
            self._place(key, at)

    def take(self, now: float) -> Key | None:
        """Return the key that is due for longest and mark it as worked on; None if no key is due."""
        due = self.next_due()
        if due is None or due > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._waiting[key]
        self._pushed.pop(key, None)
        self._running.add(key)
        return key

    def next_due(self) -> float | None:
        """Return when the next key is due; None if none waits."""
        while self._heap:
            at, order, key = self._heap[0]
            if self._waiting.get(key) == (at, order):
                return at
            heapq.heappop(self._heap)
        return None

    def done(self, key: Key, now: float, again_after: float | None = None) -> None:
        """Say that the work on `key` succeeded, and is wanted again in `again_after` seconds."""
        self._failures.pop(key, None)
        self._release(key, now, again_after)

    def failed(self, key: Key, now: float) -> float:
        """Say that the work on `key` failed; return the seconds after which it is due again."""
        attempt = self._failures.get(key, 0)
        self._failures[key] = attempt + 1
        delay = self._backoff.delay(attempt)
        self._release(key, now, delay)
        return delay

    def _place(self, key: Key, at: float) -> None:
        entry = (at, next(self._order))
        self._waiting[key] = entry
        heapq.heappush(self._heap, (*entry, key))
        self._compact()

    def _compact(self) -> None:
        # An entry overtaken by an earlier one stays in the heap until its time: far too long for a delay of
        # days.
        if len(self._heap) > 2 * len(self._waiting) + 64:
            self._heap = [(*entry, key) for key, entry in self._waiting.items()]
            heapq.heapify(self._heap)

    def _release(self, key: Key, now: float, again_after: float | None) -> None:
        self._running.discard(key)
        held = self._held.pop(key, None)
        if held is not None:
            self.add(key, now, held - now)
        if again_after is not None:
            self.add(key, now, again_after)
