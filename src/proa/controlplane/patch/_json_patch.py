"""JSON patch (RFC 6902) with JSON pointers (RFC 6901)."""

from __future__ import annotations

import re
from typing import Any

from proa.controlplane._json import clone

from ._errors import PatchError, TestFailedError

MAX_OPERATIONS = 10_000


def json_patch(document: Any, operations: Any) -> Any:
    """The document with the operations applied in order; all or nothing.

    Raises:
        PatchError: An operation is malformed, a path is not there, or a test fails.
    """
    if type(operations) is not list:
        raise PatchError("a JSON patch is a list of operations", malformed=True)
    if len(operations) > MAX_OPERATIONS:
        raise PatchError(f"a JSON patch has at most {MAX_OPERATIONS} operations, not {len(operations)}")
    result = clone(document)
    for operation in operations:
        result = _apply(result, operation)
    return result


def _apply(document: Any, operation: Any) -> Any:
    if type(operation) is not dict:
        raise PatchError("a JSON patch operation is an object", malformed=True)
    path = _pointer(operation, "path")
    match operation.get("op"):
        case "add":
            return _add(document, path, clone(_value(operation)))
        case "remove":
            return _remove(document, path)
        case "replace":
            return _replace(document, path, clone(_value(operation)))
        case "move":
            source = _pointer(operation, "from")
            value = _get(document, source)
            return _add(_remove(document, source), path, value)
        case "copy":
            return _add(document, path, clone(_get(document, _pointer(operation, "from"))))
        case "test":
            if not same(_get(document, path), operation.get("value")):
                raise TestFailedError(f"test of {operation['path']} failed")
            return document
    raise PatchError(f"there is no JSON patch operation {operation.get('op')!r}")


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchError(f"the operation {operation['op']} needs a value")
    return operation["value"]


def _pointer(operation: dict[str, Any], field: str) -> list[str]:
    text = operation.get(field)
    if type(text) is not str or (text and not text.startswith("/")):
        raise PatchError(f"{field} of a JSON patch operation must be a JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _step(container: Any, part: str) -> Any:
    if type(container) is dict:
        if part not in container:
            raise PatchError(f"there is no field {part!r}")
        return container[part]
    if type(container) is list:
        return container[_index(container, part, len(container) - 1)]
    raise PatchError(f"{part!r} leads into a plain value")


def _index(container: list[Any], part: str, last: int) -> int:
    if not re.fullmatch(r"0|[1-9]\d{0,8}", part) or int(part) > last:
        raise PatchError(f"there is no index {part!r} in a list of {len(container)}")
    return int(part)


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = _step(document, part)
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if type(parent) is dict:
        parent[last] = value
    elif type(parent) is list:
        parent.insert(len(parent) if last == "-" else _index(parent, last, len(parent)), value)
    else:
        raise PatchError(f"{last!r} leads into a plain value")
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent, last = _get(document, path[:-1]), path[-1]
    _step(parent, last)
    del parent[last if type(parent) is dict else int(last)]
    return document


def _replace(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    _step(parent, last)
    parent[last if type(parent) is dict else int(last)] = value
    return document


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if type(left) is bool or type(right) is bool:
        return left is right
    if type(left) is dict and type(right) is dict:
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if type(left) is list and type(right) is list:
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
