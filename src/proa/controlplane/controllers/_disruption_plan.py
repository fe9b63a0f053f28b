"""How many pods of a PodDisruptionBudget may be evicted: a plain function of the budget and its pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from proa.controlplane.controllers._pods import is_active, is_ready
from proa.kube.models import scaled
from proa.kube.models.core_v1 import Pod
from proa.kube.models.meta_v1 import Condition
from proa.kube.models.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetStatus

EVICTION_SECONDS = 120
"""How long an eviction that was allowed is taken to be under way though its pod is still there."""

ALLOWED = "DisruptionAllowed"


@dataclass(frozen=True)
class Scale:
    """How many pods the controllers of a budget's pods are to keep; None if one of them doesn't say."""

    expected: int | None
    problem: str = ""


def status(
    budget: PodDisruptionBudget, pods: Sequence[Pod], scale: Scale, now: datetime
) -> tuple[PodDisruptionBudgetStatus, float | None]:
    """Return the budget's status, and the seconds until time alone changes it.

    A budget whose pods' number is not known allows nothing: it fails safe.

    Args:
        budget: The budget.
        pods: All pods that it selects.
        scale: How many there should be.
        now: The time.
    """
    disrupted = _disrupted(budget, pods, now)
    counted = [pod for pod in pods if is_active(pod)]
    healthy = sum(is_ready(pod) for pod in counted if pod.metadata.name not in disrupted)
    expected, desired = _desired(budget, len(counted), scale)
    allowed = max(0, healthy - desired) if expected is not None and desired is not None else 0
    result = PodDisruptionBudgetStatus(
        observed_generation=budget.metadata.generation,
        disruptions_allowed=allowed,
        current_healthy=healthy,
        desired_healthy=desired or 0,
        expected_pods=expected or 0,
        disrupted_pods=disrupted,
        conditions=_conditions(budget, allowed, scale, now, known=expected is not None),
    )
    ends = [at + timedelta(seconds=EVICTION_SECONDS) for at in disrupted.values()]
    return result, min(((end - now).total_seconds() for end in ends), default=None)


def needs_scale(budget: PodDisruptionBudget) -> bool:
    """Tell whether the budget is about a share of the pods that there should be."""
    return budget.spec.max_unavailable is not None or isinstance(budget.spec.min_available, str)


def _desired(budget: PodDisruptionBudget, count: int, scale: Scale) -> tuple[int | None, int | None]:
    """Return how many pods are expected, and how many of them have to stay healthy."""
    spec = budget.spec
    if spec.max_unavailable is not None:
        if scale.expected is None:
            return None, None
        most = scaled(spec.max_unavailable, scale.expected, round_up=True)
        return scale.expected, max(0, scale.expected - most)
    if isinstance(spec.min_available, str):
        if scale.expected is None:
            return None, None
        return scale.expected, scaled(spec.min_available, scale.expected, round_up=True)
    return count, 1 if spec.min_available is None else spec.min_available


def _disrupted(budget: PodDisruptionBudget, pods: Sequence[Pod], now: datetime) -> dict[str, datetime]:
    """Keep the evictions that are under way: their pods are there, not yet deleted, and it's not long ago."""
    waiting = {pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp is None}
    oldest = now - timedelta(seconds=EVICTION_SECONDS)
    return {name: at for name, at in budget.status.disrupted_pods.items() if name in waiting and at > oldest}


def _conditions(
    budget: PodDisruptionBudget, allowed: int, scale: Scale, now: datetime, *, known: bool
) -> list[Condition]:
    before = next((one for one in budget.status.conditions if one.type == ALLOWED), None)
    reason = "SufficientPods" if allowed else "InsufficientPods" if known else "SyncFailed"
    state, message = "True" if allowed else "False", "" if known else scale.problem
    if before is not None and (before.status, before.reason, before.message) == (state, reason, message):
        changed = before.last_transition_time
    else:
        changed = now if before is None or before.status != state else before.last_transition_time
    current = Condition(
        type=ALLOWED,
        status=state,
        reason=reason,
        message=message,
        last_transition_time=changed,
        observed_generation=budget.metadata.generation,
    )
    return [*(one for one in budget.status.conditions if one.type != ALLOWED), current]
