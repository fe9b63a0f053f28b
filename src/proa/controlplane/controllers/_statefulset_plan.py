"""What a StatefulSet needs next: a plain function of the set, its pods, its revisions and the time.

Follows the control of Kubernetes. With `OrderedReady` one thing happens at a time: from the lowest number up
pods are made once all before them are available; from the highest down they are ended and updated. With
`Parallel` sizes change at once; updates still go from the highest number down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from proa.controlplane.controllers._pods import available_since, has_ended, is_going, is_ready
from proa.controlplane.controllers._statefulset_pods import (
    first_ordinal,
    new_pod,
    ordinal_of,
    ordinals,
    revision_of,
)
from proa.kube.models import scaled
from proa.kube.models.apps_v1 import ControllerRevision, StatefulSet, StatefulSetStatus
from proa.kube.models.core_v1 import Pod


@dataclass(frozen=True)
class Plan:
    """The writes that bring the set closer to what it says.

    Attributes:
        create: Pods to make, with their claims before them.
        delete: Pods to end.
    """

    create: tuple[Pod, ...] = ()
    delete: tuple[Pod, ...] = ()


@dataclass(frozen=True)
class Revisions:
    """The revision that pods are coming from and the one that they are going to."""

    current: ControllerRevision
    update: ControllerRevision


class _View:
    """The set's pods by their number, at a time."""

    def __init__(self, stateful_set: StatefulSet, pods: Sequence[Pod], now: datetime) -> None:
        numbered = {ordinal_of(stateful_set, pod): pod for pod in pods}
        self.pods = {number: pod for number, pod in numbered.items() if number is not None}
        self.range = ordinals(stateful_set)
        self.beyond = sorted((one for one in self.pods if one not in self.range), reverse=True)
        self._now = now
        self._patience = stateful_set.spec.min_ready_seconds or 0

    def is_healthy(self, number: int) -> bool:
        """Tell whether the pod of that number serves, and is not going."""
        pod = self.pods.get(number)
        if pod is None or is_going(pod):
            return False
        since = available_since(pod, self._patience)
        return pod.status.phase == "Running" and since is not None and since <= self._now

    def due(self) -> float | None:
        """Return the seconds until time alone makes another pod available."""
        ends = [available_since(pod, self._patience) for pod in self.pods.values() if not is_going(pod)]
        left = [(end - self._now).total_seconds() for end in ends if end is not None and end > self._now]
        return min(left, default=None)


def plan(stateful_set: StatefulSet, pods: Sequence[Pod], revisions: Revisions, now: datetime) -> Plan:
    """Return what to do next."""
    view = _View(stateful_set, pods, now)
    ordered = stateful_set.spec.pod_management_policy != "Parallel"
    fill = _fill(stateful_set, view, revisions, ordered=ordered)
    if fill is not None and ordered:
        return fill
    shrink = _shrink(view, ordered=ordered)
    if shrink is not None and ordered:
        return shrink
    fill, shrink = fill or Plan(), shrink or Plan()
    delete = (*fill.delete, *shrink.delete)
    if not delete and not fill.create:
        delete = _update(stateful_set, view, revisions)
    return Plan(fill.create, delete)


def _fill(stateful_set: StatefulSet, view: _View, revisions: Revisions, *, ordered: bool) -> Plan | None:
    """Make what is missing and end what has failed, in order; None if all is there and serves."""
    create: list[Pod] = []
    delete: list[Pod] = []
    complete = True
    for number in view.range:
        pod = view.pods.get(number)
        if pod is None:
            create.append(new_pod(stateful_set, number, _revision(stateful_set, number, revisions)))
        elif has_ended(pod) and not is_going(pod):
            delete.append(pod)
        elif view.is_healthy(number):
            continue
        complete = False
        if ordered:
            break
    return None if complete else Plan(tuple(create), tuple(delete))


def _revision(stateful_set: StatefulSet, number: int, revisions: Revisions) -> ControllerRevision:
    """Return the revision that a missing pod is made from: the old one where the update has not come yet."""
    strategy, start = stateful_set.spec.update_strategy, first_ordinal(stateful_set)
    if strategy.type == "OnDelete":
        return revisions.update
    partition = strategy.rolling_update.partition if strategy.rolling_update else None
    if partition:
        return revisions.current if number < start + partition else revisions.update
    rolling = revisions.current.metadata.name != revisions.update.metadata.name
    old = number < start + (stateful_set.status.current_replicas or 0)
    return revisions.current if rolling and old else revisions.update


def _shrink(view: _View, *, ordered: bool) -> Plan | None:
    """End the pods beyond the set's size, the highest first; None if there is none."""
    if not view.beyond:
        return None
    ending = [view.pods[number] for number in view.beyond if not is_going(view.pods[number])]
    if ordered:
        ending = [] if is_going(view.pods[view.beyond[0]]) else ending[:1]
    return Plan(delete=tuple(ending))


def _update(stateful_set: StatefulSet, view: _View, revisions: Revisions) -> tuple[Pod, ...]:
    """Return the pods to end so that they come back as the new revision: the highest first."""
    strategy = stateful_set.spec.update_strategy
    if strategy.type == "OnDelete":
        return ()
    rolling = strategy.rolling_update
    partition = (rolling.partition if rolling else None) or 0
    most = 1
    if rolling is not None and rolling.max_unavailable is not None:
        most = max(1, scaled(rolling.max_unavailable, len(view.range), round_up=True))
    unavailable = 0
    ending: list[Pod] = []
    for number in reversed(view.range[partition:]):
        pod = view.pods.get(number)
        old = pod is not None and revision_of(pod) != revisions.update.metadata.name
        if pod is not None and old and not is_going(pod):
            ending.append(pod)
        unavailable += old or not view.is_healthy(number)
        if unavailable >= most:
            break
    return tuple(ending)


def status(
    stateful_set: StatefulSet, pods: Sequence[Pod], revisions: Revisions, now: datetime
) -> tuple[StatefulSetStatus, float | None]:
    """Return the set's status, and the seconds until time alone makes another pod available."""
    view = _View(stateful_set, pods, now)
    there = [pod for pod in view.pods.values() if not has_ended(pod)]
    staying = [pod for pod in there if not is_going(pod)]
    current, update = revisions.current.metadata.name, revisions.update.metadata.name
    result = StatefulSetStatus(
        observed_generation=stateful_set.metadata.generation,
        replicas=len(there),
        ready_replicas=sum(pod.status.phase == "Running" and is_ready(pod) for pod in there),
        available_replicas=sum(map(view.is_healthy, view.pods)),
        current_replicas=sum(revision_of(pod) == current for pod in staying),
        updated_replicas=sum(revision_of(pod) == update for pod in staying),
        current_revision=current,
        update_revision=update,
        collision_count=stateful_set.status.collision_count,
        conditions=stateful_set.status.conditions,
    )
    wanted = len(view.range)
    done = (result.updated_replicas or 0) == (result.ready_replicas or 0) == result.replicas == wanted
    if stateful_set.spec.update_strategy.type != "OnDelete" and done:
        result.current_revision, result.current_replicas = update, result.updated_replicas
    return result, view.due()
