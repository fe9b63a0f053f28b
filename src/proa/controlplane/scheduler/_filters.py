"""What rules a node out for a pod, and in which words.

A filter looks at the pod and the cluster once and returns what then judges each node. Names, order and
words are those of kube-scheduler's plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from proa.controlplane.scheduler import _together, _volumes
from proa.controlplane.scheduler._affinity import admits
from proa.controlplane.scheduler._cluster import Cluster, NodeView
from proa.controlplane.scheduler._demand import Demand, Usage
from proa.controlplane.scheduler._spread import Spread, hard
from proa.controlplane.scheduler._taints import UNSCHEDULABLE, untolerated
from proa.kube.models.core_v1 import Pod

HARD = frozenset({"NoSchedule", "NoExecute"})


class Obstacle(NamedTuple):
    """Why a node cannot have a pod.

    Attributes:
        plugin: The filter that says so.
        reason: In words.
        final: Whether it stays so whatever pods leave the node.
    """

    plugin: str
    reason: str
    final: bool = False


class Hopeless(Exception):  # noqa: N818 - it is no error of the program
    """No node can have the pod, for a reason of the pod's own."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(reason)
        self.plugin = plugin


Check: TypeAlias = Callable[[NodeView, Usage], Iterable[Obstacle]]
Filter: TypeAlias = Callable[[Pod, Demand, Cluster], Check | None]


def unschedulable(pod: Pod, demand: Demand, cluster: Cluster) -> Check | None:
    """Cordoned nodes."""
    del demand, cluster
    found = (Obstacle("NodeUnschedulable", "node(s) were unschedulable", final=True),)

    def check(view: NodeView, _: Usage) -> Iterable[Obstacle]:
        cordoned = (taint for taint in view.taints if taint.key == UNSCHEDULABLE.key)
        return found if next(untolerated(cordoned, pod.spec.tolerations, HARD), None) else ()

    return check


def taints(pod: Pod, demand: Demand, cluster: Cluster) -> Check | None:
    """Taints that nothing tolerates."""
    del demand, cluster

    def check(view: NodeView, _: Usage) -> Iterable[Obstacle]:
        taint = next(untolerated(view.taints, pod.spec.tolerations, HARD), None)
        if taint is not None:
            reason = f"node(s) had untolerated taint {{{taint.key}: {taint.value or ''}}}"
            yield Obstacle("TaintToleration", reason, final=True)

    return check


def affinity(pod: Pod, demand: Demand, cluster: Cluster) -> Check | None:
    """Nodes without what the node selector and the required node affinity ask for."""
    del demand, cluster
    if not pod.spec.node_selector and (pod.spec.affinity is None or pod.spec.affinity.node_affinity is None):
        return None
    found = (Obstacle("NodeAffinity", "node(s) didn't match Pod's node affinity/selector", final=True),)
    return lambda view, _: () if admits(pod, view.node) else found


def ports(pod: Pod, demand: Demand, cluster: Cluster) -> Check | None:
    """Ports of the node that are taken."""
    del pod, cluster
    if not demand.ports:
        return None
    found = (Obstacle("NodePorts", "node(s) didn't have free ports for the requested pod ports"),)

    def check(_: NodeView, usage: Usage) -> Iterable[Obstacle]:
        taken = any(wanted.conflicts(one) for wanted in demand.ports for one in usage.ports)
        return found if taken else ()

    return check


def resources(pod: Pod, demand: Demand, cluster: Cluster) -> Check | None:
    """Processors, memory and whatever else is counted."""
    del pod, cluster
    amounts = [(name, amount) for name, amount in demand.requests.items() if amount]

    def check(view: NodeView, usage: Usage) -> Iterator[Obstacle]:
        if usage.pods + 1 > view.allocatable["pods"]:
            yield Obstacle("NodeResourcesFit", "Too many pods")
        for name, amount in amounts:
            whole = view.allocatable[name]
            if usage.requested[name] + amount > whole:
                yield Obstacle("NodeResourcesFit", f"Insufficient {name}", final=amount > whole)

    return check


def volumes(pod: Pod, demand: Demand, cluster: Cluster) -> Check | None:
    """Volumes that cannot be reached from the node."""
    del demand
    if not pod.spec.volumes:
        return None
    try:
        obstacle = _volumes.check(pod, cluster.volumes)
    except _volumes.Missing as missing:
        raise Hopeless("VolumeBinding", str(missing)) from missing
    if obstacle is None:
        return None

    def check(view: NodeView, _: Usage) -> Iterable[Obstacle]:
        reason = obstacle(view.node)
        return () if reason is None else (Obstacle("VolumeBinding", reason, final=True),)

    return check


def spread(pod: Pod, demand: Demand, cluster: Cluster) -> Check | None:
    """Topology spread constraints that must hold."""
    del demand
    constraints = hard(pod)
    if not constraints:
        return None
    spreads = Spread.over(pod, constraints, cluster)

    def check(view: NodeView, _: Usage) -> Iterator[Obstacle]:
        reason = "node(s) didn't match pod topology spread constraints"
        for one in spreads:
            if one.constraint.topology_key not in view.labels:
                yield Obstacle("PodTopologySpread", f"{reason} (missing required label)", final=True)
                return
            if one.exceeded(view):
                yield Obstacle("PodTopologySpread", reason)
                return

    return check


def together(pod: Pod, demand: Demand, cluster: Cluster) -> Check | None:
    """Other pods that the pod has to be with, or must not be with, or that will not be with it."""
    del demand
    rules = _together.rules(pod, cluster)
    if rules is None:
        return None

    def check(view: NodeView, _: Usage) -> Iterable[Obstacle]:
        found = rules.obstacle(view)
        return () if found is None else (Obstacle("InterPodAffinity", found.reason, final=found.final),)

    return check


FILTERS: MappingProxyType[str, Filter] = MappingProxyType(
    {
        "NodeUnschedulable": unschedulable,
        "TaintToleration": taints,
        "NodeAffinity": affinity,
        "NodePorts": ports,
        "NodeResourcesFit": resources,
        "VolumeBinding": volumes,
        "PodTopologySpread": spread,
        "InterPodAffinity": together,
    }
)
"""In the order in which they are asked; the first that rules a node out gives the reasons."""


def checks(pod: Pod, demand: Demand, cluster: Cluster, without: frozenset[str]) -> list[Check]:
    """Return what judges nodes for a pod.

    Raises:
        Hopeless: There is nothing to judge.
    """
    made = (rule(pod, demand, cluster) for name, rule in FILTERS.items() if name not in without)
    return [check for check in made if check is not None]


def obstacles(judges: Iterable[Check], view: NodeView, usage: Usage) -> tuple[Obstacle, ...]:
    """Return the reasons of the first check that rules a node out."""
    for check in judges:
        if found := tuple(check(view, usage)):
            return found
    return ()
