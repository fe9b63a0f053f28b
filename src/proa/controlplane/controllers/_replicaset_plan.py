"""What a ReplicaSet needs next: a plain function of the set and its pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from proa.controlplane.controllers._pods import (
    available_since,
    controlled_by,
    dispensable,
    is_active,
    is_going,
)
from proa.kube.models.apps_v1 import ReplicaSet, ReplicaSetCondition, ReplicaSetStatus
from proa.kube.models.core_v1 import Pod
from proa.kube.models.meta_v1 import ObjectMeta

BURST = 500
"""The most pods created or deleted for one set in one go."""


@dataclass(frozen=True)
class Plan:
    """The writes that bring the set closer to what it says.

    Attributes:
        create: How many pods to create.
        delete: Which pods to delete.
    """

    create: int
    delete: tuple[Pod, ...]


def plan(replica_set: ReplicaSet, pods: Sequence[Pod]) -> Plan:
    """Return what to do, given all pods that the set controls."""
    active = [pod for pod in pods if is_active(pod)]
    wanted = 1 if replica_set.spec.replicas is None else replica_set.spec.replicas
    surplus = len(active) - wanted
    if surplus > 0:
        return Plan(0, tuple(dispensable(active)[: min(surplus, BURST)]))
    return Plan(min(-surplus, BURST), ())


def new_pod(replica_set: ReplicaSet) -> Pod:
    """Return a pod made from the set's template; the server completes its name."""
    template = replica_set.spec.template
    return Pod(
        metadata=ObjectMeta(
            generate_name=f"{replica_set.metadata.name}-",
            namespace=replica_set.metadata.namespace,
            labels=dict(template.metadata.labels),
            annotations=dict(template.metadata.annotations),
            finalizers=list(template.metadata.finalizers),
            owner_references=[controlled_by(replica_set)],
        ),
        spec=template.spec,
    )


def status(
    replica_set: ReplicaSet, pods: Sequence[Pod], now: datetime, failure: str | None
) -> tuple[ReplicaSetStatus, float | None]:
    """Return the set's status, and the seconds until time alone makes another pod available.

    Args:
        replica_set: The set.
        pods: All pods that it controls.
        now: The time.
        failure: Why the last creation or deletion of a pod failed, if it did.
    """
    patience = replica_set.spec.min_ready_seconds or 0
    template = replica_set.spec.template.metadata.labels.items()
    active = labelled = ready = available = terminating = 0
    later: list[float] = []
    for pod in pods:
        terminating += is_going(pod)
        if not is_active(pod):
            continue
        active += 1
        labelled += template <= pod.metadata.labels.items()
        since = available_since(pod, patience)
        if since is not None:
            ready += 1
            available += since <= now
            if since > now:
                later.append((since - now).total_seconds())
    result = ReplicaSetStatus(
        replicas=active,
        fully_labeled_replicas=labelled,
        ready_replicas=ready,
        available_replicas=available,
        terminating_replicas=terminating,
        observed_generation=replica_set.metadata.generation,
        conditions=_conditions(replica_set, active, now, failure),
    )
    return result, min(later, default=None)


def _conditions(
    replica_set: ReplicaSet, active: int, now: datetime, failure: str | None
) -> list[ReplicaSetCondition]:
    others = [known for known in replica_set.status.conditions if known.type != "ReplicaFailure"]
    before = next((known for known in replica_set.status.conditions if known.type == "ReplicaFailure"), None)
    if failure is None:
        return others
    few = active < (replica_set.spec.replicas or 0)
    condition = ReplicaSetCondition(
        type="ReplicaFailure",
        status="True",
        reason="FailedCreate" if few else "FailedDelete",
        message=failure,
        last_transition_time=(before.last_transition_time if before else None) or now,
    )
    return [*others, condition]


def with_status(replica_set: ReplicaSet, result: ReplicaSetStatus) -> ReplicaSet:
    """Return the set with another status; the one in the cache stays as it is."""
    return msgspec.structs.replace(replica_set, status=result)
