"""Which nodes a pod's node selector and node affinity admit."""

from __future__ import annotations

from collections.abc import Mapping

from proa.kube.models.core_v1 import (
    Node,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    PreferredSchedulingTerm,
)


def admits(pod: Pod, node: Node) -> bool:
    """Tell whether `node` has what the pod's `nodeSelector` and required node affinity ask for."""
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in pod.spec.node_selector.items()):
        return False
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    return required is None or satisfies(required, node)


def satisfies(selector: NodeSelector, node: Node) -> bool:
    """Tell whether `node` fulfils one of a selector's terms."""
    return any(_matches(term, node) for term in selector.node_selector_terms)


def preference(pod: Pod, node: Node) -> int:
    """Return the sum of the weights of the preferred terms that `node` fulfils."""
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    terms: list[PreferredSchedulingTerm] = []
    if affinity:
        terms = affinity.preferred_during_scheduling_ignored_during_execution
    return sum(term.weight for term in terms if _matches(term.preference, node))


def _matches(term: NodeSelectorTerm, node: Node) -> bool:
    """An empty term matches nothing, as in Kubernetes."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.metadata.name or ""}
    return all(_holds(requirement, node.metadata.labels) for requirement in term.match_expressions) and all(
        _holds(requirement, fields) for requirement in term.match_fields
    )


def _holds(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _compare(value, requirement.values) > 0
        case "Lt":
            return _compare(value, requirement.values) < 0
        case _:
            return False


def _compare(value: str | None, bounds: list[str]) -> int:
    """Return the sign of value - bound; 0, which fulfils nothing, where either is no number."""
    try:
        return int(value or "") - int(bounds[0])
    except (ValueError, IndexError):
        return 0
