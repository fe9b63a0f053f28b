"""Whether values are as their schema says. Pure. Causes are Kubernetes'.

An update is not refused for what it leaves as it was: values are compared with what they replace.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proa.controlplane._errors import (
    Cause,
    duplicate,
    invalid_value,
    not_supported,
    quoted,
    required,
)
from proa.controlplane._json import Document, encode
from proa.controlplane.cel import Budget, EvaluationError, RuleError, compile_rule
from proa.controlplane.schema._conform import JSON_TYPES

from ._formats import has_format

ABSENT: Any = object()


def validate(value: Any, schema: Document, path: str, old: Any = ABSENT) -> Iterator[Cause]:
    """All that is wrong with a value; `old` is what it replaces."""
    if old is not ABSENT and old == value:
        return
    if value is None and schema.get("nullable"):
        return
    mistyped = _mistyped(value, schema, path)
    if mistyped is not None:
        yield mistyped
        return
    if "enum" in schema and value not in schema["enum"]:
        yield not_supported(path, value, [str(one) for one in schema["enum"]])
    if type(value) is str:
        yield from _string(value, schema, path)
    elif type(value) in {int, float}:
        yield from _number(value, schema, path)
    elif type(value) is list:
        yield from _list(value, schema, path, old)
    elif type(value) is dict:
        yield from _object(value, schema, path, old)
    yield from _combined(value, schema, path)


_NAMES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


def _mistyped(value: Any, schema: Document, path: str) -> Cause | None:
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if type(value) in {int, str}:
            return None
        kind = "integer,string"
    elif (
        kind is None
        or type(value) in JSON_TYPES.get(kind, frozenset({type(value)}))
        or (kind == "integer" and type(value) is float and value.is_integer())
    ):
        return None
    name = _NAMES[type(value)]
    message = f'Invalid value: "{name}": {path} in body must be of type {kind}: "{name}"'
    return Cause("FieldValueTypeInvalid", path, message)


def _string(value: str, schema: Document, path: str) -> Iterator[Cause]:
    if len(value) > schema.get("maxLength", len(value)):
        message = f"Too long: may not be more than {schema['maxLength']} bytes"
        yield Cause("FieldValueTooLong", path, message)
    elif len(value) < schema.get("minLength", 0):
        why = f"{path} in body should be at least {schema['minLength']} chars long"
        yield invalid_value(path, value, why)
    elif "pattern" in schema and not matches(value, schema["pattern"]):
        yield invalid_value(path, value, f"{path} in body should match '{schema['pattern']}'")
    elif "format" in schema and not has_format(value, schema["format"]):
        kind = schema["format"]
        yield invalid_value(path, value, f"{path} in body must be of type {kind}: {quoted(value)}")


def matches(text: str, pattern: str) -> bool:
    """Whether a pattern occurs in a text: RE2's syntax and its linear time, by way of CEL.

    A pattern that is none matches nothing.
    """
    try:
        rule = compile_rule("text.matches(pattern)", ("text", "pattern"))
        return bool(rule.evaluate({"text": text, "pattern": pattern}, Budget()))
    except (RuleError, EvaluationError):
        return False


def _number(value: float, schema: Document, path: str) -> Iterator[Cause]:
    factor = schema.get("multipleOf")
    if factor and abs(value / factor - round(value / factor)) > 1e-9:
        yield invalid_value(path, value, f"{path} in body should be a multiple of {factor}")
    if "maximum" in schema:
        limit, exclusive = schema["maximum"], schema.get("exclusiveMaximum")
        if value > limit or (exclusive and value == limit):
            than = "less than" if exclusive else "less than or equal to"
            yield invalid_value(path, value, f"{path} in body should be {than} {_shown(limit)}")
    if "minimum" in schema:
        limit, exclusive = schema["minimum"], schema.get("exclusiveMinimum")
        if value < limit or (exclusive and value == limit):
            than = "greater than" if exclusive else "greater than or equal to"
            yield invalid_value(path, value, f"{path} in body should be {than} {_shown(limit)}")


def _shown(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _list(value: list[Any], schema: Document, path: str, old: Any) -> Iterator[Cause]:
    if len(value) < schema.get("minItems", 0):
        why = f"{path} in body should have at least {schema['minItems']} items"
        yield invalid_value(path, len(value), why)
    if len(value) > schema.get("maxItems", len(value)):
        limit = schema["maxItems"]
        message = f"Too many: {len(value)}: must have at most {limit} items"
        yield Cause("FieldValueTooMany", path, message)
    if schema.get("uniqueItems") and len({encode(item) for item in value}) < len(value):
        yield invalid_value(path, value, f"{path} in body shouldn't contain duplicates")
    yield from _unique(value, schema, path)
    if type(schema.get("items")) is dict:
        before = by_key(old, schema) if type(old) is list else {}
        for index, item in enumerate(value):
            was = before.get(key_of(item, schema), ABSENT)
            yield from validate(item, schema["items"], f"{path}[{index}]", was)


def key_of(item: Any, schema: Document) -> bytes | None:
    """What tells an item of a keyed list apart; None in other lists."""
    keys = schema.get("x-kubernetes-list-map-keys") if schema.get("x-kubernetes-list-type") == "map" else None
    if not keys or type(item) is not dict:
        return None
    defaults = schema.get("items", {}).get("properties", {})
    return encode([item.get(key, defaults.get(key, {}).get("default")) for key in keys])


def by_key(items: list[Any], schema: Document) -> dict[bytes | None, Any]:
    """The items of a keyed list by what tells them apart."""
    keyed = {key_of(item, schema): item for item in items}
    keyed.pop(None, None)
    return keyed


def _unique(value: list[Any], schema: Document, path: str) -> Iterator[Cause]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in {"set", "map"}:
        return
    seen: set[bytes] = set()
    for index, item in enumerate(value):
        told = key_of(item, schema) if kind == "map" else encode(item)
        if told is None:
            continue
        if told in seen:
            shown = item
            if kind == "map":
                shown = {key: item.get(key) for key in schema["x-kubernetes-list-map-keys"]}
            yield duplicate(f"{path}[{index}]", shown)
        seen.add(told)


def _object(value: Document, schema: Document, path: str, old: Any) -> Iterator[Cause]:
    if len(value) < schema.get("minProperties", 0):
        why = f"{path} in body should have at least {schema['minProperties']} properties"
        yield invalid_value(path, len(value), why)
    if len(value) > schema.get("maxProperties", len(value)):
        limit = schema["maxProperties"]
        message = f"Too many: {len(value)}: must have at most {limit} items"
        yield Cause("FieldValueTooMany", path, message)
    for name in schema.get("required", ()):
        if name not in value:
            yield required(_at(path, name))
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    before = old if type(old) is dict else {}
    for key, item in value.items():
        inner = properties.get(key, others)
        if type(inner) is dict:
            yield from validate(item, inner, _at(path, key), before.get(key, ABSENT))


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _combined(value: Any, schema: Document, path: str) -> Iterator[Cause]:
    for one in schema.get("allOf", ()):
        yield from validate(value, one, path)
    where = path or "<nil>"
    if "anyOf" in schema and not any(_fits(value, one) for one in schema["anyOf"]):
        yield invalid_value(path, value, f"{where} in body must validate at least one schema (anyOf)")
    if "oneOf" in schema:
        fitting = sum(_fits(value, one) for one in schema["oneOf"])
        if fitting != 1:
            found = "Found none valid" if not fitting else f"Found {fitting} valid alternatives"
            why = f"{where} in body must validate one and only one schema (oneOf). {found}"
            yield invalid_value(path, value, why)
    if "not" in schema and _fits(value, schema["not"]):
        yield invalid_value(path, value, f"{where} in body must not validate the schema (not)")


def _fits(value: Any, schema: Document) -> bool:
    return next(validate(value, schema, ""), None) is None
