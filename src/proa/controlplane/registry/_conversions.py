"""Objects that are kept in the form of another API version than the one they are served in. Pure.

Events of `events.k8s.io` are kept as the core group's; version 1 of autoscalers as version 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proa.controlplane._json import Document, UnreadableError, decode, encode

Convert = Callable[[Document], Document]


@dataclass(frozen=True)
class Conversion:
    """From the served form to the stored one, and back; `stored_type` is the definition of the latter.

    Neither function changes what it is given.
    """

    stored_type: str
    to_stored: Convert
    to_served: Convert


_EVENT = {
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "reportingController": "reportingComponent",
}
_CORE_EVENT = {core: new for new, core in _EVENT.items()}
_WRITTEN_WHEN_EMPTY = frozenset({"reportingComponent", "reportingInstance"})


def _event_to_core(event: Document) -> Document:
    return {_EVENT.get(field, field): value for field, value in event.items()}


def _event_from_core(event: Document) -> Document:
    return {
        _CORE_EVENT.get(field, field): value
        for field, value in event.items()
        if value or field not in _WRITTEN_WHEN_EMPTY
    }


_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"
_UTILISATION = "targetCPUUtilizationPercentage"
_CURRENT_UTILISATION = "currentCPUUtilizationPercentage"


def _autoscaler_to_v2(scaler: Document) -> Document:
    metadata, spec = dict(scaler["metadata"]), dict(scaler["spec"])
    status = dict(scaler.get("status", {}))
    metrics, target = [], spec.pop(_UTILISATION, None)
    if target is not None:
        metrics.append(_cpu({"target": {"type": "Utilization", "averageUtilization": target}}))
    metrics += _take(metadata, _METRICS, list)
    if metrics:
        spec["metrics"] = metrics
    behavior = _take(metadata, _BEHAVIOR, dict)
    if behavior:
        spec["behavior"] = behavior
    current, used = [], status.pop(_CURRENT_UTILISATION, None)
    if used is not None:
        current.append(_cpu({"current": {"averageUtilization": used}}))
    current += _take(metadata, _CURRENT, list)
    if current:
        status["currentMetrics"] = current
    conditions = _take(metadata, _CONDITIONS, list)
    if conditions:
        status["conditions"] = conditions
    return {**scaler, "metadata": metadata, "spec": spec, "status": status}


def _cpu(part: Document) -> Document:
    return {"type": "Resource", "resource": {"name": "cpu", **part}}


def _take(metadata: Document, annotation: str, kind: type) -> Any:
    """What an annotation holds as JSON, and the annotation gone; something empty if it makes no sense."""
    annotations = dict(metadata.get("annotations") or {})
    text = annotations.pop(annotation, None)
    if text is None:
        return kind()
    try:
        value = decode(text.encode())
    except UnreadableError:
        return kind()
    metadata["annotations"] = annotations
    if not annotations:
        del metadata["annotations"]
    return value if type(value) is kind else kind()


def _autoscaler_from_v2(scaler: Document) -> Document:
    metadata, spec = dict(scaler["metadata"]), dict(scaler["spec"])
    status = dict(scaler.get("status", {}))
    metrics, target = _split(spec.pop("metrics", []), "target")
    current, used = _split(status.pop("currentMetrics", None) or [], "current")
    if target is not None:
        spec[_UTILISATION] = target
    if used is not None:
        status[_CURRENT_UTILISATION] = used
    kept = {
        _METRICS: metrics,
        _BEHAVIOR: spec.pop("behavior", None),
        _CURRENT: current,
        _CONDITIONS: status.pop("conditions", None),
    }
    annotations = {name: encode(value).decode() for name, value in kept.items() if value}
    if annotations:
        metadata["annotations"] = {**metadata.get("annotations", {}), **annotations}
    return {**scaler, "metadata": metadata, "spec": spec, "status": status}


def _split(metrics: list[Document], part: str) -> tuple[list[Document], int | None]:
    """The metrics that version 1 has no field for, and the use of CPU, for which it has one."""
    others, found = [], None
    for metric in metrics:
        resource = metric.get("resource", {})
        use = resource.get(part, {}).get("averageUtilization")
        if found is None and resource.get("name") == "cpu" and use is not None:
            found = use
        else:
            others.append(metric)
    return others, found


CONVERSIONS = {
    ("events.k8s.io", "v1", "events"): Conversion(
        "io.k8s.api.core.v1.Event", _event_to_core, _event_from_core
    ),
    ("autoscaling", "v1", "horizontalpodautoscalers"): Conversion(
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler", _autoscaler_to_v2, _autoscaler_from_v2
    ),
}
