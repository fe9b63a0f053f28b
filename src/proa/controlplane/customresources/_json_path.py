"""The simple JSON paths of definitions: printer columns, scale, selectable fields. Pure.

https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"\.(?P<name>(?:[^.\[\\]|\\.)+)"
    r"|\[(?P<index>-?\d+)\]"
    r"|\[(?P<all>\*)\]"
    r"|\['(?P<quoted>[^']+)'\]"
    r"|\[\?\(\s*@\.(?P<key>[\w.-]+)\s*(?P<operator>==|!=)\s*(?P<value>\"[^\"]*\"|'[^']*'|[\w.-]+)\s*\)\]"
)
Step = tuple[str, Any]


class InvalidPathError(ValueError):
    """The text is no JSON path that we know."""


@lru_cache(1024)
def parse(text: str) -> tuple[Step, ...]:
    """The steps of a path such as `.status.conditions[?(@.type=="Ready")].status`.

    Raises:
        InvalidPathError: It is none.
    """
    steps: list[Step] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise InvalidPathError(f"{text!r} cannot be read from {text[position:]!r} on")
        steps.append(_step(match))
        position = match.end()
    if not steps:
        raise InvalidPathError("a path must not be empty")
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["name"] is not None:
        return "field", re.sub(r"\\(.)", r"\1", match["name"])
    if match["quoted"] is not None:
        return "field", match["quoted"]
    if match["index"] is not None:
        return "item", int(match["index"])
    if match["all"] is not None:
        return "all", None
    return "where", (match["key"], match["operator"] == "==", match["value"].strip("\"'"))


def find(path: tuple[Step, ...], document: Any) -> list[Any]:
    """All values at a path."""
    found = [document]
    for kind, argument in path:
        found = [value for one in found for value in _take(kind, argument, one)]
    return found


def _take(kind: str, argument: Any, value: Any) -> Iterator[Any]:
    if kind == "field" and type(value) is dict and argument in value:
        yield value[argument]
    elif kind == "all" and type(value) in {dict, list}:
        yield from value.values() if type(value) is dict else value
    elif kind == "item" and type(value) is list and -len(value) <= argument < len(value):
        yield value[argument]
    elif kind == "where" and type(value) is list:
        key, equal, wanted = argument
        yield from (one for one in value if (_shown(_field(one, key)) == wanted) is equal)


def _field(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if type(value) is dict else None
    return value


def _shown(value: Any) -> str:
    if type(value) is bool:
        return "true" if value else "false"
    return "" if value is None else str(value)


def fields(text: str) -> tuple[str, ...]:
    """The names of a path of fields only, such as `.spec.replicas`.

    Raises:
        InvalidPathError: It is none, or has other steps.
    """
    steps = parse(text)
    if any(kind != "field" for kind, _ in steps):
        raise InvalidPathError(f"{text!r} must be a path of fields only, such as .spec.replicas")
    return tuple(name for _, name in steps)
