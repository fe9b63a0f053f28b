"""Resource quotas and limit ranges. Pure."""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import Cause, duplicate, forbidden, invalid_value, required
from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity
from proa.controlplane.registry._checks import Check
from proa.controlplane.registry._names import qualified_name

from ._parts import each, names
from ._resources import (
    can_overcommit,
    container_resource_name,
    quota_resource_name,
    resource_amount,
    resource_name,
)

_POD_SCOPES = frozenset(
    {"BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity"}
)
_SCOPES = _POD_SCOPES | {"PriorityClass", "VolumeAttributesClass"}
_COMPUTE = frozenset(
    {"cpu", "memory", "pods", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"}
    | {"ephemeral-storage", "limits.ephemeral-storage", "requests.ephemeral-storage"}
)
_PAIRS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_TYPES = frozenset({"Container", "PersistentVolumeClaim", "Pod"})


def _quota(spec: Any, path: str) -> list[Cause]:
    hard = spec.get("hard") or {}
    found = _amounts(hard, f"{path}.hard")
    scopes, at = spec.get("scopes", []), f"{path}.scopes"
    for scope in scopes:
        found += _scope(scope, hard, at, at, scopes)
    found += _conflicts(scopes, at)
    selector, at = spec.get("scopeSelector"), f"{path}.scopeSelector.matchExpressions"
    selected = []
    for requirement in (selector or {}).get("matchExpressions", ()):
        selected.append(requirement.get("scopeName", ""))
        found += _scope(selected[-1], hard, f"{at}.scopeName", at, selector)
        found += _scope_requirement(requirement, at)
    return found + _conflicts(selected, at)


def _amounts(amounts: Document, path: str) -> list[Cause]:
    found: list[Cause] = []
    for name, amount in amounts.items():
        at = f"{path}[{name}]"
        found += quota_resource_name(name, at) + resource_amount(name, amount, at)
    return found


def _scope(scope: str, hard: Document, path: str, whole: str, value: Any) -> list[Cause]:
    found = [] if scope in _SCOPES else [invalid_value(path, scope, "unsupported scope")]
    for name in hard:
        if "/" in name:
            continue
        fits = name == "pods" if scope == "BestEffort" else name in _COMPUTE
        if scope == "VolumeAttributesClass":
            fits = name in {"persistentvolumeclaims", "requests.storage"}
        if scope in _SCOPES and not fits:
            found.append(invalid_value(whole, value, "unsupported scope applied to resource"))
    return found


def _conflicts(scopes: list[str], path: str) -> list[Cause]:
    return [invalid_value(path, scopes, "conflicting scopes") for pair in _PAIRS if pair <= set(scopes)]


def _scope_requirement(requirement: Document, path: str) -> list[Cause]:
    operator, values = requirement.get("operator", ""), requirement.get("values", [])
    found = []
    if requirement.get("scopeName") in _POD_SCOPES and operator != "Exists":
        found.append(invalid_value(f"{path}.operator", operator, "must be 'Exists' for that scope"))
    if operator in {"In", "NotIn"}:
        why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        found += [] if values else [required(f"{path}.values", why)]
    elif operator in {"Exists", "DoesNotExist"}:
        why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
        found += [invalid_value(f"{path}.values", values, why)] if values else []
    else:
        found.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    return found


def quota_update(new: Document, old: Document) -> list[Cause]:
    """A quota's scopes stay."""
    scopes = new["spec"].get("scopes", [])
    if set(scopes) == set(old["spec"].get("scopes", ())):
        return []
    return [invalid_value("spec.scopes", scopes, "field is immutable")]


def quota_status(new: Document, old: Document) -> list[Cause]:
    """What is used, and of how much."""
    del old
    status = new.get("status") or {}
    return [cause for name in ("hard", "used") for cause in _amounts(status.get(name, {}), f"status.{name}")]


def _limits(spec: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for limit, at in each(spec, "limits", path):
        kind = limit.get("type", "")
        problems = names(qualified_name, kind, f"{at}.type")
        if not problems and "/" not in kind and kind not in _TYPES:
            why = "must be a standard limit type or fully qualified"
            problems.append(invalid_value(f"{at}.type", kind, why))
        found += problems + ([duplicate(f"{at}.type", kind)] if kind in seen else [])
        seen.add(kind)
        found += _limit(limit, at, kind)
    return found


def _limit(limit: Document, path: str, kind: str) -> list[Cause]:
    name_check = container_resource_name if kind in {"Pod", "Container"} else resource_name
    found: list[Cause] = []
    kinds = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"]
    if kind == "Pod":
        why = "may not be specified when `type` is 'Pod'"
        found += [
            forbidden(f"{path}.{name}", why) for name in ("default", "defaultRequest") if limit.get(name)
        ]
        kinds = ["max", "min", "maxLimitRequestRatio"]
    given = {name: limit.get(name, {}) for name in kinds}
    for name, amounts in given.items():
        for resource in amounts:
            found += name_check(resource, f"{path}.{name}[{resource}]")
    if kind == "PersistentVolumeClaim" and not any("storage" in given[name] for name in ("min", "max")):
        why = "either minimum or maximum storage value is required, but neither was provided"
        found.append(required(f"{path}.limits", why))
    resources = dict.fromkeys(resource for amounts in given.values() for resource in amounts)
    return found + [cause for one in resources for cause in _in_order(one, given, path)]


_ORDER = (
    ("min", "max", "min"),
    ("min", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "defaultRequest"),
    ("defaultRequest", "default", "defaultRequest"),
    ("min", "default", "default"),
    ("default", "max", "default"),
)


def _in_order(resource: str, given: Document, path: str) -> list[Cause]:
    amounts = {name: quantity(one[resource]) for name, one in given.items() if resource in one}
    found = [
        invalid_value(
            f"{path}.{named}[{resource}]", str(given[named][resource]), f"{low} is greater than {high}"
        )
        for low, high, named in _ORDER
        if low in amounts and high in amounts and amounts[low] > amounts[high]
    ]
    ratio, at = amounts.get("maxLimitRequestRatio"), f"{path}.maxLimitRequestRatio[{resource}]"
    if ratio is not None:
        if ratio < 1:
            found.append(invalid_value(at, str(ratio), "ratio is less than 1"))
        if amounts.get("min") and "max" in amounts and ratio > amounts["max"] / amounts["min"]:
            found.append(invalid_value(at, str(ratio), "ratio is greater than max/min"))
    default, request = amounts.get("default"), amounts.get("defaultRequest")
    if not can_overcommit(resource) and None not in {default, request} and default != request:
        why = "default value must equal to defaultRequest value"
        found.append(invalid_value(f"{path}.defaultRequest[{resource}]", str(request), why))
    return found


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.ResourceQuotaSpec": {"": (_quota,)},
    "core.v1.LimitRangeSpec": {"": (_limits,)},
}
