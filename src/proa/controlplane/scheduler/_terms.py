"""What pods say about other pods: terms of affinity, as values that can be compared and counted by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from proa.kube import Selector
from proa.kube.core.selectors import Requirement
from proa.kube.models.core_v1 import Pod, PodAffinityTerm
from proa.kube.models.meta_v1 import LabelSelector

Namespaces: TypeAlias = Mapping[str, Mapping[str, str]]
"""The labels of each namespace."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which pods are meant.

    Attributes:
        selector: By their labels; None means no pod.
        namespaces: In which namespaces.
        where: In namespaces with which labels besides; None adds none.
        staying: Whether pods that are being deleted are left out.
    """

    selector: Selector | None
    namespaces: frozenset[str]
    where: Selector | None = None
    staying: bool = False

    def matches(self, pod: Pod, namespaces: Namespaces) -> bool:
        """Tell whether `pod` is meant."""
        if self.selector is None or (self.staying and pod.metadata.deletion_timestamp is not None):
            return False
        namespace = pod.metadata.namespace or ""
        if namespace not in self.namespaces and (
            self.where is None or not self.where.matches(namespaces.get(namespace, {}))
        ):
            return False
        return self.selector.matches(pod.metadata.labels)


@dataclass(frozen=True, slots=True)
class Term:
    """Pods, and the label of nodes within whose values one is together with them."""

    matcher: Matcher
    topology_key: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What one pod says about others. A preference has its weight, negative for aversion."""

    together: tuple[Term, ...] = ()
    apart: tuple[Term, ...] = ()
    preferred: tuple[tuple[Term, int], ...] = ()


NONE = Terms()


def terms(pod: Pod) -> Terms:
    """Return what `pod` says about other pods."""
    affinity = pod.spec.affinity
    if affinity is None or (affinity.pod_affinity is None and affinity.pod_anti_affinity is None):
        return NONE
    near, far = affinity.pod_affinity, affinity.pod_anti_affinity
    liked = near.preferred_during_scheduling_ignored_during_execution if near else []
    disliked = far.preferred_during_scheduling_ignored_during_execution if far else []
    return Terms(
        _each(pod, near.required_during_scheduling_ignored_during_execution if near else ()),
        _each(pod, far.required_during_scheduling_ignored_during_execution if far else ()),
        tuple((_term(pod, one.pod_affinity_term), one.weight) for one in liked)
        + tuple((_term(pod, one.pod_affinity_term), -one.weight) for one in disliked),
    )


def selector(
    of: LabelSelector | None, pod: Pod, match: Iterable[str] = (), mismatch: Iterable[str] = ()
) -> Selector | None:
    """Return a selector, narrowed by the pod's own values of the labels `match` and `mismatch`."""
    if of is None:
        return None
    labels = pod.metadata.labels
    own = [Requirement(key, "in", (labels[key],)) for key in match if key in labels]
    other = [Requirement(key, "notin", (labels[key],)) for key in mismatch if key in labels]
    return Selector((*Selector.of(of).requirements, *own, *other))


def _each(pod: Pod, wanted: Iterable[PodAffinityTerm]) -> tuple[Term, ...]:
    return tuple(_term(pod, one) for one in wanted)


def _term(pod: Pod, term: PodAffinityTerm) -> Term:
    """Without any namespaces a term means those of the pod's own; an empty selector of them means all."""
    where = None if term.namespace_selector is None else Selector.of(term.namespace_selector)
    own = frozenset() if where is not None else frozenset({pod.metadata.namespace or ""})
    labels = selector(term.label_selector, pod, term.match_label_keys, term.mismatch_label_keys)
    return Term(Matcher(labels, frozenset(term.namespaces) or own, where), term.topology_key)
