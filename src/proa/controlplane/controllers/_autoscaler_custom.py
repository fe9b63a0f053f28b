"""What metrics of applications and of things outside the cluster ask of an autoscaler.

They come from whoever serves `custom.metrics.k8s.io` and `external.metrics.k8s.io`, such as an adapter of a
monitoring system. The rules are those of Kubernetes' replica calculator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from proa.controlplane.controllers._autoscaler_metrics import NoFigure, Resource, propose
from proa.controlplane.controllers._discovery import Kinds
from proa.controlplane.controllers._pods import is_ready
from proa.kube import Client, KubeError, NotFoundError, Selector, decode
from proa.kube.core.request import Request
from proa.kube.models import Quantity
from proa.kube.models.autoscaling_v2 import (
    ExternalMetricSource,
    ExternalMetricStatus,
    MetricIdentifier,
    MetricSpec,
    MetricStatus,
    MetricTarget,
    MetricValueStatus,
    ObjectMetricSource,
    ObjectMetricStatus,
    PodsMetricSource,
    PodsMetricStatus,
)
from proa.kube.models.core_v1 import Pod

CUSTOM = ("custom.metrics.k8s.io/v1beta2", "custom.metrics.k8s.io/v1beta1")
EXTERNAL = ("external.metrics.k8s.io/v1beta1",)


@dataclass(frozen=True)
class Figure:
    """What one metric asks for.

    Attributes:
        replicas: How many replicas.
        status: What is shown of it.
        name: What it is called.
    """

    replicas: int
    status: MetricStatus
    name: str


@dataclass(frozen=True)
class Asked:
    """What a metric is asked about.

    Attributes:
        namespace: The autoscaler's.
        selector: The target's pods, as text.
        pods: These pods.
        current: How many replicas there are to be now.
        running: How many the target says that there are.
        at: The time.
        tolerances: How far a metric may be below and above its target.
    """

    namespace: str
    selector: str
    pods: Sequence[Pod]
    current: int
    running: int
    at: datetime
    tolerances: tuple[float, float]


class _Value(msgspec.Struct, rename="camel"):
    value: Quantity
    described_object: dict[str, Any] = {}


class _Values(msgspec.Struct):
    items: list[_Value] = []


class CustomMetrics:
    """Reads metrics from the APIs that others serve.

    Args:
        client: The server.
        kinds: What kinds it has.
    """

    def __init__(self, client: Client, kinds: Kinds) -> None:
        self._client = client
        self._kinds = kinds

    async def figure(self, metric: MetricSpec, asked: Asked) -> Figure:
        """Return what a metric asks for.

        Raises:
            NoFigure: It says nothing, or there is nobody to be asked.
        """
        if metric.pods is not None:
            return await self._of_pods(metric.pods, asked)
        if metric.object is not None:
            return await self._of_object(metric.object, asked)
        if metric.external is not None:
            return await self._of_external(metric.external, asked)
        raise NoFigure(f"there is no metric of type {metric.type}")

    async def _of_pods(self, source: PodsMetricSource, asked: Asked) -> Figure:
        name = source.metric.name
        query = {"labelSelector": asked.selector} | _selection(source.metric, "metricLabelSelector")
        path = f"namespaces/{asked.namespace}/pods/*/{name}"
        values = await self._get("custom", CUSTOM, path, query, f"metric {name}")
        used = {str(one.described_object.get("name")): {"": {name: one.value}} for one in values}
        found = propose(
            Resource(name, source.target), asked.pods, used, asked.current, asked.at, asked.tolerances
        )
        current = MetricValueStatus(average_value=_quantity(Decimal(found.average) / 1000))
        status = PodsMetricStatus(metric=source.metric, current=current)
        return Figure(found.replicas, MetricStatus(type="Pods", pods=status), f"pods metric {name}")

    async def _of_object(self, source: ObjectMetricSource, asked: Asked) -> Figure:
        name, about = source.metric.name, source.described_object
        query = _selection(source.metric, "metricLabelSelector")
        what = f"metric {name} on {asked.namespace} {about.kind}/{about.name}"
        path = f"{await self._place(source, asked.namespace)}/{name}"
        values = await self._get("custom", CUSTOM, path, query, what)
        replicas, current = judge(values[0].value.value, source.target, asked)
        status = ObjectMetricStatus(metric=source.metric, described_object=about, current=current)
        return Figure(replicas, MetricStatus(type="Object", object=status), f"{about.kind} metric {name}")

    async def _place(self, source: ObjectMetricSource, namespace: str) -> str:
        about = source.described_object
        try:
            kind = (await self._kinds.of(about.api_version or "v1", about.kind)).resource
        except KubeError as error:
            raise NoFigure(f"unable to get metric {source.metric.name}: {error}") from error
        if (kind.group, kind.plural) == ("", "namespaces"):
            return f"namespaces/{about.name}/metrics"
        plural = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        return f"{f'namespaces/{namespace}/' if kind.namespaced else ''}{plural}/{about.name}"

    async def _of_external(self, source: ExternalMetricSource, asked: Asked) -> Figure:
        name, query = source.metric.name, _selection(source.metric, "labelSelector")
        what = f"external metric {asked.namespace}/{name}/{query.get('labelSelector', '')}"
        path = f"namespaces/{asked.namespace}/{name}"
        values = await self._get("external", EXTERNAL, path, query, what)
        total = sum((one.value.value for one in values), Decimal())
        replicas, current = judge(total, source.target, asked)
        status = ExternalMetricStatus(metric=source.metric, current=current)
        return Figure(replicas, MetricStatus(type="External", external=status), f"external metric {name}")

    async def _get(
        self, kind: str, versions: Sequence[str], path: str, query: dict[str, str], what: str
    ) -> list[_Value]:
        """Ask in the newest version that is served; there is at least one value."""
        for version in versions:
            try:
                answer = await self._client.request(Request("GET", f"/apis/{version}/{path}", query=query))
                values = decode(answer.body, _Values).items
            except NotFoundError as error:
                missing = error
                continue
            except KubeError as error:
                raise _unavailable(kind, what, error) from error
            if not values:
                raise NoFigure(f"unable to get {what}: no metrics returned from {kind} metrics API")
            return values
        raise _unavailable(kind, what, missing) from missing


def _unavailable(kind: str, what: str, error: KubeError) -> NoFigure:
    return NoFigure(f"unable to get {what}: unable to fetch metrics from {kind} metrics API: {error}")


def judge(total: Decimal, target: MetricTarget, asked: Asked) -> tuple[int, MetricValueStatus]:
    """Return how many replicas a metric of the whole asks for, and what is shown of it.

    A target for the whole asks for so many times the ready pods as it is exceeded; one for each pod for so
    many as keep to it.
    """
    if target.average_value is not None:
        each = target.average_value.value
        ratio = float(total / (each * asked.running)) if each and asked.running else math.inf
        replicas = asked.running if _is_near(ratio, asked) or not each else math.ceil(total / each)
        shown = _quantity(total / asked.running) if asked.running else _quantity(total)
        return replicas, MetricValueStatus(average_value=shown)
    whole = target.value.value if target.value is not None else Decimal()
    if not whole:
        raise NoFigure("the target is 0, of which nothing is a share")
    ratio = float(total / whole)
    ready = sum(map(is_ready, asked.pods))
    replicas = asked.current if _is_near(ratio, asked) else math.ceil(ratio * (ready if asked.current else 1))
    return replicas, MetricValueStatus(value=_quantity(total))


def _is_near(ratio: float, asked: Asked) -> bool:
    below, above = asked.tolerances
    return 1 - below <= ratio <= 1 + above


def _quantity(amount: Decimal) -> Quantity:
    """Return an amount as a quantity, in thousandths where it is not whole."""
    thousandths = math.ceil(amount * 1000)
    return Quantity(f"{thousandths}m").canonical()


def _selection(metric: MetricIdentifier, parameter: str) -> dict[str, str]:
    return {} if metric.selector is None else {parameter: str(Selector.of(metric.selector))}
