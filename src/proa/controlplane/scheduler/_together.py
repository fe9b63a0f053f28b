"""Affinity and anti-affinity between pods.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from proa.controlplane.scheduler._cluster import Cluster, NodeView
from proa.controlplane.scheduler._terms import Terms, terms
from proa.kube.models.core_v1 import Pod

Values: TypeAlias = "Mapping[str, AbstractSet[str]]"
"""Values of labels, by label."""


class Refusal(NamedTuple):
    """Why a node cannot have a pod."""

    reason: str
    final: bool


NOT_WITH = Refusal("node(s) didn't match pod affinity rules", final=True)
TOO_CLOSE = Refusal("node(s) didn't match pod anti-affinity rules", final=False)
UNWELCOME = Refusal("node(s) didn't satisfy existing pods anti-affinity rules", final=False)


@dataclass(frozen=True)
class Rules:
    """Which values of which labels of nodes keep a pod away.

    Attributes:
        wanted: For each term of affinity the label, and its values where pods are that are meant; None for
            the values means any.
        avoided: Labels and values where pods are that it does not want to be with.
        unwelcome: Labels and values where pods are that do not want to be with it.
    """

    wanted: tuple[tuple[str, frozenset[str] | None], ...]
    avoided: Values
    unwelcome: Values

    def obstacle(self, view: NodeView) -> Refusal | None:
        """Return why a node is out of the question."""
        labels = view.labels
        for label, values in self.wanted:
            if label not in labels or (values is not None and labels[label] not in values):
                return NOT_WITH
        if any(labels.get(label) in values for label, values in self.avoided.items()):
            return TOO_CLOSE
        if any(labels.get(label) in values for label, values in self.unwelcome.items()):
            return UNWELCOME
        return None


def rules(pod: Pod, cluster: Cluster) -> Rules | None:
    """Return what a pod and those already placed say about where it can be; None if nothing."""
    said = terms(pod)
    avoided: dict[str, set[str]] = {}
    for term in said.apart:
        values = cluster.domains(cluster.counts(term.matcher), term.topology_key)
        avoided.setdefault(term.topology_key, set()).update(values)
    unwelcome: dict[str, set[str]] = {}
    for term, counts in cluster.apart():
        if term.matcher.matches(pod, cluster.namespaces):
            values = cluster.domains(counts, term.topology_key)
            unwelcome.setdefault(term.topology_key, set()).update(values)
    if not (said.together or avoided or unwelcome):
        return None
    return Rules(_wanted(pod, said, cluster), avoided, unwelcome)


def _wanted(pod: Pod, said: Terms, cluster: Cluster) -> tuple[tuple[str, frozenset[str] | None], ...]:
    """A pod that all its own terms mean may be the first of its like: it needs nobody to be there."""
    if not said.together:
        return ()
    matchers = tuple(term.matcher for term in said.together)
    on = cluster.counts(*matchers)
    if not on and all(matcher.matches(pod, cluster.namespaces) for matcher in matchers):
        return tuple((term.topology_key, None) for term in said.together)
    return tuple(
        (term.topology_key, frozenset(cluster.domains(on, term.topology_key))) for term in said.together
    )


def liking(pod: Pod, cluster: Cluster) -> dict[str, Counter[str]]:
    """Return how much it speaks for a node that a label has a value, by preferences of both sides."""
    found: dict[str, Counter[str]] = {}
    own = ((term, weight, cluster.counts(term.matcher)) for term, weight in terms(pod).preferred)
    theirs = (
        (term, weight, counts)
        for (term, weight), counts in cluster.preferred()
        if term.matcher.matches(pod, cluster.namespaces)
    )
    for term, weight, counts in (*own, *theirs):
        for value, count in cluster.domains(counts, term.topology_key).items():
            found.setdefault(term.topology_key, Counter())[value] += weight * count
    return found
