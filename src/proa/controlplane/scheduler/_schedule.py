"""The decision where a pod goes: a plain function of the pod and the cluster.

Filters say which nodes are out of the question and why, in the words of kube-scheduler; among the others
the one that fits best wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from proa.controlplane.scheduler._affinity import admits, preference
from proa.controlplane.scheduler._cluster import ASSUMED_CPU, ASSUMED_MEMORY, Cluster, Demand, NodeView, Usage
from proa.controlplane.scheduler._taints import UNSCHEDULABLE, untolerated
from proa.kube.models.core_v1 import Pod

HARD = frozenset({"NoSchedule", "NoExecute"})
SOFT = frozenset({"PreferNoSchedule"})


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
    """

    nodes: int
    reasons: Counter[str]

    @property
    def message(self) -> str:
        """The sentence that kube-scheduler writes."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items()))
        return f"0/{self.nodes} nodes are available: {reasons}."


def schedule(pod: Pod, cluster: Cluster) -> Placement | Unschedulable:
    """Return the node for `pod`, or why there is none.

    Among the nodes that can take it: those without soft taints first, then those that its affinity prefers,
    then the one with the largest share of processor and memory left, then the one with the fewest pods.
    """
    demand = Demand.of(pod)
    reasons: Counter[str] = Counter()
    feasible: list[NodeView] = []
    for view in cluster.nodes.values():
        obstacles = _obstacles(pod, demand, view, cluster.usage(view.name))
        reasons.update(obstacles)
        if not obstacles:
            feasible.append(view)
    if not feasible:
        return Unschedulable(len(cluster.nodes), reasons)
    best = max(feasible, key=lambda view: _score(pod, demand, view, cluster.usage(view.name)))
    return Placement(best.name)


def _obstacles(pod: Pod, demand: Demand, view: NodeView, usage: Usage) -> list[str]:
    """Return the reasons of the first filter that rules the node out."""
    if taint := next(untolerated(view.taints, pod.spec.tolerations, HARD), None):
        if taint is UNSCHEDULABLE or taint.key == UNSCHEDULABLE.key:
            return ["node(s) were unschedulable"]
        return [f"node(s) had untolerated taint {{{taint.key}: {taint.value or ''}}}"]
    if not admits(pod, view.node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    if any(wanted.conflicts(taken) for wanted in demand.ports for taken in usage.ports):
        return ["node(s) didn't have free ports for the requested pod ports"]
    return list(_lacking(demand, view, usage))


def _lacking(demand: Demand, view: NodeView, usage: Usage) -> Iterator[str]:
    if usage.pods + 1 > view.allocatable["pods"]:
        yield "Too many pods"
    for name, amount in demand.requests.items():
        if amount and usage.requested[name] + amount > view.allocatable[name]:
            yield f"Insufficient {name}"


def _score(pod: Pod, demand: Demand, view: NodeView, usage: Usage) -> tuple[int, int, float, int]:
    disliked = sum(1 for _ in untolerated(view.taints, pod.spec.tolerations, SOFT))
    cpu = usage.cpu + (demand.requests["cpu"] or ASSUMED_CPU)
    memory = usage.memory + (demand.requests["memory"] or ASSUMED_MEMORY)
    left = _left(cpu, view.allocatable["cpu"]) + _left(memory, view.allocatable["memory"])
    return -disliked, preference(pod, view.node), left, -usage.pods


def _left(taken: int, allocatable: int) -> float:
    return max(0.0, 1 - taken / allocatable) if allocatable else 0.0
