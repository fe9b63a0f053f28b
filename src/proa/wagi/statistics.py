"""What has been measured, by route: plain values that processes can send each other and add up."""

from collections.abc import Iterable
from typing import Final

import msgspec

__all__ = ["BUCKETS", "RouteStatistics", "Statistics", "merge", "quantile"]

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper bounds of the histogram of seconds; a last one without bound follows."""


class RouteStatistics(msgspec.Struct, kw_only=True):
    """Counts since the start.

    Attributes:
        statuses: Responses by status code.
        failures: Requests that the handler did not answer properly, by reason.
        seconds: The sum of the time that requests took.
        buckets: How many took no longer than each of `BUCKETS`, and the rest; not cumulative.
        received: Bytes of request bodies.
        sent: Bytes of response bodies.
        running: Requests under way now.
    """

    statuses: dict[int, int] = msgspec.field(default_factory=dict)
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: float = 0.0
    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    received: int = 0
    sent: int = 0
    running: int = 0

    @property
    def requests(self) -> int:
        """How many have been answered."""
        return sum(self.statuses.values())

    def record(self, status: int, seconds: float, received: int, sent: int) -> None:
        """Count a request that has been answered."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.seconds += seconds
        index = 0
        while index < len(BUCKETS) and seconds > BUCKETS[index]:
            index += 1
        self.buckets[index] += 1
        self.received += received
        self.sent += sent

    def add(self, other: "RouteStatistics") -> None:
        """Add another process's counts."""
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        for reason, count in other.failures.items():
            self.failures[reason] = self.failures.get(reason, 0) + count
        self.seconds += other.seconds
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        self.received += other.received
        self.sent += other.sent
        self.running += other.running


class Statistics(msgspec.Struct, kw_only=True):
    """Everything that one process has counted.

    Attributes:
        routes: By pattern; "" is for requests that no route matched.
        executors: Processes that run handlers now.
        waiting: Requests that wait for one.
    """

    routes: dict[str, RouteStatistics] = msgspec.field(default_factory=dict)
    executors: int = 0
    waiting: int = 0


def merge(parts: Iterable[Statistics]) -> Statistics:
    """Add up the counts of several processes."""
    total = Statistics()
    for part in parts:
        total.executors += part.executors
        total.waiting += part.waiting
        for route, statistics in part.routes.items():
            total.routes.setdefault(route, RouteStatistics()).add(statistics)
    return total


def quantile(statistics: RouteStatistics, share: float) -> float | None:
    """Estimate within how many seconds a share of the requests was answered; None when there were none.

    It is the upper bound of the bucket, so never too small; infinite beyond the last one.
    """
    wanted = share * sum(statistics.buckets)
    passed = 0
    for bound, count in zip((*BUCKETS, float("inf")), statistics.buckets, strict=True):
        passed += count
        if count and passed >= wanted:
            return bound
    return None
