"""The status of a Deployment, as `kubectl rollout status` and `kubectl get deployments` read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from proa.controlplane.controllers._rollout import Limits
from proa.kube.models.apps_v1 import Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet

COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"


@dataclass(frozen=True)
class Sets:
    """The ReplicaSets of a Deployment: the one for its template, if there is one, and the others by age."""

    new: ReplicaSet | None
    old: Sequence[ReplicaSet]

    @property
    def all(self) -> list[ReplicaSet]:
        """All of them, oldest first."""
        return [*self.old, *([self.new] if self.new else [])]


def counted(deployment: Deployment, sets: Sets) -> DeploymentStatus:
    """Return the status without its conditions: the sum of what the sets say.

    Numbers that are 0 are left out, as the server leaves them out: else each look would find a difference.
    """
    available = sum(one.status.available_replicas or 0 for one in sets.all)
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(one.status.replicas for one in sets.all),
        updated_replicas=(sets.new.status.replicas if sets.new else 0),
        ready_replicas=sum(one.status.ready_replicas or 0 for one in sets.all),
        available_replicas=available,
        unavailable_replicas=max(0, sum(one.spec.replicas or 0 for one in sets.all) - available),
        terminating_replicas=sum(one.status.terminating_replicas or 0 for one in sets.all),
        collision_count=deployment.status.collision_count,
    )


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Tell whether all pods are of the newest template and serve."""
    wanted = deployment.spec.replicas or None
    return status.updated_replicas == status.replicas == status.available_replicas == wanted


def status_of(deployment: Deployment, sets: Sets, limits: Limits, now: datetime) -> DeploymentStatus:
    """Return the status that the Deployment should have."""
    status = counted(deployment, sets)
    before = {condition.type: condition for condition in deployment.status.conditions}
    conditions = {**before, "Available": _available(status, limits)}
    if progressing := _progressing(deployment, sets, status, before.get("Progressing"), now):
        conditions["Progressing"] = progressing
    if failure := _failure(sets):
        conditions["ReplicaFailure"] = failure
    else:
        conditions.pop("ReplicaFailure", None)
    status.conditions = [_dated(condition, before.get(kind), now) for kind, condition in conditions.items()]
    return status


def deadline(deployment: Deployment, status: DeploymentStatus, now: datetime) -> float | None:
    """Return the seconds until a lack of progress is a failure; None if it cannot become one."""
    condition = next((known for known in status.conditions if known.type == "Progressing"), None)
    seconds = deployment.spec.progress_deadline_seconds
    if (
        condition is None
        or seconds is None
        or condition.reason in {COMPLETE, TIMED_OUT}
        or deployment.spec.paused
    ):
        return None
    since = condition.last_update_time or now
    return max(0.0, (since + timedelta(seconds=seconds) - now).total_seconds()) + 1


def _failure(sets: Sets) -> DeploymentCondition | None:
    """Return why pods cannot be created or deleted, as the newest set that knows it says."""
    known = (
        one for each in reversed(sets.all) for one in each.status.conditions if one.type == "ReplicaFailure"
    )
    found = next(known, None)
    if found is None:
        return None
    return DeploymentCondition(
        type="ReplicaFailure", status=found.status, reason=found.reason, message=found.message
    )


def _available(status: DeploymentStatus, limits: Limits) -> DeploymentCondition:
    if (status.available_replicas or 0) >= limits.least_available:
        return DeploymentCondition(
            type="Available",
            status="True",
            reason="MinimumReplicasAvailable",
            message="Deployment has minimum availability.",
        )
    return DeploymentCondition(
        type="Available",
        status="False",
        reason="MinimumReplicasUnavailable",
        message="Deployment does not have minimum availability.",
    )


def _progressing(
    deployment: Deployment,
    sets: Sets,
    status: DeploymentStatus,
    before: DeploymentCondition | None,
    now: datetime,
) -> DeploymentCondition | None:
    name = sets.new.metadata.name if sets.new else ""
    seconds = deployment.spec.progress_deadline_seconds
    if deployment.spec.paused:
        return _condition("Unknown", "DeploymentPaused", "Deployment is paused")
    if is_complete(deployment, status):
        return _condition("True", COMPLETE, f'ReplicaSet "{name}" has successfully progressed.')
    if before is not None and before.reason == COMPLETE and status.updated_replicas == status.replicas:
        return before  # a pod that comes and goes after the rollout is no rollout
    if before is None or before.reason in {COMPLETE, "DeploymentPaused"} or _moved(deployment.status, status):
        return _condition("True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.')
    since = before.last_update_time or now
    if seconds is not None and now >= since + timedelta(seconds=seconds):
        return _condition("False", TIMED_OUT, f'ReplicaSet "{name}" has timed out progressing.')
    return before


def _moved(before: DeploymentStatus, now: DeploymentStatus) -> bool:
    def old_replicas(status: DeploymentStatus) -> int:
        return (status.replicas or 0) - (status.updated_replicas or 0)

    return (
        (now.updated_replicas or 0) > (before.updated_replicas or 0)
        or old_replicas(now) < old_replicas(before)
        or (now.ready_replicas or 0) > (before.ready_replicas or 0)
        or (now.available_replicas or 0) > (before.available_replicas or 0)
    )


def _condition(status: str, reason: str, message: str) -> DeploymentCondition:
    return DeploymentCondition(type="Progressing", status=status, reason=reason, message=message)


def _dated(
    condition: DeploymentCondition, before: DeploymentCondition | None, now: datetime
) -> DeploymentCondition:
    """Give a condition its times: of its last change of status, and of its last sign of life."""
    if condition is before:
        return condition
    same = before is not None and before.status == condition.status
    alive = condition.type == "Progressing" and condition.reason == "ReplicaSetUpdated"
    if before is not None and same and before.reason == condition.reason and not alive:
        return before
    condition.last_transition_time = before.last_transition_time if before and same else now
    condition.last_update_time = now
    return condition
