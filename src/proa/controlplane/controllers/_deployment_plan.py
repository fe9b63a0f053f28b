"""What a Deployment needs next: a plain function of it, its ReplicaSets and whether old pods run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proa.controlplane.controllers._deployment_status import Sets, counted, is_complete
from proa.controlplane.controllers._revisions import DESIRED, MAXIMUM, age, find_new, new_set
from proa.controlplane.controllers._rollout import Limits, Part, Sizes, new_size, resize, roll
from proa.kube.models.apps_v1 import Deployment, ReplicaSet

QUARTER = "25%"


@dataclass(frozen=True)
class Plan:
    """The writes that bring the Deployment closer to what it says.

    Attributes:
        create: The ReplicaSet to create.
        sizes: The ReplicaSets to resize.
        remove: Those of the past that are no longer kept.
    """

    create: ReplicaSet | None = None
    sizes: Sizes | None = None
    remove: Sequence[ReplicaSet] = ()


def limits_of(deployment: Deployment) -> Limits:
    """Return how far the update may stray; `Recreate` takes everything down first."""
    spec = deployment.spec
    replicas = 1 if spec.replicas is None else spec.replicas
    if spec.strategy.type == "Recreate":
        return Limits(replicas, 0, replicas)
    rolling = spec.strategy.rolling_update
    surge = rolling.max_surge if rolling and rolling.max_surge is not None else QUARTER
    unavailable = rolling.max_unavailable if rolling and rolling.max_unavailable is not None else QUARTER
    return Limits.of(replicas, surge, unavailable)


def sort(deployment: Deployment, sets: Sequence[ReplicaSet]) -> Sets:
    """Tell the new set from the old ones."""
    new = find_new(deployment, sets)
    return Sets(new, sorted((one for one in sets if one is not new), key=age))


def plan(deployment: Deployment, sets: Sets, *, old_pods_run: bool) -> Plan:
    """Return what to do next; nothing if the rollout is complete, paused or waiting for pods."""
    limits = limits_of(deployment)
    parts = [part(one) for one in sets.all]
    if deployment.spec.paused or _resized(limits, sets):
        return Plan(sizes=_resized_sizes(limits, sets, parts))
    old = parts[: len(sets.old)]
    recreate = deployment.spec.strategy.type == "Recreate"
    if recreate and (any(one.size for one in old) or old_pods_run):
        return Plan(sizes={one.name: 0 for one in old if one.size})
    if sets.new is None:
        size = limits.replicas if recreate else new_size(limits, 0, sum(one.size for one in old))
        return Plan(create=new_set(deployment, size, limits.most, sets.old))
    sizes = {parts[-1].name: limits.replicas} if recreate else roll(limits, parts[-1], old)
    return Plan(sizes=sizes, remove=_outdated(deployment, sets))


def part(replica_set: ReplicaSet) -> Part:
    """Return the numbers of a set that the arithmetic needs."""
    noted = replica_set.metadata.annotations.get(MAXIMUM, "")
    return Part(
        replica_set.metadata.name or "",
        replica_set.spec.replicas or 0,
        replica_set.status.available_replicas or 0,
        int(noted) if noted.isdecimal() and int(noted) else None,
    )


def _resized(limits: Limits, sets: Sets) -> bool:
    """Tell whether the number of replicas changed since the sets were last sized."""
    return any(
        one.metadata.annotations.get(DESIRED, str(limits.replicas)) != str(limits.replicas)
        for one in sets.all
        if one.spec.replicas
    )


def _resized_sizes(limits: Limits, sets: Sets, parts: Sequence[Part]) -> Sizes:
    active = [one for one in parts if one.size]
    if len(active) > 1:
        new = parts[-1] if sets.new else None
        if new and new.size == new.available == limits.replicas:
            return {one.name: 0 for one in active if one is not new}
        return resize(limits, parts)
    lone = active[0] if active else parts[-1] if parts else None
    return {lone.name: limits.replicas} if lone else {}


def _outdated(deployment: Deployment, sets: Sets) -> Sequence[ReplicaSet]:
    """Return the empty sets beyond the history to keep, once nothing rolls any more."""
    limit = deployment.spec.revision_history_limit
    if limit is None or not is_complete(deployment, counted(deployment, sets)):
        return ()
    empty = [one for one in sets.old if _is_empty(one)]
    return empty[: max(0, len(empty) - limit)]


def _is_empty(replica_set: ReplicaSet) -> bool:
    settled = (replica_set.status.observed_generation or 0) >= (replica_set.metadata.generation or 0)
    gone = replica_set.metadata.deletion_timestamp is not None
    return settled and not gone and not replica_set.spec.replicas and not replica_set.status.replicas
