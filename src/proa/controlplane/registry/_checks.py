"""How declared rules are checked: a walk over an object along its type, with each rule where its type
occurs. Pure.

`_rules.py` holds the rules; the functions here make them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
from proa.controlplane.schema import definitions

from ._names import NameRule

Check = Callable[[Any, str], list[Cause]]
"""What is wrong with a value (None if it is not there) that stands at a path."""
Rules = Mapping[str, Mapping[str, tuple[Check, ...]]]
"""By type, by field; the field `""` is the struct itself."""
Afterwards = Mapping[str, Callable[[Any, str, list[Cause]], list[Cause]]]
"""By type: what is wrong with a struct in the end, of what is wrong within it."""


def need(value: Any, path: str) -> list[Cause]:
    """The field must be there, and not be empty."""
    return [required(path)] if value is None or value in ("", [], {}) else []


def needed(why: str) -> Check:
    """As `need`, with a reason."""
    return lambda value, path: [required(path, why)] if need(value, path) else []


def one_of(*allowed: str, sort: bool = True) -> Check:
    """One of a few words, if it is there; an error lists them in alphabetical order."""
    listed = sorted(allowed) if sort else list(allowed)

    def check(value: Any, path: str) -> list[Cause]:
        return [] if value is None or value in allowed else [not_supported(path, value, listed)]

    return check


def each_of(*allowed: str) -> Check:
    """A list of words out of a few."""
    check = one_of(*allowed)
    return lambda value, path: [
        cause for index, item in enumerate(value or ()) for cause in check(item, f"{path}[{index}]")
    ]


def at_least(least: int, why: str = "") -> Check:
    """A number that is not smaller, if it is there."""
    why = why or f"must be greater than or equal to {least}"
    return lambda value, path: (
        [invalid_value(path, value, why)] if type(value) is int and value < least else []
    )


def between(least: int, most: int, why: str = "") -> Check:
    """A number within bounds, if it is there."""
    why = why or f"must be between {least} and {most}, inclusive"
    return lambda value, path: (
        [invalid_value(path, value, why)] if type(value) is int and not least <= value <= most else []
    )


PORT = between(1, 65535)
_PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")


def port_or_name(value: Any, path: str) -> list[Cause]:
    """A port by its number or its name."""
    if type(value) is int:
        return PORT(value, path)
    named = type(value) is str and _PORT_NAME.fullmatch(value) and re.search("[a-z]", value)
    return [] if value is None or named else [invalid_value(path, value, "must be a port's name or number")]


_PERCENT = re.compile(r"[0-9]+%")


def amount(value: Any, path: str) -> list[Cause]:
    """A number that is not negative, or a percentage."""
    if type(value) is int:
        return at_least(0)(value, path)
    if value is None or _PERCENT.fullmatch(value):
        return []
    return [invalid_value(path, value, "must be an integer or a percentage (for example '5%')")]


def named(rule: NameRule) -> Check:
    """A name of a kind, if it is there."""
    return lambda value, path: [invalid_value(path, value, why) for why in rule(value)] if value else []


def matching(pattern: str, why: str) -> Check:
    """A text of a form, if it is there."""
    compiled = re.compile(pattern)
    return lambda value, path: (
        [] if value is None or compiled.fullmatch(value) else [invalid_value(path, value, why)]
    )


def unique(*keys: str) -> Check:
    """A list whose items differ in their keys."""

    def check(items: Any, path: str) -> list[Cause]:
        found, seen = [], []
        for index, item in enumerate(items or ()):
            values = [item.get(key) for key in keys]
            if values in seen and None not in values:
                field = f"{path}[{index}].{keys[0]}" if len(keys) == 1 else f"{path}[{index}]"
                found.append(duplicate(field, values[0] if len(keys) == 1 else item))
            seen.append(values)
        return found

    return check


def any_of(*fields: str, why: str) -> Check:
    """A struct that has at least one of some fields."""
    return lambda value, path: [] if any(field in value for field in fields) else [required(path, why)]


def at_most_one_of(*fields: str, why: str) -> Check:
    """A struct that has no two of some fields."""
    return lambda value, path: (
        [invalid_value(path, value, why)] if sum(field in value for field in fields) > 1 else []
    )


def exactly_one_of(*fields: str, why: str) -> Check:
    """A struct that has one of some fields: the first; a further one is forbidden."""

    def check(value: Any, path: str) -> list[Cause]:
        there = [field for field in fields if field in value]
        if not there:
            return [required(path, why)]
        return [forbidden(f"{path}.{field}", f"{why}, and only one") for field in there[1:]]

    return check


class Checker:
    """Checks objects of one type against rules. Types without rules, all the way down, cost nothing."""

    def __init__(self, type_name: str, rules: Rules, afterwards: Afterwards) -> None:
        self._rules, self._afterwards = rules, afterwards
        self._plans: dict[str, Check | None] = {}
        self._check = self._named(type_name)

    def __call__(self, document: Document) -> list[Cause]:
        """All that is wrong with an object that conforms to the type."""
        return self._check(document, "") if self._check else []

    def _named(self, name: str) -> Check | None:
        if name not in self._plans:
            self._plans[name] = lambda value, path: self._recursive(name, value, path)
            self._plans[name] = self._compile(definitions()[name], name)
        return self._plans[name]

    def _recursive(self, name: str, value: Any, path: str) -> list[Cause]:
        check = self._plans[name]
        return check(value, path) if check else []

    def _compile(self, schema: Document, name: str = "") -> Check | None:
        if "$ref" in schema:
            return self._named(schema["$ref"])
        if "properties" in schema:
            return self._struct(schema, name)
        if isinstance(schema.get("additionalProperties"), dict):
            return _map(self._compile(schema["additionalProperties"]))
        return _list(self._compile(schema["items"])) if "items" in schema else None

    def _struct(self, schema: Document, name: str) -> Check | None:
        own = self._rules.get(name, {})
        whole = own.get("", ())
        fields = [(field, check) for field, checks in own.items() if field for check in checks]
        inner = {field: self._compile(value) for field, value in schema["properties"].items()}
        deeper = [(field, check) for field, check in inner.items() if check is not None]
        last = self._afterwards.get(name)
        if not whole and not fields and not deeper:
            return None

        def check(value: Any, path: str) -> list[Cause]:
            found: list[Cause] = []
            for one in whole:
                found += one(value, path)
            prefix = f"{path}." if path else ""
            for field, one in fields:
                found += one(value.get(field), prefix + field)
            for field, one in deeper:
                if field in value and value[field] is not None:
                    found += one(value[field], prefix + field)
            return last(value, path, found) if last and found else found

        return check


def _map(check: Check | None) -> Check | None:
    if check is None:
        return None
    return lambda value, path: [
        cause for key, item in value.items() for cause in check(item, f"{path}[{key}]")
    ]


def _list(check: Check | None) -> Check | None:
    if check is None:
        return None
    return lambda value, path: [
        cause for index, item in enumerate(value) for cause in check(item, f"{path}[{index}]")
    ]
