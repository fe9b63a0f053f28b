"""The decision where a pod goes: a plain function of the pod and the cluster.

Filters say which nodes are out of the question and why, in the words of kube-scheduler; among the others
the one with the best score wins.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from proa.controlplane.scheduler._cluster import Cluster, NodeView, Placed
from proa.controlplane.scheduler._demand import Demand
from proa.controlplane.scheduler._filters import Check, Hopeless, Obstacle, checks, obstacles
from proa.controlplane.scheduler._scores import LEAST_ALLOCATED, Strategy, best
from proa.controlplane.scheduler._terms import terms
from proa.kube.models.core_v1 import Pod

ENOUGH = 100
"""So many nodes that can take the pod are compared; in a large cluster the rest is not even looked at."""


@dataclass(frozen=True)
class Profile:
    """How the pods of one `schedulerName` are scheduled.

    Attributes:
        name: The `schedulerName`.
        strategy: Whether the emptiest node is the best (`LeastAllocated`) or the fullest (`MostAllocated`).
        without: Filters that are not applied, by the name of kube-scheduler's plugin.
    """

    name: str = "default-scheduler"
    strategy: Strategy = LEAST_ALLOCATED
    without: frozenset[str] = frozenset()


DEFAULT = Profile()


@dataclass(frozen=True)
class Placement:
    """The pod goes to a node."""

    node_name: str


@dataclass(frozen=True)
class Unschedulable:
    """No node can take the pod now.

    Attributes:
        nodes: How many nodes there are.
        reasons: How many of them each reason rules out; a node may have several.
        obstacles: What stands against each node.
        hopeless: What stands against all nodes alike, and which filter says so.
    """

    nodes: int
    reasons: Counter[str]
    obstacles: Mapping[str, tuple[Obstacle, ...]] = field(default_factory=dict)
    hopeless: Hopeless | None = None

    @property
    def message(self) -> str:
        """The sentence that kube-scheduler writes."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        return available(self.nodes, self.reasons, None if self.hopeless is None else str(self.hopeless))

    @property
    def plugins(self) -> frozenset[str]:
        """The filters that ruled nodes out: only what they look at can help."""
        if self.hopeless is not None:
            return frozenset({self.hopeless.plugin})
        return frozenset(one.plugin for found in self.obstacles.values() for one in found)


def available(nodes: int, reasons: Counter[str], instead: str | None = None) -> str:
    """Return how kube-scheduler says that none of some nodes is available."""
    said = instead or ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return f"0/{nodes} nodes are available: {said}."


def schedule(pod: Pod, cluster: Cluster, profile: Profile = DEFAULT) -> Placement | Unschedulable:
    """Return the node for `pod`, or why there is none.

    The cluster is as before afterwards. A node that the pod is nominated for is taken if it can be.
    """
    demand = Demand.of(pod)
    try:
        judges = checks(pod, demand, cluster, profile.without)
    except Hopeless as hopeless:
        return Unschedulable(len(cluster.nodes), Counter(), hopeless=hopeless)
    nominated = cluster.nodes.get(cluster.nomination(pod) or "")
    if nominated is not None and not _against(pod, demand, cluster, judges, nominated, profile):
        return Placement(nominated.name)
    against: dict[str, tuple[Obstacle, ...]] = {}
    feasible: list[NodeView] = []
    for view in _nodes(cluster):
        found = _against(pod, demand, cluster, judges, view, profile)
        if found:
            against[view.name] = found
            continue
        feasible.append(view)
        if len(feasible) >= ENOUGH:
            break
    if not feasible:
        reasons = Counter(one.reason for found in against.values() for one in found)
        return Unschedulable(len(cluster.nodes), reasons, against)
    return Placement(best(pod, demand, cluster, feasible, profile.strategy).name)


def _nodes(cluster: Cluster) -> Iterable[NodeView]:
    """All nodes; where there are many, pods begin elsewhere as the number of pods grows."""
    views = cluster.nodes.values()
    if len(views) <= ENOUGH:
        return views
    start = cluster.placed % len(views)
    return itertools.chain(itertools.islice(views, start, None), itertools.islice(views, start))


def _against(
    pod: Pod, demand: Demand, cluster: Cluster, judges: list[Check], view: NodeView, profile: Profile
) -> tuple[Obstacle, ...]:
    """Return what stands against a node, both without those nominated for it and with them."""
    found = obstacles(judges, view, cluster.usage(view.name))
    priority = pod.spec.priority or 0
    ahead = [
        Placed(one, view.name, Demand.of(one), terms(one))
        for uid, one in cluster.nominated.get(view.name, {}).items()
        if uid != pod.metadata.uid and (one.spec.priority or 0) >= priority
    ]
    if found or not ahead:
        return found
    with cluster.supposing(there=ahead):
        return obstacles(checks(pod, demand, cluster, profile.without), view, cluster.usage(view.name))
