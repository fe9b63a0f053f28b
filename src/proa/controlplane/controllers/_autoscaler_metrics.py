"""How many replicas the use of a resource asks for: a plain function of the pods and what they use.

The rules are those of Kubernetes' replica calculator:
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from proa.controlplane.controllers._pods import is_going, ready_condition
from proa.kube.models import Quantity
from proa.kube.models.autoscaling_v2 import MetricTarget
from proa.kube.models.core_v1 import Container, Pod

Used: TypeAlias = "Mapping[str, Mapping[str, Mapping[str, Quantity]]]"
"""What is used, by pod, container and resource."""

TOLERANCE = 0.1
STARTING = timedelta(minutes=5)
"""So long after its start a pod's processor time counts only if it is ready."""
SETTLING = timedelta(seconds=30)
"""So long after its start a pod that is not ready is taken to have never been."""


class NoFigure(Exception):  # noqa: N818 - it is no error of the program
    """The use of a resource says nothing about how many replicas there should be; the message says why."""


@dataclass(frozen=True)
class Resource:
    """What is measured.

    Attributes:
        name: `cpu` or `memory`.
        container: Of which container; None means all of a pod together.
        target: What it should be on average.
    """

    name: str
    target: MetricTarget
    container: str | None = None


@dataclass(frozen=True)
class Proposal:
    """What one resource asks for.

    Attributes:
        replicas: How many replicas.
        average: What a pod uses on average, in thousandths.
        utilization: The same in percent of what pods ask for; None if the target is no share.
    """

    replicas: int
    average: int
    utilization: int | None = None


@dataclass(frozen=True)
class _Groups:
    """The pods by what can be said of them."""

    measured: dict[str, int]
    missing: frozenset[str]
    unready: frozenset[str]


def propose(
    resource: Resource,
    pods: Sequence[Pod],
    used: Used,
    current: int,
    at: datetime,
    tolerances: tuple[float, float] = (TOLERANCE, TOLERANCE),
) -> Proposal:
    """Return what the use of `resource` asks for.

    Args:
        resource: What is measured, and what it should be.
        pods: All pods that the target selects.
        used: What they use.
        current: How many replicas there are to be now.
        at: The time.
        tolerances: How far the use may be below and above the target.

    Raises:
        NoFigure: It says nothing.
    """
    groups = _group(resource, pods, used, at)
    if not groups.measured:
        raise NoFigure("did not receive metrics for targeted pods (pods might be unready)")
    average = math.ceil(sum(groups.measured.values()) / len(groups.measured))
    asked = _targets(resource, pods)
    ratio, utilization = _ratio(resource, groups.measured, asked)
    replicas = _replicas(ratio, groups, asked, current, resource, tolerances)
    return Proposal(replicas, average, utilization)


def _group(resource: Resource, pods: Sequence[Pod], used: Used, at: datetime) -> _Groups:
    measured: dict[str, int] = {}
    missing, unready = set(), set()
    for pod in pods:
        name = pod.metadata.name or ""
        if is_going(pod) or pod.status.phase == "Failed":
            continue
        amount = _amount(resource, used.get(name))
        if pod.status.phase == "Pending":
            unready.add(name)
        elif amount is None:
            missing.add(name)
        elif resource.name == "cpu" and _is_starting(pod, at):
            unready.add(name)
        else:
            measured[name] = amount
    return _Groups(measured, frozenset(missing), frozenset(unready))


def _amount(resource: Resource, containers: Mapping[str, Mapping[str, Quantity]] | None) -> int | None:
    """What a pod uses, in thousandths; None if that is not known of all that counts."""
    if not containers:
        return None
    counted = list(containers) if resource.container is None else [resource.container]
    amounts = [containers.get(name, {}).get(resource.name) for name in counted]
    if any(amount is None for amount in amounts):
        return None
    return math.ceil(sum((amount.value for amount in amounts if amount is not None), Decimal()) * 1000)


def _is_starting(pod: Pod, at: datetime) -> bool:
    condition, started = ready_condition(pod), pod.status.start_time
    if condition is None or started is None:
        return True
    if at - started < STARTING:
        return condition.status == "False"
    since = condition.last_transition_time or started
    return condition.status == "False" and since - started < SETTLING


def _targets(resource: Resource, pods: Sequence[Pod]) -> dict[str, int]:
    """What each pod should use, in thousandths: of a share, all that it asks for."""
    target = resource.target
    if target.type != "Utilization":
        each = math.ceil((target.average_value or Quantity("0")).value * 1000)
        return {pod.metadata.name or "": each for pod in pods}
    return {pod.metadata.name or "": _request(resource, pod) for pod in pods}


def _request(resource: Resource, pod: Pod) -> int:
    sidecars = [one for one in pod.spec.init_containers if one.restart_policy == "Always"]
    total = Decimal()
    for container in (*pod.spec.containers, *sidecars):
        if resource.container in {None, container.name}:
            total += _requested(resource, container, pod)
    return math.ceil(total * 1000)


def _requested(resource: Resource, container: Container, pod: Pod) -> Decimal:
    wanted = container.resources.requests.get(resource.name)
    if wanted is None:
        raise NoFigure(
            f"missing request for {resource.name} in container {container.name} of Pod {pod.metadata.name}"
        )
    return wanted.value


def _ratio(
    resource: Resource, measured: Mapping[str, int], asked: Mapping[str, int]
) -> tuple[float, int | None]:
    """Return how much of what should be used is, and the share in percent."""
    total = sum(measured.values())
    whole = sum(asked[name] for name in measured)
    if not whole:
        raise NoFigure(f"no pod asks for {resource.name}, so no share of it can be said")
    if resource.target.type != "Utilization":
        return total / whole, None
    share = total * 100 // whole
    return share / (resource.target.average_utilization or 100), share


def _replicas(
    ratio: float,
    groups: _Groups,
    asked: Mapping[str, int],
    current: int,
    resource: Resource,
    tolerances: tuple[float, float],
) -> int:
    """What is not known of a pod speaks against a change: it may use all, or nothing."""
    rising = ratio > 1
    counted_unready = groups.unready if rising else frozenset()
    if not counted_unready and not groups.missing:
        return current if _is_near(ratio, tolerances) else math.ceil(ratio * len(groups.measured))
    supposed = dict(groups.measured)
    share = (
        max(100, resource.target.average_utilization or 100) if resource.target.type == "Utilization" else 100
    )
    for name in groups.missing if ratio != 1 else ():
        supposed[name] = 0 if rising else asked[name] * share // 100
    for name in counted_unready:
        supposed[name] = 0
    adjusted, _ = _ratio(resource, supposed, asked)
    if _is_near(adjusted, tolerances) or (ratio < 1 < adjusted) or (adjusted < 1 < ratio):
        return current
    wanted = math.ceil(adjusted * len(supposed))
    backwards = (adjusted < 1 and wanted > current) or (adjusted > 1 and wanted < current)
    return current if backwards else wanted


def _is_near(ratio: float, tolerances: tuple[float, float]) -> bool:
    below, above = tolerances
    return 1 - below <= ratio <= 1 + above
