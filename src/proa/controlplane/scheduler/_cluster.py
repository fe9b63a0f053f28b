"""The scheduler's picture of the cluster: nodes, the pods on them, and counts of both kept as they change."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from proa.controlplane.scheduler._demand import Demand, Usage
from proa.controlplane.scheduler._groups import Groups
from proa.controlplane.scheduler._resources import Amounts, amounts
from proa.controlplane.scheduler._taints import effective
from proa.controlplane.scheduler._terms import Matcher, Namespaces, Term, Terms, terms
from proa.controlplane.scheduler._volumes import Volumes
from proa.kube.models.core_v1 import Node, Pod, Taint

Key = TypeVar("Key", Term, tuple[Term, int])

REMEMBERED = 256
"""How many matchers' counts are kept: each costs a little at every change of a pod."""

Matchers: TypeAlias = "tuple[Matcher, ...]"


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


@dataclass(frozen=True)
class Placed:
    """A pod that counts as being on a node."""

    pod: Pod
    node_name: str
    demand: Demand
    terms: Terms

    def shows(self, pod: Pod) -> bool:
        """Tell whether a newer state of the pod would count the same."""
        old, new = self.pod.metadata, pod.metadata
        return (
            old.labels == new.labels
            and old.generation == new.generation
            and (old.deletion_timestamp is None) == (new.deletion_timestamp is None)
        )


