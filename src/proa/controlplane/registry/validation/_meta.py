"""Label selectors, wherever they stand. Pure."""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import Cause, forbidden, invalid_value, required
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check
from proa.controlplane.registry._names import label_value, qualified_name
from proa.controlplane.selectors import EVERYTHING, Requirement, Selector, from_document

from ._parts import labels, listed, names

LISTED_VALUES = "must be specified when `operator` is 'In' or 'NotIn'"
NO_VALUES = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
_OPERATORS = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})
_NOTHING = Selector((Requirement("", "in"),))


def _requirement(value: Any, path: str) -> list[Cause]:
    operator, values = value.get("operator", ""), value.get("values", [])
    found = []
    if operator in {"In", "NotIn"} and not values:
        found.append(required(f"{path}.values", LISTED_VALUES))
    elif operator in {"Exists", "DoesNotExist"} and values:
        found.append(forbidden(f"{path}.values", NO_VALUES))
    elif operator not in _OPERATORS:
        found.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    found += names(qualified_name, value.get("key", ""), f"{path}.key")
    return found + listed(label_value)(values, f"{path}.values")


def selector_problems(selector: Document | None, path: str) -> list[Cause]:
    """What is wrong with a selector; nothing if there is none."""
    if selector is None:
        return []
    found = labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        found += _requirement(requirement, f"{path}.matchExpressions[{index}]")
    return found


def selector_of(selector: Document | None) -> Selector | None:
    """A selector object as a selector (no object selects nothing); None if it is not a valid one."""
    if selector is None:
        return _NOTHING
    if selector_problems(selector, ""):
        return None
    return from_document(selector)


def mismatch(selector: Selector, template: Document, path: str) -> list[Cause]:
    """A template must have the labels that its workload selects by."""
    own = template.get("metadata", {}).get("labels", {})
    if selector == EVERYTHING or selector.matches(own):
        return []
    why = "`selector` does not match template `labels`"
    return [invalid_value(f"{path}.metadata.labels", own, why)]


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "meta.v1.LabelSelector": {
        "": (selector_problems,),
    },
}
