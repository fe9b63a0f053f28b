"""What the node is short of, and for how long: the memory behind conditions and evictions."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from proa.kubelet._host_facts import HostFacts
from proa.kubelet._thresholds import Threshold

_MOST_URGENT: Final = "memory"


class Pressure:
    """Judges the host each time that somebody looks, by Kubernetes' rules.

    A crossed threshold is a condition of the node at once, and until some time after it, so that conditions
    do not flap. It is a reason to evict pods once its grace period has passed, and stays one until as much
    as its `reclaim` more is there.

    Args:
        thresholds: What must be there.
        transition_seconds: How long a condition outlasts its shortage.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        thresholds: Sequence[Threshold],
        transition_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Memory comes first, as the kernel does not wait with killing.
        self._thresholds = sorted(thresholds, key=lambda one: one.resource != _MOST_URGENT)
        self._transition_seconds = transition_seconds
        self._clock = clock
        self._crossed_since: dict[Threshold, float] = {}
        self._due: list[Threshold] = []
        self._seen_at: dict[str, float] = {}

    def look(self, host: HostFacts) -> list[Threshold]:
        """Note what the host is short of now; return what pods must be evicted for, most urgent first."""
        now = self._clock()
        crossed = [one for one in self._thresholds if one.is_crossed(host, already=one in self._due)]
        self._crossed_since = {one: self._crossed_since.get(one, now) for one in crossed}
        self._seen_at |= dict.fromkeys((one.condition for one in crossed), now)
        self._due = [one for one in crossed if now - self._crossed_since[one] >= one.grace]
        return self._due

    @property
    def conditions(self) -> frozenset[str]:
        """The conditions that hold."""
        earliest = self._clock() - self._transition_seconds
        recent = {condition for condition, at in self._seen_at.items() if at >= earliest}
        return frozenset(recent | {one.condition for one in self._crossed_since})
