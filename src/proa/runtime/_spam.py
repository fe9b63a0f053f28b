"""A bound on events about one object, as client-go has it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

BURST = 25.0
REFILL_SECONDS = 300.0
REMEMBERED = 4096


class SpamFilter(Generic[Key]):
    """A token bucket for each key: 25 at once, and one more every five minutes."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[Key, tuple[float, float]] = OrderedDict()

    def admits(self, key: Key, now: float) -> bool:
        """Whether one more may pass; if so it is counted."""
        tokens, since = self._buckets.pop(key, (BURST, now))
        tokens = min(BURST, tokens + (now - since) / REFILL_SECONDS)
        admitted = tokens >= 1
        self._buckets[key] = (tokens - admitted, now)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        return admitted
