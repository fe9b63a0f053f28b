"""Where a pod may run: affinities, tolerations, spreading. Pure."""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import (
    Cause,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    required,
)
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, at_least, one_of
from proa.controlplane.registry._names import dns_label, dns_subdomain, label_value, qualified_name

from ._meta import LISTED_VALUES, NO_VALUES
from ._parts import each, listed, name_even_empty, names

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_POSITIVE = at_least(1, "must be greater than zero")
_OPERATORS = ("Equal", "Exists", "Gt", "Lt")


def toleration(value: Any, path: str) -> list[Cause]:
    """What taint is tolerated."""
    key, operator, effect = value.get("key", ""), value.get("operator", ""), value.get("effect", "")
    found = names(qualified_name, key, f"{path}.key") if key else []
    if not key and operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        found.append(invalid_value(f"{path}.operator", operator, why))
    if "tolerationSeconds" in value and effect != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        found.append(invalid_value(f"{path}.effect", effect, why))
    taint = value.get("value", "")
    if operator in {"", "Equal"}:
        problems = label_value(taint)
        found += [invalid_value(f"{path}.operator", taint, ";".join(problems))] if problems else []
    elif operator == "Exists" and taint:
        why = "value must be empty when `operator` is 'Exists'"
        found.append(invalid_value(f"{path}.operator", taint, why))
    elif operator not in _OPERATORS:
        found.append(not_supported(f"{path}.operator", operator, _OPERATORS))
    if effect and effect not in TAINT_EFFECTS:
        found.append(not_supported(f"{path}.effect", effect, TAINT_EFFECTS))
    return found


def tolerations(values: Any, path: str) -> list[Cause]:
    """What taints are tolerated."""
    return [
        cause for index, item in enumerate(values or ()) for cause in toleration(item, f"{path}[{index}]")
    ]


def _requirement(value: Document, path: str, *, strict: bool) -> list[Cause]:
    operator, values = value.get("operator", ""), value.get("values", [])
    found = []
    match operator:
        case "In" | "NotIn":
            found += [] if values else [required(f"{path}.values", LISTED_VALUES)]
        case "Exists" | "DoesNotExist":
            found += [forbidden(f"{path}.values", NO_VALUES)] if values else []
        case "Gt" | "Lt":
            why = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            found += [] if len(values) == 1 else [required(f"{path}.values", why)]
        case _:
            found.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    found += names(qualified_name, value.get("key", ""), f"{path}.key")
    return found + (listed(label_value)(values, f"{path}.values") if strict else [])


def _field_requirement(value: Document, path: str) -> list[Cause]:
    operator, values, key = value.get("operator", ""), value.get("values", []), value.get("key", "")
    found = []
    if operator not in {"In", "NotIn"}:
        found.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        found.append(required(f"{path}.values", why))
    if key != "metadata.name":
        return [*found, invalid_value(f"{path}.key", key, "not a valid field selector key")]
    return found + listed(dns_subdomain)(values, f"{path}.values")


def _term(term: Document, path: str, *, strict: bool) -> list[Cause]:
    found: list[Cause] = []
    for requirement, at in each(term, "matchExpressions", path):
        found += _requirement(requirement, at, strict=strict)
    for requirement, at in each(term, "matchFields", path):
        found += _field_requirement(requirement, at)
    return found


def _node_selector(selector: Any, path: str) -> list[Cause]:
    if not selector.get("nodeSelectorTerms"):
        return [required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    found: list[Cause] = []
    for term, at in each(selector, "nodeSelectorTerms", path):
        found += _term(term, at, strict=True)
    return found


def _weight(value: Any, path: str) -> list[Cause]:
    weight = value.get("weight", 0)
    if 1 <= weight <= 100:
        return []
    return [invalid_value(f"{path}.weight", weight, "must be in the range 1-100")]


def _preferred(value: Any, path: str) -> list[Cause]:
    found = _weight(value, path)
    return found + _term(value.get("preference") or {}, f"{path}.preference", strict=False)


def _affinity_term(term: Any, path: str) -> list[Cause]:
    found = [
        cause for name in term.get("namespaces", ()) for cause in names(dns_label, name, f"{path}.namespace")
    ]
    matched, mismatched = term.get("matchLabelKeys", []), term.get("mismatchLabelKeys", [])
    for field, keys in (("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)):
        if keys and "labelSelector" not in term:
            why = "must not be specified when labelSelector is not set"
            found.append(forbidden(f"{path}.{field}", why))
        else:
            found += listed(qualified_name)(keys, f"{path}.{field}")
    for index, key in enumerate(matched):
        if key in mismatched:
            why = "exists in both matchLabelKeys and mismatchLabelKeys"
            found.append(invalid_value(f"{path}.matchLabelKeys[{index}]", key, why))
    if not term.get("topologyKey"):
        found.append(required(f"{path}.topologyKey", "can not be empty"))
    return found


def spread(spec: Document, path: str) -> list[Cause]:
    """How evenly pods are to be spread: each constraint, and no two of one kind."""
    found: list[Cause] = []
    constraints = spec.get("topologySpreadConstraints", [])
    kinds = [(one.get("topologyKey"), one.get("whenUnsatisfiable")) for one in constraints]
    for index, constraint in enumerate(constraints):
        at = f"{path}.topologySpreadConstraints[{index}]"
        found += _constraint(constraint, at)
        if kinds[index] in kinds[index + 1 :]:
            found.append(duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", str(kinds[index])))
    return found


def _constraint(constraint: Document, path: str) -> list[Cause]:
    found = _POSITIVE(constraint.get("maxSkew", 0), f"{path}.maxSkew")
    if not constraint.get("topologyKey"):
        found.append(required(f"{path}.topologyKey", "can not be empty"))
    action = constraint.get("whenUnsatisfiable", "")
    found += one_of("DoNotSchedule", "ScheduleAnyway")(action, f"{path}.whenUnsatisfiable")
    least = constraint.get("minDomains")
    if least is not None:
        found += _POSITIVE(least, f"{path}.minDomains")
        if action != "DoNotSchedule":
            why = "can only use minDomains if whenUnsatisfiable=DoNotSchedule"
            found.append(invalid_value(f"{path}.minDomains", least, why))
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        found += one_of("Honor", "Ignore")(constraint.get(field), f"{path}.{field}")
    return found + _spread_keys(constraint, path)


def _spread_keys(constraint: Document, path: str) -> list[Cause]:
    keys, at = constraint.get("matchLabelKeys", []), f"{path}.matchLabelKeys"
    if not keys:
        return []
    found, selector = [], constraint.get("labelSelector")
    if selector is None:
        found.append(forbidden(at, "must not be specified when labelSelector is not set"))
    selected = {*(selector or {}).get("matchLabels", ())}
    selected |= {one.get("key") for one in (selector or {}).get("matchExpressions", ())}
    for index, key in enumerate(keys):
        found += names(qualified_name, key, f"{at}[{index}]")
        if key in selected:
            why = "exists in both matchLabelKeys and labelSelector"
            found.append(invalid_value(f"{at}[{index}]", key, why))
    return found


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.NodeSelector": {"": (_node_selector,)},
    "core.v1.PreferredSchedulingTerm": {"": (_preferred,)},
    "core.v1.WeightedPodAffinityTerm": {"": (_weight,)},
    "core.v1.PodAffinityTerm": {
        "": (_affinity_term,),
        "topologyKey": (name_even_empty(qualified_name),),
    },
}
