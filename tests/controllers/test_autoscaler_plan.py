"""How many replicas the autoscaler asks for, and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.json import encode

from proa.controlplane.controllers._autoscaler_metrics import NoFigure, Proposal, Resource, propose
from proa.controlplane.controllers._autoscaler_pace import Past, pace
from proa.kube import decode
from proa.kube.models import Quantity
from proa.kube.models.autoscaling_v2 import HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricTarget
from proa.kube.models.core_v1 import Pod

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HALF = Resource("cpu", MetricTarget(type="Utilization", average_utilization=50))


def pod(name: str, ready: str = "True", started: str = "2026-01-01T11:00:00Z", **more: Any) -> Pod:
    containers = [{"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}]
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": started}
    status = {"phase": "Running", "startTime": started, "conditions": [condition], **more}
    document = {"metadata": {"name": name}, "spec": {"containers": containers}, "status": status}
    return decode(encode(document), Pod)


def used(**cpu: str) -> Mapping[str, Mapping[str, Mapping[str, Quantity]]]:
    return {name: {"c": {"cpu": Quantity(amount)}} for name, amount in cpu.items()}


def wanted(pods: list[Pod], current: int | None = None, resource: Resource = HALF, **cpu: str) -> int:
    return propose(resource, pods, used(**cpu), len(pods) if current is None else current, NOW).replicas


def test_twice_the_target_asks_for_twice_the_replicas() -> None:
    proposal = propose(HALF, [pod("a"), pod("b")], used(a="100m", b="100m"), 2, NOW)
    assert proposal == Proposal(4, average=100, utilization=100)


@pytest.mark.parametrize(("use", "replicas"), [("54m", 4), ("46m", 4), ("56m", 5), ("25m", 2), ("0", 0)])
def test_a_tenth_beside_the_target_is_near_enough(use: str, replicas: int) -> None:
    pods = [pod(name) for name in "abcd"]
    assert wanted(pods, a=use, b=use, c=use, d=use) == replicas


def test_an_average_amount_can_be_the_target() -> None:
    amount = Resource("cpu", MetricTarget(type="AverageValue", average_value=Quantity("20m")))
    assert propose(amount, [pod("a"), pod("b")], used(a="30m", b="50m"), 2, NOW) == Proposal(4, average=40)


def test_one_container_alone_can_be_measured() -> None:
    sidecar = {"c": {"cpu": Quantity("90m")}, "side": {"cpu": Quantity("500m")}}
    own = Resource("cpu", HALF.target, container="c")
    assert propose(own, [pod("a")], {"a": sidecar}, 1, NOW) == Proposal(2, average=90, utilization=90)


def test_a_pod_of_which_nothing_is_known_speaks_against_a_change() -> None:
    pods = [pod(name) for name in "abcd"]
    assert wanted(pods, a="75m", b="75m", c="75m") == 5, "d is taken to use nothing, else it were 6"
    assert wanted(pods, a="20m", b="20m", c="20m") == 4, "d is taken to use all it asks for, else it were 2"


def test_a_pod_that_starts_does_not_count_until_it_is_ready() -> None:
    young = pod("b", ready="False", started="2026-01-01T11:58:00Z")
    assert wanted([pod("a"), young], a="100m", b="500m") == 2
    assert wanted([pod("a"), pod("b", started="2026-01-01T11:58:00Z")], a="100m", b="100m") == 4


def test_pods_that_end_or_failed_do_not_count() -> None:
    leaving = pod("b")
    leaving.metadata.deletion_timestamp = NOW
    assert wanted([pod("a"), leaving, pod("c", phase="Failed")], current=1, a="100m", b="0", c="0") == 2


def test_why_there_is_no_figure_is_said() -> None:
    with pytest.raises(NoFigure, match=r"did not receive metrics for targeted pods"):
        wanted([pod("a")])
    unasked = pod("a")
    unasked.spec.containers[0].resources.requests = {}
    with pytest.raises(NoFigure, match=r"missing request for cpu in container c of Pod a"):
        wanted([unasked], a="1m")


def spec(
    behavior: dict[str, Any] | None = None, least: int = 1, most: int = 100
) -> HorizontalPodAutoscalerSpec:
    target = {"kind": "Deployment", "name": "x"}
    document = {"minReplicas": least, "maxReplicas": most, "scaleTargetRef": target, "behavior": behavior}
    return decode(encode({"spec": document}), HorizontalPodAutoscaler).spec


def test_going_up_is_at_once_but_no_faster_than_to_the_double_or_by_four() -> None:
    past = Past()
    assert pace(spec(), 1, 50, past, 0).replicas == 5
    past.scaled(1, 5, 0)
    limited = pace(spec(), 5, 50, past, 10)
    assert (limited.replicas, limited.limited and limited.limited[0]) == (5, "ScaleUpLimit")
    assert pace(spec(), 5, 50, past, 16).replicas == 10


def test_going_down_waits_five_minutes_for_the_highest_wish() -> None:
    past = Past()
    assert pace(spec(), 10, 10, past, 0).replicas == 10
    held = pace(spec(), 10, 2, past, 100)
    assert (held.replicas, held.held) == (10, "ScaleDownStabilized")
    assert pace(spec(), 10, 3, past, 200).replicas == 10
    assert pace(spec(), 10, 2, past, 301).replicas == 3, "the wish of 200 s counts until 500 s"
    assert pace(spec(), 3, 2, past, 501).replicas == 2


def test_policies_limit_by_pods_and_by_share() -> None:
    policies = [
        {"type": "Pods", "value": 2, "periodSeconds": 60},
        {"type": "Percent", "value": 25, "periodSeconds": 60},
    ]
    down = {"stabilizationWindowSeconds": 0, "policies": policies}
    assert pace(spec({"scaleDown": down}), 20, 1, Past(), 0).replicas == 15
    assert pace(spec({"scaleDown": {**down, "selectPolicy": "Min"}}), 20, 1, Past(), 0).replicas == 18
    disabled = pace(spec({"scaleDown": {**down, "selectPolicy": "Disabled"}}), 20, 1, Past(), 0)
    assert disabled.replicas == 20


@pytest.mark.parametrize(
    ("asked", "replicas", "reason"), [(9, 4, "TooManyReplicas"), (0, 2, "TooFewReplicas"), (3, 3, None)]
)
def test_the_bounds_are_kept(asked: int, replicas: int, reason: str | None) -> None:
    quick = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    paced = pace(spec(quick, least=2, most=4), 3, asked, Past(), 0)
    assert (paced.replicas, paced.limited and paced.limited[0]) == (replicas, reason)
