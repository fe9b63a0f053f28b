"""Settings about the room on a node: what is kept free, what is evicted or removed for it, how pods end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from proa.app.settings import setting
from proa.kubelet import _shutdown_plan, _thresholds

EVICTION_HARD: Final[Mapping[str, str]] = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "pid.available": "10%",
}
"""Kubernetes' own, and room for processes."""


@dataclass(frozen=True, kw_only=True)
class NodeRoomSettings:
    """The part of a kubelet's settings that is about room and who must make it."""

    image_gc_high_threshold_percent: int = setting(
        85, help="use of the disk from which images that nobody uses are removed; 100 is never"
    )
    image_gc_low_threshold_percent: int = setting(80, help="use of the disk at which that ends")
    image_minimum_gc_age: timedelta = setting(
        timedelta(minutes=2), help="how long an image must have been unused before it is removed"
    )
    image_maximum_gc_age: timedelta = setting(
        timedelta(0), help="how long an image may be unused before it is removed in any case; 0 is for ever"
    )
    system_reserved: dict[str, str] = setting(
        {}, help="what of the machine is not for pods: cpu, memory or ephemeral-storage=quantity"
    )
    kube_reserved: dict[str, str] = setting({}, help="the same, for the kubelet itself")
    eviction_hard: dict[str, str] = setting(
        dict(EVICTION_HARD),
        help="what must be available, or else pods are evicted: signal=quantity or percentage",
    )
    eviction_soft: dict[str, str] = setting(
        {}, help="the same, for pods that are evicted with time for their hooks, after a grace period"
    )
    eviction_soft_grace_period: dict[str, timedelta] = setting(
        {}, help="how long each soft threshold may be crossed before pods are evicted: signal=duration"
    )
    eviction_max_pod_grace_period: int = setting(
        0, help="most seconds that pods have for their hooks when they are evicted for a soft threshold"
    )
    eviction_minimum_reclaim: dict[str, str] = setting(
        {}, help="how much more than a threshold must be available before evictions end: signal=quantity"
    )
    eviction_pressure_transition_period: timedelta = setting(
        timedelta(minutes=5), help="how long a condition of pressure outlasts its shortage"
    )
    shutdown_grace_period: timedelta = setting(
        timedelta(0), help="end pods by priority when the machine goes down, within this time; 0 leaves them"
    )
    shutdown_grace_period_critical_pods: timedelta = setting(
        timedelta(0), help="the part of that time which is kept for critical pods"
    )
    shutdown_grace_period_by_pod_priority: dict[str, timedelta] = setting(
        {}, help="instead of both: how long pods have from a priority on, lower ones first: priority=duration"
    )

    @property
    def thresholds(self) -> list[_thresholds.Threshold]:
        """All thresholds of eviction."""
        reclaim = self.eviction_minimum_reclaim
        soft = _thresholds.soft(self.eviction_soft, self.eviction_soft_grace_period, reclaim)
        return [*_thresholds.hard(self.eviction_hard, reclaim), *soft]

    @property
    def shutdown_plan(self) -> list[_shutdown_plan.Turn]:
        """In which turns pods are ended when the machine goes down; empty to leave them."""
        if self.shutdown_grace_period_by_pod_priority:
            return _shutdown_plan.by_priority(self.shutdown_grace_period_by_pod_priority)
        return _shutdown_plan.of_two(self.shutdown_grace_period, self.shutdown_grace_period_critical_pods)

    def wrong_room(self) -> Iterator[str]:
        """Say what is wrong, a line for each problem."""
        for name in ("eviction_hard", "eviction_soft", "eviction_minimum_reclaim"):
            yield from (f"{name}: {problem}" for problem in _thresholds.wrong_amounts(getattr(self, name)))
        for signal in self.eviction_soft.keys() - self.eviction_soft_grace_period.keys():
            yield f"eviction_soft_grace_period: a soft threshold needs one: {signal}"
        if self.eviction_max_pod_grace_period < 0:
            yield f"eviction_max_pod_grace_period: {self.eviction_max_pod_grace_period} is negative"
        for name in ("system_reserved", "kube_reserved"):
            yield from (f"{name}: {problem}" for problem in _thresholds.wrong_reserves(getattr(self, name)))
        yield from self._wrong_shutdown()
        low, high = self.image_gc_low_threshold_percent, self.image_gc_high_threshold_percent
        if not 0 <= low < high <= 100:
            names = "image_gc_low_threshold_percent, image_gc_high_threshold_percent"
            yield f"{names}: {low} and {high} are not two percentages of which the first is less"
        if timedelta(0) < self.image_maximum_gc_age <= self.image_minimum_gc_age:
            yield "image_maximum_gc_age: it is not more than image_minimum_gc_age"

    def _wrong_shutdown(self) -> Iterator[str]:
        if self.shutdown_grace_period_critical_pods > self.shutdown_grace_period:
            yield "shutdown_grace_period_critical_pods: it is more than the whole shutdown_grace_period"
        if self.shutdown_grace_period_by_pod_priority:
            if self.shutdown_grace_period:
                yield "shutdown_grace_period_by_pod_priority: it and shutdown_grace_period exclude each other"
            for text in self.shutdown_grace_period_by_pod_priority:
                if not _shutdown_plan.is_priority(text):
                    yield f"shutdown_grace_period_by_pod_priority: {text!r} is no priority"
