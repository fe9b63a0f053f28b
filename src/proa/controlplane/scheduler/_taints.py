"""Taints and tolerations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proa.kube.models.core_v1 import Node, Taint, Toleration

UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
NOT_READY = Taint(key="node.kubernetes.io/not-ready", effect="NoSchedule")
UNREACHABLE = Taint(key="node.kubernetes.io/unreachable", effect="NoSchedule")


def effective(node: Node) -> tuple[Taint, ...]:
    """Return a node's taints, with those that its state implies even before they are put there."""
    implied = []
    if node.spec.unschedulable:
        implied.append(UNSCHEDULABLE)
    conditions = {condition.type: condition.status for condition in node.status.conditions}
    ready = conditions.get("Ready", "Unknown")
    if ready != "True":
        implied.append(NOT_READY if ready == "False" else UNREACHABLE)
    return (*node.spec.taints, *(taint for taint in implied if not _present(taint, node.spec.taints)))


def tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Tell whether one of `tolerations` covers `taint`."""
    return any(tolerates(toleration, taint) for toleration in tolerations)


def untolerated(
    taints: Iterable[Taint], tolerations: Iterable[Toleration], effects: frozenset[str]
) -> Iterator[Taint]:
    """Yield the taints with one of `effects` that nothing tolerates."""
    return (taint for taint in taints if taint.effect in effects and not tolerated(taint, tolerations))


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Tell whether a toleration covers a taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")


def _present(taint: Taint, taints: Iterable[Taint]) -> bool:
    return any(other.key == taint.key and other.effect == taint.effect for other in taints)
