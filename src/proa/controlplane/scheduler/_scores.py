"""Which of the nodes that can take a pod is the best: kube-scheduler's scores, with its weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from proa.controlplane.scheduler import _together
from proa.controlplane.scheduler._affinity import preference
from proa.controlplane.scheduler._cluster import Cluster, NodeView
from proa.controlplane.scheduler._demand import Demand
from proa.controlplane.scheduler._spread import Spread
from proa.controlplane.scheduler._taints import untolerated
from proa.kube.models.core_v1 import Pod

SOFT = frozenset({"PreferNoSchedule"})
Strategy: TypeAlias = Literal["LeastAllocated", "MostAllocated"]
LEAST_ALLOCATED: Final = "LeastAllocated"
MOST_ALLOCATED: Final = "MostAllocated"
Score: TypeAlias = Callable[[Pod, Demand, Cluster, Sequence[NodeView]], Sequence[float] | None]


def best(
    pod: Pod, demand: Demand, cluster: Cluster, nodes: Sequence[NodeView], strategy: Strategy
) -> NodeView:
    """Return the best of some nodes, of which there is at least one; among equals that with fewest pods."""
    if len(nodes) == 1:
        return nodes[0]
    totals = _resources(demand, cluster, nodes, strategy)
    for score, weight in _WEIGHTS.items():
        for position, value in enumerate(score(pod, demand, cluster, nodes) or ()):
            totals[position] += weight * value
    order = range(len(nodes))
    return nodes[max(order, key=lambda one: (totals[one], -cluster.usage(nodes[one].name).pods))]


def _resources(
    demand: Demand, cluster: Cluster, nodes: Sequence[NodeView], strategy: Strategy
) -> list[float]:
    """By what share of processors and memory would be taken, and by how alike the two shares are."""
    totals = []
    for view in nodes:
        usage = cluster.usage(view.name)
        cpu = _share(usage.cpu + demand.cpu, view.allocatable["cpu"])
        memory = _share(usage.memory + demand.memory, view.allocatable["memory"])
        taken = (cpu + memory) / 2
        full = taken if strategy == MOST_ALLOCATED else 1 - taken
        totals.append(100 * full + 100 * (1 - abs(cpu - memory) / 2))
    return totals


def _share(taken: int, whole: int) -> float:
    return min(1.0, taken / whole) if whole else 1.0


def _taints(pod: Pod, _: Demand, cluster: Cluster, nodes: Sequence[NodeView]) -> Sequence[float] | None:
    del cluster
    disliked = [sum(1 for _ in untolerated(view.taints, pod.spec.tolerations, SOFT)) for view in nodes]
    return _fewest(disliked) if any(disliked) else None


def _affinity(pod: Pod, _: Demand, cluster: Cluster, nodes: Sequence[NodeView]) -> Sequence[float] | None:
    del cluster
    liked = [preference(pod, view.node) for view in nodes]
    most = max(liked)
    return [100 * one / most for one in liked] if most else None


def _together_score(
    pod: Pod, _: Demand, cluster: Cluster, nodes: Sequence[NodeView]
) -> Sequence[float] | None:
    liked = _together.liking(pod, cluster)
    if not liked:
        return None
    sums = [
        sum(weights[view.labels[label]] for label, weights in liked.items() if label in view.labels)
        for view in nodes
    ]
    least, most = min(sums), max(sums)
    return [100 * (one - least) / (most - least) for one in sums] if most > least else None


def _spread(pod: Pod, _: Demand, cluster: Cluster, nodes: Sequence[NodeView]) -> Sequence[float] | None:
    """Nodes that lack one of the labels come last."""
    spreads = Spread.wished(pod, cluster)
    if not spreads:
        return None
    costs = [[one.cost(view) for one in spreads] for view in nodes]
    sums = [None if None in parts else sum(part or 0.0 for part in parts) for parts in costs]
    known = [one for one in sums if one is not None]
    least, most = min(known, default=0.0), max(known, default=0.0)
    return [0.0 if one is None else 100.0 * (most + least - one) / (most or 1.0) for one in sums]


def _fewest(counts: Sequence[int]) -> list[float]:
    most = max(counts)
    return [100 * (1 - count / most) for count in counts]


_WEIGHTS: Mapping[Score, int] = {_taints: 3, _affinity: 2, _spread: 2, _together_score: 2}
