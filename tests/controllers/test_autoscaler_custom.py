"""What metrics of applications and of the outside ask for, read from the APIs that others serve."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec.json import encode

from proa.controlplane.controllers._autoscaler_custom import Asked, CustomMetrics, Figure, judge
from proa.controlplane.controllers._autoscaler_metrics import NoFigure
from proa.controlplane.controllers._discovery import Kinds
from proa.kube import decode
from proa.kube.models import Quantity
from proa.kube.models.autoscaling_v2 import MetricSpec, MetricTarget
from proa.kube.models.core_v1 import Pod
from proa.kube.testing import ScriptedTransport, answer, scripted_client, status

AT = datetime(2026, 1, 1, tzinfo=UTC)
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
NAMES = ("a", "b")


def asked(current: int = 2, running: int = 2) -> Asked:
    pods = [decode(encode({"metadata": {"name": name}, "status": READY}), Pod) for name in NAMES]
    return Asked("shop", "app=web", pods, current, running, AT, (0.1, 0.1))


def spec(kind: str, name: str = "qps", **source: Any) -> MetricSpec:
    metric = {"name": name, "selector": {"matchLabels": {"verb": "GET"}}}
    return decode(encode({"type": kind, kind.lower(): {"metric": metric, **source}}), MetricSpec)


def each(amount: str) -> dict[str, Any]:
    return {"target": {"type": "AverageValue", "averageValue": amount}}


def values(**by_name: str) -> dict[str, Any]:
    items = [
        {"describedObject": {"kind": "Pod", "name": name}, "value": value} for name, value in by_name.items()
    ]
    return {"kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta2", "items": items}


async def figure(transport: ScriptedTransport, metric: MetricSpec) -> Figure:
    async with scripted_client(transport) as client:
        return await CustomMetrics(client, Kinds(client)).figure(metric, asked())


async def test_a_metric_of_the_pods_is_compared_with_what_each_should_have() -> None:
    transport = ScriptedTransport(answer(values(a="30", b="500m")))
    found = await figure(transport, spec("Pods", **each("10")))
    assert (found.replicas, found.name) == (4, "pods metric qps")
    assert found.status.pods is not None
    assert found.status.pods.current.average_value == Quantity("15250m")
    (request,) = transport.requests
    assert request.path == "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/qps"
    assert request.query == {"labelSelector": "app=web", "metricLabelSelector": "verb=GET"}


async def test_an_older_version_is_asked_where_the_newer_is_not_served() -> None:
    transport = ScriptedTransport(status(404, "NotFound"), answer(values(a="10", b="10")))
    assert (await figure(transport, spec("Pods", **each("10")))).replicas == 2
    assert [request.path.split("/")[3] for request in transport.requests] == ["v1beta2", "v1beta1"]


async def test_metrics_of_the_outside_are_added_up() -> None:
    transport = ScriptedTransport(answer({"items": [{"value": "40"}, {"value": "60"}]}))
    found = await figure(transport, spec("External", **each("10")))
    assert (found.replicas, found.name) == (10, "external metric qps")
    assert transport.requests[0].path == "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/qps"


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((status(404, "NotFound"), status(404, "NotFound")), "unable to fetch metrics from custom metrics"),
        ((status(403, "Forbidden"),), "unable to fetch metrics from custom metrics API"),
        ((answer(values()),), "no metrics returned from custom metrics API"),
    ],
)
async def test_who_cannot_be_asked_is_told(answers: tuple[Any, ...], message: str) -> None:
    with pytest.raises(NoFigure, match=message):
        await figure(ScriptedTransport(*answers), spec("Pods", **each("10")))


@pytest.mark.parametrize(
    ("total", "target", "current", "replicas"),
    [
        ("100", {"value": "50"}, 2, 4),  # twice as much as it should be: twice the ready pods
        ("52", {"value": "50"}, 2, 2),  # near enough
        ("20", {"value": "50"}, 2, 1),
        ("100", {"value": "50"}, 0, 2),  # from nothing
        ("100", {"average_value": "30"}, 2, 4),
        ("62", {"average_value": "30"}, 2, 2),
    ],
)
def test_a_metric_of_the_whole_asks_for_its_share(
    total: str, target: dict[str, str], current: int, replicas: int
) -> None:
    wanted = MetricTarget(type="Value", **{key: Quantity(text) for key, text in target.items()})  # type: ignore[arg-type]
    found, shown = judge(Decimal(total), wanted, asked(current))
    assert found == replicas
    assert (shown.value or shown.average_value) is not None


def test_a_target_of_nothing_says_nothing() -> None:
    with pytest.raises(NoFigure, match="target is 0"):
        judge(Decimal(1), MetricTarget(type="Value", value=Quantity("0")), asked())
