"""Autoscalers, in the form in which both versions of them are kept. Pure."""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import Cause, forbidden, invalid_value, not_supported, required
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, one_of
from proa.controlplane.registry._names import dns_label, path_segment

from ._parts import each, is_positive, needed_name, not_negative
from ._resources import container_resource_name

_KINDS = ("ContainerResource", "External", "Object", "Pods", "Resource")
_FIELDS = {
    kind: f"{kind[0].lower()}{kind[1:]}"
    for kind in ("Object", "External", "Pods", "Resource", "ContainerResource")
}
_NEEDED_VALUE = {
    "Object": ("value", "averageValue"),
    "External": ("value", "averageValue"),
    "Pods": ("averageValue",),
    "Resource": ("averageUtilization", "averageValue"),
    "ContainerResource": ("averageUtilization", "averageValue"),
}
_LACKING = {"Object": "averageValue", "External": "averageValue", "Pods": "averageValue"}


def _scaler(spec: Any, path: str) -> list[Cause]:
    most, least, at = spec.get("maxReplicas", 0), spec.get("minReplicas"), f"{path}.maxReplicas"
    found = []
    if least is not None and least < 1:
        why = "must be greater than or equal to 1"
        found.append(invalid_value(f"{path}.minReplicas", least, why))
    if most < 1:
        found.append(invalid_value(at, most, "must be greater than 0"))
    if least is not None and most < least:
        found.append(invalid_value(at, most, "must be greater than or equal to `minReplicas`"))
    if least == 0 and not {"Object", "External"} & {one.get("type") for one in spec.get("metrics", ())}:
        why = "must specify at least one Object or External metric to support scaling to zero replicas"
        found.append(forbidden(f"{path}.metrics", why))
    return found


def _metric(metric: Any, path: str) -> list[Cause]:
    kind, at = metric.get("type", ""), f"{path}.type"
    found = [] if kind else [required(at, "must specify a metric source type")]
    if kind not in _KINDS:
        found += [not_supported(at, kind, _KINDS)] * 2
    there = [one for one in _FIELDS if _FIELDS[one] in metric]
    if there:
        found += _source(there[0], metric[_FIELDS[there[0]]], f"{path}.{_FIELDS[there[0]]}")
    if kind in _KINDS and kind not in there:
        why = "must populate information for the given metric source"
        found.append(required(f"{path}.{_FIELDS[kind]}", why))
    if len(there) > 1:
        why = "must populate the given metric source only"
        found += [forbidden(f"{path}.{_FIELDS[one]}", why) for one in there if one != kind]
    return found


def _source(kind: str, source: Document, path: str) -> list[Cause]:
    found = []
    if kind in {"Resource", "ContainerResource"}:
        name, at = source.get("name", ""), f"{path}.name"
        if not name:
            found.append(required(at, "must specify a resource name"))
        elif kind == "ContainerResource":
            found += container_resource_name(name, at)
            found += needed_name(dns_label)(source.get("container"), f"{path}.container")
    else:
        name = (source.get("metric") or {}).get("name", "")
        found += needed_name(path_segment)(name, f"{path}.metric.name")
    target, at = source.get("target") or {}, f"{path}.target"
    found += _target(target, at)
    given = [field for field in _NEEDED_VALUE[kind] if field in target]
    if not given:
        why = "must set a target value"
        found.append(required(f"{at}.{_LACKING.get(kind, 'averageUtilization')}", why))
    elif len(given) > 1 and kind != "Object":
        why = "may not set both a target value and another one"
        found.append(forbidden(f"{at}.{'value' if kind == 'External' else 'averageValue'}", why))
    return found


def _target(target: Document, path: str) -> list[Cause]:
    kind, at = target.get("type", ""), f"{path}.type"
    found = [] if kind else [required(at, "must specify a metric target type")]
    if kind not in {"Utilization", "Value", "AverageValue"}:
        found.append(invalid_value(at, kind, "must be either Utilization, Value, or AverageValue"))
    found += [
        invalid_value(f"{path}.{field}", str(target[field]), "must be positive")
        for field in ("value", "averageValue")
        if field in target and not is_positive(target[field])
    ]
    utilization = target.get("averageUtilization", 1)
    if utilization < 1:
        found.append(invalid_value(f"{path}.averageUtilization", utilization, "must be greater than 0"))
    return found


def _rules(rules: Any, path: str) -> list[Cause]:
    window, at = rules.get("stabilizationWindowSeconds", 0), f"{path}.stabilizationWindowSeconds"
    found = [] if 0 <= window <= 3600 else [invalid_value(at, window, "must be between 0 and 3600")]
    found += one_of("Disabled", "Max", "Min")(rules.get("selectPolicy"), f"{path}.selectPolicy")
    if not rules.get("policies"):
        found.append(required(f"{path}.policies", "must specify at least one Policy"))
    for policy, where in each(rules, "policies", path):
        found += one_of("Percent", "Pods")(policy.get("type", ""), f"{where}.type")
        value, period = policy.get("value", 0), policy.get("periodSeconds", 0)
        if value <= 0:
            found.append(invalid_value(f"{where}.value", value, "must be greater than zero"))
        if not 0 < period <= 1800:
            why = "must be greater than zero, and less than or equal to 1800"
            found.append(invalid_value(f"{where}.periodSeconds", period, why))
    return found


def scaler_status(new: Document, old: Document) -> list[Cause]:
    """How many replicas there are and should be."""
    del old
    return not_negative(new.get("status") or {}, "status", "currentReplicas", "desiredReplicas")


def _reference(reference: Any, path: str) -> list[Cause]:
    return [
        cause
        for field in ("kind", "name")
        for cause in needed_name(path_segment)(reference.get(field), f"{path}.{field}")
    ]


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {"": (_scaler,)},
    "autoscaling.v2.CrossVersionObjectReference": {"": (_reference,)},
    "autoscaling.v2.MetricSpec": {"": (_metric,)},
    "autoscaling.v2.HPAScalingRules": {"": (_rules,)},
}
