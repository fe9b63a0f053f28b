"""How fast replicas may follow what is asked for: stabilisation and policies. Pure.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#configurable-scaling-behavior
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from proa.kube.models.autoscaling_v2 import (
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec,
    HPAScalingPolicy,
    HPAScalingRules,
)

UP = HPAScalingRules(
    stabilization_window_seconds=0,
    select_policy="Max",
    policies=[
        HPAScalingPolicy(type="Pods", value=4, period_seconds=15),
        HPAScalingPolicy(type="Percent", value=100, period_seconds=15),
    ],
)
DOWN = HPAScalingRules(
    stabilization_window_seconds=300,
    select_policy="Max",
    policies=[HPAScalingPolicy(type="Percent", value=100, period_seconds=15)],
)
_COUNT = "the desired replica count is"
TOO_FAST_UP = ("ScaleUpLimit", f"{_COUNT} increasing faster than the maximum scale rate")
TOO_FAST_DOWN = ("ScaleDownLimit", f"{_COUNT} decreasing faster than the maximum scale rate")
TOO_MANY = ("TooManyReplicas", f"{_COUNT} more than the maximum replica count")
TOO_FEW = ("TooFewReplicas", f"{_COUNT} less than the minimum replica count")
LONGEST = 3600.0
"""Seconds that a window or period can be long."""


class Moment(NamedTuple):
    """A number at a time in seconds: what was asked for, or by how much was scaled."""

    at: float
    number: int


@dataclass
class Past:
    """What was asked for and done about one target, as far as it matters."""

    asked: list[Moment] = field(default_factory=list)
    ups: list[Moment] = field(default_factory=list)
    downs: list[Moment] = field(default_factory=list)

    def scaled(self, before: int, after: int, at: float) -> None:
        """Note that the target was scaled."""
        (self.ups if after > before else self.downs).append(Moment(at, abs(after - before)))

    def forget(self, at: float) -> None:
        """Drop what is too old to matter."""
        for moments in (self.asked, self.ups, self.downs):
            moments[:] = [one for one in moments if at - one.at <= LONGEST]


class Paced(NamedTuple):
    """How many replicas there may be now, and what kept them from being as many as asked for.

    Attributes:
        replicas: The number.
        held: Why earlier wishes hold it: "ScaleUpStabilized", "ScaleDownStabilized" or None.
        limited: What limits it, as the reason and message of a condition; None if nothing does.
    """

    replicas: int
    held: str | None
    limited: tuple[str, str] | None


def rules(behavior: HorizontalPodAutoscalerBehavior | None) -> tuple[HPAScalingRules, HPAScalingRules]:
    """Return the rules for scaling up and down; what is not said is as it is by default."""
    up = behavior.scale_up if behavior else None
    down = behavior.scale_down if behavior else None
    return _complete(up, UP), _complete(down, DOWN)


def _complete(own: HPAScalingRules | None, default: HPAScalingRules) -> HPAScalingRules:
    if own is None:
        return default
    window = own.stabilization_window_seconds
    return HPAScalingRules(
        stabilization_window_seconds=default.stabilization_window_seconds if window is None else window,
        select_policy=own.select_policy or "Max",
        policies=own.policies or default.policies,
        tolerance=own.tolerance,
    )


def pace(spec: HorizontalPodAutoscalerSpec, current: int, asked: int, past: Past, at: float) -> Paced:
    """Return how many replicas there may be now, and note what was asked for."""
    up, down = rules(spec.behavior)
    past.asked.append(Moment(at, asked))
    past.forget(at)
    steady, held = _stabilised(current, asked, past, at, up, down)
    return _limited(spec, current, steady, past, at, up, down)._replace(held=held)


def _stabilised(
    current: int, asked: int, past: Past, at: float, up: HPAScalingRules, down: HPAScalingRules
) -> tuple[int, str | None]:
    """The lowest wish of late keeps from going up, the highest from going down."""
    lowest = min(_since(past.asked, at - (up.stabilization_window_seconds or 0)), default=asked)
    highest = max(_since(past.asked, at - (down.stabilization_window_seconds or 0)), default=asked)
    steady = min(max(current, lowest), highest)
    if steady == asked:
        return steady, None
    return steady, "ScaleUpStabilized" if asked > steady else "ScaleDownStabilized"


def _since(moments: Iterable[Moment], since: float) -> list[int]:
    return [one.number for one in moments if one.at >= since]


def _limited(
    spec: HorizontalPodAutoscalerSpec,
    current: int,
    wanted: int,
    past: Past,
    at: float,
    up: HPAScalingRules,
    down: HPAScalingRules,
) -> Paced:
    least = 1 if spec.min_replicas is None else spec.min_replicas
    if wanted > current:
        limit = _highest(current, past, at, up)
        if limit < min(spec.max_replicas, wanted):
            return Paced(limit, None, TOO_FAST_UP)
    elif wanted < current:
        limit = _lowest(current, past, at, down)
        if limit > max(least, wanted):
            return Paced(limit, None, TOO_FAST_DOWN)
    if wanted > spec.max_replicas:
        return Paced(spec.max_replicas, None, TOO_MANY)
    if wanted < least:
        return Paced(least, None, TOO_FEW)
    return Paced(wanted, None, None)


def _highest(current: int, past: Past, at: float, rule: HPAScalingRules) -> int:
    if rule.select_policy == "Disabled":
        return current
    limits = []
    for policy in rule.policies:
        start = current - _moved(past.ups, policy, at) + _moved(past.downs, policy, at)
        more = policy.value if policy.type == "Pods" else math.ceil(start * policy.value / 100)
        limits.append(start + more)
    return max(current, min(limits) if rule.select_policy == "Min" else max(limits))


def _lowest(current: int, past: Past, at: float, rule: HPAScalingRules) -> int:
    if rule.select_policy == "Disabled":
        return current
    limits = []
    for policy in rule.policies:
        start = current - _moved(past.ups, policy, at) + _moved(past.downs, policy, at)
        less = policy.value if policy.type == "Pods" else math.ceil(start * policy.value / 100)
        limits.append(start - less)
    return min(current, max(limits) if rule.select_policy == "Min" else min(limits))


def _moved(moments: Iterable[Moment], policy: HPAScalingPolicy, at: float) -> int:
    return sum(one.number for one in moments if one.at > at - policy.period_seconds)