class Cluster:
    """Nodes and placements, fed with changes of nodes and pods and with one's own decisions.

    A decision counts from the moment it is taken (`assume`), not from when the API shows it, so that the
    next one does not give the same room away again. What decisions ask of all pods together (how many that
    match are on which node, who wants to be apart from whom) is counted as pods come and go, so that a
    decision costs the same in a cluster of a thousand pods as in one of ten.

    Attributes:
        nodes: By name.
        namespaces: The labels of each.
        volumes: Claims, volumes and storage classes.
        groups: What Services and controllers select.
        nominated: Pods that are to go to a node once its pods that they displace have ended: by node and uid.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, NodeView] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.volumes = Volumes()
        self.groups = Groups()
        self.nominated: dict[str, dict[str, Pod]] = {}
        self._usage: dict[str, Usage] = {}
        self._placed: dict[str, Placed] = {}
        self._on: dict[str, dict[str, Placed]] = {}
        self._apart: dict[Term, Counter[str]] = {}
        self._preferred: dict[tuple[Term, int], Counter[str]] = {}
        self._counts: OrderedDict[Matchers, Counter[str]] = OrderedDict()

    # What there is

    @property
    def placed(self) -> int:
        """How many pods count as being on nodes."""
        return len(self._placed)

    def usage(self, node_name: str) -> Usage:
        """Return what is taken of a node."""
        return self._usage.get(node_name) or Usage()

    def on(self, node_name: str) -> Iterable[Placed]:
        """Return the pods on a node."""
        return self._on.get(node_name, {}).values()

    def counts(self, *matchers: Matcher) -> Counter[str]:
        """Return how many pods that all `matchers` mean are on each node that has any."""
        known = self._counts.get(matchers)
        if known is not None:
            self._counts.move_to_end(matchers)
            return known
        placed = (one.node_name for one in self._placed.values() if self._mean(matchers, one.pod))
        self._counts[matchers] = counted = Counter(placed)
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return counted

    def apart(self) -> Iterable[tuple[Term, Counter[str]]]:
        """Return what pods on nodes refuse to be together with, and how many on which nodes do."""
        return self._apart.items()

    def preferred(self) -> Iterable[tuple[tuple[Term, int], Counter[str]]]:
        """Return what pods on nodes like to be together with, and how many on which nodes do."""
        return self._preferred.items()

    def domains(self, counts: Counter[str], topology_key: str) -> Counter[str]:
        """Add counts by node up by the nodes' values of a label."""
        found: Counter[str] = Counter()
        for node_name, count in counts.items():
            view = self.nodes.get(node_name)
            if view is not None and topology_key in view.labels:
                found[view.labels[topology_key]] += count
        return found

    # What changes

    def set_node(self, node: Node) -> bool:
        """Take in a new or changed node; return whether the change could help a pod."""
        view = NodeView.of(node)
        changed = self.nodes.get(view.name) != view
        self.nodes[view.name] = view
        return changed

    def remove_node(self, node: Node) -> None:
        """Forget a node that is gone."""
        self.nodes.pop(node.metadata.name or "", None)

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """Take in a namespace's labels, or its end; return whether that changed anything."""
        if self.namespaces.get(name) == labels:
            return False
        if labels is None:
            del self.namespaces[name]
        else:
            self.namespaces[name] = labels
        self._counts.clear()
        return True

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
        if placed is not None and placed.node_name == node_name and placed.shows(pod):
            return
        self.remove_pod(pod)
        self._put(Placed(pod, node_name, Demand.of(pod), terms(pod)))
        self.nominate(pod, None)

    def remove_pod(self, pod: Pod) -> bool:
        """Count `pod` no longer: it is gone, has ended or could not be bound. Return whether it counted."""
        placed = self._placed.get(pod.metadata.uid or "")
        if placed is None:
            return False
        self._take(placed)
        return True

    def nominate(self, pod: Pod, node_name: str | None) -> None:
        """Keep room for `pod` on a node from pods of lower priority; None ends that."""
        uid = pod.metadata.uid or ""
        for name in [name for name, pods in self.nominated.items() if uid in pods]:
            del self.nominated[name][uid]
            if not self.nominated[name]:
                del self.nominated[name]
        if node_name is not None:
            self.nominated.setdefault(node_name, {})[uid] = pod

    def nomination(self, pod: Pod) -> str | None:
        """Return the node that a pod is nominated for."""
        uid = pod.metadata.uid or ""
        return next((name for name, pods in self.nominated.items() if uid in pods), None)

    @contextmanager
    def supposing(self, *, gone: Iterable[Placed] = (), there: Iterable[Placed] = ()) -> Iterator[None]:
        """Count some pods as gone and others as there, within the block."""
        removed, added = list(gone), list(there)
        for placed in removed:
            self._take(placed)
        for placed in added:
            self._put(placed)
        try:
            yield
        finally:
            for placed in added:
                self._take(placed)
            for placed in removed:
                self._put(placed)

    def _put(self, placed: Placed) -> None:
        uid, node_name = placed.pod.metadata.uid or "", placed.node_name
        self._placed[uid] = placed
        self._on.setdefault(node_name, {})[uid] = placed
        self._usage.setdefault(node_name, Usage()).add(placed.demand)
        self._count(placed, 1)

    def _take(self, placed: Placed) -> None:
        uid, node_name = placed.pod.metadata.uid or "", placed.node_name
        del self._placed[uid]
        del self._on[node_name][uid]
        self._usage[node_name].add(placed.demand, -1)
        if not self._on[node_name]:
            del self._on[node_name], self._usage[node_name]
        self._count(placed, -1)

    def _count(self, placed: Placed, sign: int) -> None:
        for term in placed.terms.apart:
            _change(self._apart, term, placed.node_name, sign)
        for one in placed.terms.preferred:
            _change(self._preferred, one, placed.node_name, sign)
        for matchers, counts in self._counts.items():
            if self._mean(matchers, placed.pod):
                counts[placed.node_name] += sign
                if not counts[placed.node_name]:
                    del counts[placed.node_name]

    def _mean(self, matchers: Matchers, pod: Pod) -> bool:
        namespaces: Namespaces = self.namespaces
        return all(matcher.matches(pod, namespaces) for matcher in matchers)


def _change(by_key: dict[Key, Counter[str]], key: Key, node_name: str, sign: int) -> None:
    counts = by_key.setdefault(key, Counter())
    counts[node_name] += sign
    if not counts[node_name]:
        del counts[node_name]
    if not counts:
        del by_key[key]
