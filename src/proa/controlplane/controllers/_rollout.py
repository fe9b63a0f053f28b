"""The arithmetic of a rolling update: how large each ReplicaSet of a Deployment should be next.

Follows the deployment controller of Kubernetes. Sizes are numbers of pods; `available` are those that serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from proa.kube.models import IntOrString, scaled

Sizes: TypeAlias = Mapping[str, int]
"""The size wanted for each ReplicaSet, by its name."""


@dataclass(frozen=True)
class Part:
    """One ReplicaSet in the eyes of a rollout."""

    name: str
    size: int
    available: int
    limit: int | None = None
    """The total with surge that the Deployment had when this part was last scaled."""


@dataclass(frozen=True)
class Limits:
    """How far a rolling update may stray from the number of replicas."""

    replicas: int
    surge: int
    unavailable: int

    @classmethod
    def of(cls, replicas: int, surge: IntOrString, unavailable: IntOrString) -> Limits:
        """Resolve percentages: surge is rounded up, unavailable down, and both are not 0 at the same time."""
        up = scaled(surge, replicas, round_up=True)
        down = min(scaled(unavailable, replicas, round_up=False), replicas)
        return cls(replicas, up, 1 if not up and not down else down)

    @property
    def most(self) -> int:
        """The most pods at any time."""
        return self.replicas + self.surge

    @property
    def least_available(self) -> int:
        """The fewest pods that must serve at any time."""
        return max(0, self.replicas - self.unavailable)


def new_size(limits: Limits, new: int, total: int) -> int:
    """Return the next size of the new ReplicaSet, of size `new` while all have `total`."""
    if new >= limits.replicas:
        return limits.replicas
    return new + max(0, min(limits.most - total, limits.replicas - new))


def roll(limits: Limits, new: Part, old: Sequence[Part]) -> Sizes:
    """Return the next sizes during a rolling update; `old` from the oldest to the youngest.

    First the new set grows as far as the surge allows. Only when it need not, the old ones shrink: of what
    does not serve first, then as far as enough others serve.
    """
    total = new.size + sum(part.size for part in old)
    grown = new_size(limits, new.size, total)
    if grown != new.size:
        return {new.name: grown}
    return _shrink(limits, new, old)


def _shrink(limits: Limits, new: Part, old: Sequence[Part]) -> Sizes:
    sizes = {part.name: part.size for part in old}
    total = new.size + sum(sizes.values())
    spare = total - limits.least_available - max(0, new.size - new.available)
    for part in old:
        step = max(0, min(spare, part.size - part.available))
        sizes[part.name] -= step
        spare -= step
    serving = new.available + sum(part.available for part in old)
    spare = serving - limits.least_available
    for part in old:
        step = max(0, min(spare, sizes[part.name], part.available))
        sizes[part.name] -= step
        spare -= step
    return {part.name: sizes[part.name] for part in old if sizes[part.name] != part.size}


def resize(limits: Limits, parts: Sequence[Part]) -> Sizes:
    """Return the sizes after the number of replicas changed in the middle of a rollout.

    Each part keeps its share; what rounding leaves over goes to the largest. `parts` from the oldest to the
    youngest: of equals the youngest grows first, and the oldest shrinks first.
    """
    active = [part for part in parts if part.size]
    total = sum(part.size for part in active)
    wanted = limits.most if limits.replicas else 0
    missing = wanted - total
    ordered = sorted(active[::-1] if missing > 0 else active, key=lambda part: -part.size)
    sizes, left = {part.name: part.size for part in active}, missing
    for part in ordered:
        share = round(part.size * wanted / (part.limit or total)) - part.size
        step = max(min(share, left), 0) if missing > 0 else min(max(share, left), 0)
        sizes[part.name] += step
        left -= step
    if ordered:
        sizes[ordered[0].name] = max(0, sizes[ordered[0].name] + left)
    return sizes  # all: that a set is as it should be for this number of replicas is noted in it, too
