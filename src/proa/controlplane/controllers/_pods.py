"""What controllers ask of a pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta

from proa.kube.models import Resource
from proa.kube.models.core_v1 import Pod, PodCondition
from proa.kube.models.meta_v1 import OwnerReference

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
COLLECT = 0.05
"""Seconds in which changes of pods are collected: of a thousand that start, each is news to one owner."""
EPOCH = datetime.fromtimestamp(0, UTC)


def is_active(pod: Pod) -> bool:
    """Tell whether a pod runs or will: it has neither ended nor been deleted."""
    return not has_ended(pod) and not is_going(pod)


def is_going(pod: Pod) -> bool:
    """Tell whether a pod has been deleted, and ends or waits for somebody to let go of it."""
    return pod.metadata.deletion_timestamp is not None


def has_ended(pod: Pod) -> bool:
    """Tell whether a pod will never run again."""
    return pod.status.phase in {"Succeeded", "Failed"}


def countable(pod: Pod) -> Hashable:
    """Return what has to change of a pod so that it counts differently for a set."""
    condition = ready_condition(pod)
    return (
        pod.status.phase,
        condition and (condition.status, condition.last_transition_time),
        frozenset(pod.metadata.labels.items()),
        tuple(owner.uid for owner in pod.metadata.owner_references),
    )


def ready_condition(pod: Pod) -> PodCondition | None:
    """Return the condition of type Ready."""
    for condition in pod.status.conditions:  # a loop: sets of a thousand pods ask this all the time
        if condition.type == "Ready":
            return condition
    return None


def is_ready(pod: Pod) -> bool:
    """Tell whether a pod is ready to serve."""
    condition = ready_condition(pod)
    return condition is not None and condition.status == "True"


def available_since(pod: Pod, min_ready_seconds: int) -> datetime | None:
    """Return when a ready pod counts, or will count, as available; None if it is not ready.

    Where it need not stay ready it counts whatever the clock says, which may be that it is not ready yet.
    """
    condition = ready_condition(pod)
    if condition is None or condition.status != "True":
        return None
    if not min_ready_seconds:
        return EPOCH
    since = condition.last_transition_time or pod.metadata.creation_timestamp
    return since and since + timedelta(seconds=min_ready_seconds)


def bound_at(pod: Pod) -> datetime | None:
    """Return when a pod was assigned to its node; when it was made, where it does not say."""
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "True":
            return condition.last_transition_time
    return pod.metadata.creation_timestamp


def disrupted(reason: str, message: str, at: datetime) -> dict[str, object]:
    """Return the condition that says that not the pod itself is to blame for its end."""
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": at,
    }


def controller_of(obj: Resource) -> OwnerReference | None:
    """Return the owner that controls an object."""
    for owner in obj.metadata.owner_references:
        if owner.controller:
            return owner
    return None


def controlled_by(owner: Resource) -> OwnerReference:
    """Return the reference by which an object says that `owner` controls it."""
    return OwnerReference(
        api_version=owner.api_version,
        kind=owner.kind,
        name=owner.metadata.name or "",
        uid=owner.metadata.uid or "",
        controller=True,
        block_owner_deletion=True,
    )


def dispensable(pods: Sequence[Pod]) -> list[Pod]:
    """Sort pods by how little is lost with them, as Kubernetes' `ActivePodsWithRanks` does.

    First those without a node, then those not yet running, not ready, of lower deletion cost, on a node with
    more of them, ready for a shorter time, restarted more often, younger.
    """
    crowd = Counter(pod.spec.node_name for pod in pods)
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}

    def worth(pod: Pod) -> tuple[object, ...]:
        condition = ready_condition(pod)
        since = condition.last_transition_time if condition else None
        restarts = max((status.restart_count for status in pod.status.container_statuses), default=0)
        return (
            bool(pod.spec.node_name),
            phases.get(pod.status.phase or "Pending", 0),
            is_ready(pod),
            _cost(pod),
            -crowd[pod.spec.node_name],
            -(since or EPOCH).timestamp(),
            -restarts,
            -(pod.metadata.creation_timestamp or EPOCH).timestamp(),
        )

    return sorted(pods, key=worth)


def _cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:
        return 0
