"""The rules of schemas (`x-kubernetes-validations`): CEL expressions about `self` and `oldSelf`. Pure.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from proa.controlplane._errors import Cause, quoted
from proa.controlplane._json import Document
from proa.controlplane.cel import Budget, EvaluationError, RuleError, Typed, compile_rule, escaped

from ._values import ABSENT, by_key, key_of

VARIABLES = ("self", "oldSelf", "__updates")
REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
_OLD = re.compile(r"\boldSelf\b")


def has_rules(schema: Any) -> bool:
    """Whether a schema has rules anywhere."""
    if type(schema) is dict:
        return "x-kubernetes-validations" in schema or any(map(has_rules, schema.values()))
    return type(schema) is list and any(map(has_rules, schema))


def is_transition(rule: Document) -> bool:
    """Whether a rule is about what a value replaces."""
    return _OLD.search(rule.get("rule", "")) is not None


def check_rules(value: Any, schema: Document, path: str, old: Any, budget: Budget) -> Iterator[Cause]:
    """What the rules of a schema say against a value; `old` is what it replaces.

    The value must be as the schema says in all other respects.
    """
    if value is None:
        return
    rules = schema.get("x-kubernetes-validations", ())
    if rules:
        yield from _check(value, schema, path, old, budget)
    if type(value) is dict:
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        before = old if type(old) is dict else {}
        for key, item in value.items():
            inner = properties.get(key, others)
            if type(inner) is dict:
                where = f"{path}.{key}" if key in properties else f"{path}[{key}]"
                yield from check_rules(item, inner, where.lstrip("."), before.get(key, ABSENT), budget)
    elif type(value) is list and type(schema.get("items")) is dict:
        before_items = by_key(old, schema) if type(old) is list else {}
        for index, item in enumerate(value):
            was = before_items.get(key_of(item, schema), ABSENT)
            yield from check_rules(item, schema["items"], f"{path}[{index}]", was, budget)


def _check(value: Any, schema: Document, path: str, old: Any, budget: Budget) -> Iterator[Cause]:
    current = to_cel(value, schema)
    before = None if old is ABSENT else to_cel(old, schema)
    typed = typed_by(schema)
    for rule in schema["x-kubernetes-validations"]:
        transition = is_transition(rule)
        if transition and old is ABSENT and not rule.get("optionalOldSelf"):
            continue
        if not transition and old is not ABSENT and old == value:
            continue  # an update is not refused for what it leaves as it was
        variables = {"self": current, "oldSelf": before, "__updates": old is not ABSENT}
        try:
            if compile_rule(source_of(rule), VARIABLES, typed=typed).evaluate(variables, budget) is True:
                continue
            message = _message(rule, variables, typed, budget)
        except (RuleError, EvaluationError) as error:
            message = f"{error} evaluating rule: {rule.get('message', rule['rule'])}"
        yield _cause(rule, path, value, message)


def typed_by(schema: Document) -> Typed:
    """What a rule of a schema is about."""
    return Typed({"self": schema, "oldSelf": schema})


def source_of(rule: Document) -> str:
    """The expression of a rule; where `oldSelf` is optional, with what makes it so around it."""
    source: str = rule.get("rule", "")
    if not rule.get("optionalOldSelf"):
        return source
    return f"cel.bind(oldSelf, __updates ? optional.of(oldSelf) : optional.none(), {source}\n)"


def _message(rule: Document, variables: dict[str, Any], typed: Typed, budget: Budget) -> str:
    given: str = rule.get("message", "").strip()
    expression = rule.get("messageExpression")
    if expression:
        try:
            told = compile_rule(expression, VARIABLES, "string", typed).evaluate(variables, budget)
        except (RuleError, EvaluationError):
            told = ""
        if type(told) is str and told.strip() and "\n" not in told:
            return told.strip()
    return given or f"failed rule: {' '.join(rule['rule'].split())}"


def _cause(rule: Document, path: str, value: Any, message: str) -> Cause:
    where = f"{path}{rule['fieldPath']}".lstrip(".") if rule.get("fieldPath") else path
    match rule.get("reason", "FieldValueInvalid"):
        case "FieldValueRequired":
            return Cause("FieldValueRequired", where, f"Required value: {message}")
        case "FieldValueForbidden":
            return Cause("FieldValueForbidden", where, f"Forbidden: {message}")
        case "FieldValueDuplicate":
            return Cause("FieldValueDuplicate", where, f"Duplicate value: {_short(value)}")
    return Cause("FieldValueInvalid", where, f"Invalid value: {_short(value)}: {message}")


def _short(value: Any) -> str:
    if type(value) in {dict, list}:
        return '"object"' if type(value) is dict else '"array"'
    return quoted(value)


def to_cel(value: Any, schema: Document) -> Any:
    """A value as rules see it: numbers are doubles where the schema says so, and names of fields are
    escaped.
    """
    kind = type(value)
    if kind is dict:
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        return {
            (escaped(key) if key in properties else key): to_cel(item, _inner(properties.get(key, others)))
            for key, item in value.items()
        }
    if kind is list:
        inner = _inner(schema.get("items"))
        return [to_cel(item, inner) for item in value]
    if kind is int and schema.get("type") == "number":
        return float(value)
    if kind is float and schema.get("type") == "integer":
        return int(value)
    return value


def _inner(schema: Any) -> Document:
    return schema if type(schema) is dict else {}
