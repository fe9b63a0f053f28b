"""Topology spread constraints: how evenly a pod's like are over zones, nodes or whatever labels say.

https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from proa.controlplane.scheduler._affinity import admits
from proa.controlplane.scheduler._cluster import Cluster, NodeView
from proa.controlplane.scheduler._taints import untolerated
from proa.controlplane.scheduler._terms import Matcher, selector
from proa.kube import Selector
from proa.kube.models.core_v1 import Pod, TopologySpreadConstraint

_BY_DEFAULT = tuple(
    TopologySpreadConstraint(topology_key=key, max_skew=skew, when_unsatisfiable="ScheduleAnyway")
    for key, skew in (("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5))
)
"""What kube-scheduler wishes for pods that say nothing themselves and belong to a Service or a controller."""
_HARD_TAINTS = frozenset({"NoSchedule", "NoExecute"})


def hard(pod: Pod) -> list[TopologySpreadConstraint]:
    """Return the constraints without which a pod cannot be placed."""
    constraints = pod.spec.topology_spread_constraints
    return [one for one in constraints if one.when_unsatisfiable == "DoNotSchedule"]


def soft(pod: Pod) -> list[TopologySpreadConstraint]:
    """Return the constraints that only make some nodes better than others."""
    constraints = pod.spec.topology_spread_constraints
    return [one for one in constraints if one.when_unsatisfiable == "ScheduleAnyway"]


@dataclass(frozen=True)
class Spread:
    """One constraint, and how many of the pods that it means each domain has.

    Attributes:
        constraint: The constraint.
        counts: The pods by domain.
        domains: How many domains there are.
        least: The pods of the emptiest domain; 0 if there are fewer domains than there should be.
        itself: Whether the pod to be placed is one of those meant.
        optional: Whether a node may be in no domain.
    """

    constraint: TopologySpreadConstraint
    counts: Counter[str]
    domains: int
    least: int
    itself: bool
    optional: bool = False

    @classmethod
    def wished(cls, pod: Pod, cluster: Cluster) -> list[Spread]:
        """Return the spread of the constraints that need not hold: the pod's own, or those by default."""
        if pod.spec.topology_spread_constraints:
            return cls.over(pod, soft(pod), cluster)
        labels = cluster.groups.selector(pod)
        if labels is None:
            return []
        matcher = _matcher(pod, labels)
        return [
            replace(cls._of(pod, one, matcher, nodes, cluster), optional=True)
            for one in _BY_DEFAULT
            if (nodes := [view for view in cluster.nodes.values() if one.topology_key in view.labels])
        ]

    @classmethod
    def over(
        cls, pod: Pod, constraints: Sequence[TopologySpreadConstraint], cluster: Cluster
    ) -> list[Spread]:
        """Return the spread of each constraint over the nodes that count for it."""
        keys = {one.topology_key for one in constraints}
        complete = [view for view in cluster.nodes.values() if keys <= view.labels.keys()]
        labels = [selector(one.label_selector, pod, one.match_label_keys) for one in constraints]
        return [
            cls._of(pod, one, _matcher(pod, chosen), complete, cluster)
            for one, chosen in zip(constraints, labels, strict=True)
        ]

    @classmethod
    def _of(
        cls,
        pod: Pod,
        constraint: TopologySpreadConstraint,
        matcher: Matcher,
        nodes: Iterable[NodeView],
        cluster: Cluster,
    ) -> Spread:
        on, counts = cluster.counts(matcher), Counter[str]()
        for view in nodes:
            if _counts(pod, constraint, view):
                counts[view.labels[constraint.topology_key]] += on[view.name]
        least = min(counts.values(), default=0) if len(counts) >= (constraint.min_domains or 1) else 0
        itself = matcher.matches(pod, cluster.namespaces)
        return cls(constraint, counts, len(counts), least, itself)

    def exceeded(self, view: NodeView) -> bool:
        """Tell whether the pod on this node would make the spread more uneven than allowed."""
        here = self.counts[view.labels[self.constraint.topology_key]]
        return here + self.itself - self.least > self.constraint.max_skew

    def cost(self, view: NodeView) -> float | None:
        """Return how crowded the node's domain is; None if the node is in none.

        Where there are many domains each has few pods: the weight makes up for that, as in kube-scheduler.
        """
        domain = view.labels.get(self.constraint.topology_key)
        if domain is None:
            return 0.0 if self.optional else None
        return self.counts[domain] * math.log(self.domains + 2) + self.constraint.max_skew - 1


def _matcher(pod: Pod, labels: Selector | None) -> Matcher:
    return Matcher(labels, frozenset({pod.metadata.namespace or ""}), staying=True)


def _counts(pod: Pod, constraint: TopologySpreadConstraint, view: NodeView) -> bool:
    """Tell whether a node counts: by default if the pod's node affinity admits it, tainted or not."""
    if constraint.node_affinity_policy != "Ignore" and not admits(pod, view.node):
        return False
    if constraint.node_taints_policy != "Honor":
        return True
    return next(untolerated(view.taints, pod.spec.tolerations, _HARD_TAINTS), None) is None
