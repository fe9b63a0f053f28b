"""The scheduler's picture of the cluster: nodes, and what is taken of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from proa.controlplane.scheduler._resources import Amounts, amounts, requests
from proa.controlplane.scheduler._taints import effective
from proa.kube.models.core_v1 import Node, Pod, Taint

# What a pod that asks for nothing is taken to use when nodes are compared, so that such pods spread too.
ASSUMED_CPU = 100
ASSUMED_MEMORY = 200 * 2**20


class HostPort(NamedTuple):
    """A port of the node that a container takes."""

    ip: str
    protocol: str
    port: int

    def conflicts(self, other: HostPort) -> bool:
        """Tell whether both cannot be on one node; 0.0.0.0 takes the port of every address."""
        return self[1:] == other[1:] and (self.ip == other.ip or "0.0.0.0" in {self.ip, other.ip})  # noqa: S104


@dataclass(frozen=True)
class Demand:
    """What one pod takes of a node."""

    requests: Amounts
    ports: frozenset[HostPort]

    @classmethod
    def of(cls, pod: Pod) -> Demand:
        """Return what `pod` takes."""
        return cls(requests(pod), frozenset(_ports(pod)))


@dataclass
class Usage:
    """What is taken of a node."""

    requested: Amounts = field(default_factory=Counter)
    pods: int = 0
    cpu: int = 0
    memory: int = 0
    ports: Counter[HostPort] = field(default_factory=Counter)

    def add(self, demand: Demand, sign: int = 1) -> None:
        """Take what a pod demands, or give it back with a `sign` of -1."""
        for name, amount in demand.requests.items():
            self.requested[name] += sign * amount
        self.pods += sign
        self.cpu += sign * (demand.requests["cpu"] or ASSUMED_CPU)
        self.memory += sign * (demand.requests["memory"] or ASSUMED_MEMORY)
        for port in demand.ports:
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]


@dataclass(frozen=True)
class NodeView:
    """A node as scheduling sees it. Two are equal if no pod could tell them apart."""

    name: str
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    allocatable: Amounts
    node: Node = field(compare=False)

    @classmethod
    def of(cls, node: Node) -> NodeView:
        """Return the view of `node`."""
        available = amounts(node.status.allocatable or node.status.capacity)
        return cls(node.metadata.name or "", node.metadata.labels, effective(node), available, node)


class Cluster:
    """Nodes and placements, fed with changes of nodes and pods and with one's own decisions.

    A decision counts from the moment it is taken (`assume`), not from when the API shows it, so that the
    next one does not give the same room away again.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, NodeView] = {}
        self._usage: dict[str, Usage] = {}
        self._placed: dict[str, tuple[str, Demand]] = {}

    def usage(self, node_name: str) -> Usage:
        """Return what is taken of a node."""
        return self._usage.get(node_name) or Usage()

    def set_node(self, node: Node) -> bool:
        """Take in a new or changed node; return whether the change could help a pod."""
        view = NodeView.of(node)
        changed = self.nodes.get(view.name) != view
        self.nodes[view.name] = view
        return changed

    def remove_node(self, node: Node) -> None:
        """Forget a node that is gone."""
        self.nodes.pop(node.metadata.name or "", None)

    def set_pod(self, pod: Pod) -> bool:
        """Take in a new or changed pod; return whether room became free."""
        if pod.spec.node_name and pod.status.phase not in {"Succeeded", "Failed"}:
            self.assume(pod, pod.spec.node_name)
            return False
        # A pod that the API still shows as unassigned may have been assumed: that decision stands.
        return bool(pod.spec.node_name) and self.remove_pod(pod)

    def holds(self, pod: Pod) -> bool:
        """Tell whether `pod` is counted as being on some node."""
        return (pod.metadata.uid or "") in self._placed

    def assume(self, pod: Pod, node_name: str) -> None:
        """Count `pod` as being on a node."""
        uid = pod.metadata.uid or ""
        placed = self._placed.get(uid)
        if placed is not None and placed[0] == node_name:
            return
        self.remove_pod(pod)
        demand = Demand.of(pod)
        self._placed[uid] = (node_name, demand)
        self._usage.setdefault(node_name, Usage()).add(demand)

    def remove_pod(self, pod: Pod) -> bool:
        """Count `pod` no longer: it is gone, has ended or could not be bound. Return whether it counted."""
        placed = self._placed.pop(pod.metadata.uid or "", None)
        if placed is None:
            return False
        node_name, demand = placed
        usage = self._usage[node_name]
        usage.add(demand, -1)
        if not usage.pods:
            del self._usage[node_name]
        return True


def _ports(pod: Pod) -> Iterable[HostPort]:
    for container in pod.spec.containers:
        for port in container.ports:
            if port.host_port:
                yield HostPort(port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)  # noqa: S104
