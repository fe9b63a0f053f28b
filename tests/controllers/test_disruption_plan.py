"""How many pods a budget lets go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from proa.controlplane.controllers._disruption_plan import Scale, needs_scale, status
from proa.kube.models import IntOrString
from proa.kube.models.core_v1 import Pod, PodCondition, PodStatus
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta
from proa.kube.models.policy_v1 import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def budget(least: IntOrString | None = None, most: IntOrString | None = None) -> PodDisruptionBudget:
    spec = PodDisruptionBudgetSpec(min_available=least, max_unavailable=most, selector=LabelSelector())
    return PodDisruptionBudget(metadata=ObjectMeta(name="b", generation=2), spec=spec)


def pod(name: str, *, ready: bool = True, going: bool = False) -> Pod:
    metadata = ObjectMeta(name=name, deletion_timestamp=NOW if going else None)
    conditions = [PodCondition(type="Ready", status=str(ready))]
    return Pod(metadata=metadata, status=PodStatus(phase="Running", conditions=conditions))


@pytest.mark.parametrize(
    ("least", "most", "scale", "healthy", "allowed", "desired"),
    [
        (2, None, None, 3, 1, 2),
        (3, None, None, 3, 0, 3),
        (None, None, None, 3, 2, 1),
        ("50%", None, 5, 5, 2, 3),
        (None, 1, 4, 4, 1, 3),
        (None, 1, 4, 3, 0, 3),
        (None, "30%", 4, 4, 2, 2),
        (None, 10, 4, 4, 4, 0),
    ],
)
def test_what_may_go_is_what_is_healthy_beyond_what_must_stay(
    least: IntOrString | None,
    most: IntOrString | None,
    scale: int | None,
    healthy: int,
    allowed: int,
    desired: int,
) -> None:
    seen, _ = status(budget(least, most), [pod(f"p{n}") for n in range(healthy)], Scale(scale), NOW)
    assert (seen.disruptions_allowed, seen.desired_healthy, seen.current_healthy) == (
        allowed,
        desired,
        healthy,
    )
    (condition,) = seen.conditions
    assert condition.reason == ("SufficientPods" if allowed else "InsufficientPods")


def test_only_shares_ask_for_the_scale() -> None:
    assert [needs_scale(budget(least, most)) for least, most in ((1, None), ("1%", None), (None, 1))] == [
        False,
        True,
        True,
    ]


def test_a_number_that_is_not_known_allows_nothing() -> None:
    seen, _ = status(budget(None, 1), [pod("a")], Scale(None, "no controller"), NOW)
    assert seen.disruptions_allowed == 0
    assert (seen.conditions[0].reason, seen.conditions[0].message) == ("SyncFailed", "no controller")


def test_the_unready_and_the_going_are_not_healthy() -> None:
    seen, _ = status(budget(1), [pod("a"), pod("b", ready=False), pod("c", going=True)], Scale(None), NOW)
    assert (seen.current_healthy, seen.expected_pods, seen.disruptions_allowed) == (1, 2, 0)


def test_an_eviction_under_way_counts_until_its_pod_goes_or_two_minutes_have_passed() -> None:
    known = budget(1)
    known.status = PodDisruptionBudgetStatus(
        disrupted_pods={"a": NOW - timedelta(seconds=30), "b": NOW - timedelta(seconds=130), "c": NOW}
    )
    seen, again = status(known, [pod("a"), pod("b"), pod("c", going=True)], Scale(None), NOW)
    assert list(seen.disrupted_pods) == ["a"]
    assert (seen.current_healthy, again) == (1, 90)


def test_a_condition_keeps_its_time_while_it_says_the_same() -> None:
    known = budget(1)
    known.status, _ = status(known, [pod("a")], Scale(None), NOW)
    again, _ = status(known, [pod("a")], Scale(None), NOW + timedelta(hours=1))
    assert again == known.status
