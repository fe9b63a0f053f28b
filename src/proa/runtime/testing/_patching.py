"""Merge patches (RFC 7386) and JSON patches (RFC 6902) on plain documents. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any


class PatchError(Exception):
    """The patch does not fit the document, or one of its tests failed."""


def merge(document: Any, patch: Any) -> Any:
    """Return the document with a merge patch applied; the document is left as it is."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def json_patch(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Return the document with a JSON patch applied; the document is left as it is.

    Raises:
        PatchError: a path does not exist, a test fails, or the operation is none of add, remove, replace and
            test.
    """
    patched = copy.deepcopy(document)
    for operation in operations:
        *parents, last = _pointer(operation["path"])
        place = patched
        for part in parents:
            place = _down(place, part)
        _carry_out(place, last, operation)
    return patched


def _pointer(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _down(place: Any, part: str) -> Any:
    try:
        return place[int(part)] if isinstance(place, list) else place[part]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise PatchError(f"there is nothing at {part!r}") from error


def _carry_out(place: Any, last: str, operation: Mapping[str, Any]) -> None:
    match operation["op"]:
        case "test":
            if _down(place, last) != operation["value"]:
                raise PatchError(f"testing value {operation['path']} failed")
        case "remove":
            _down(place, last)
            del place[int(last) if isinstance(place, list) else last]
        case "replace":
            _down(place, last)
            place[int(last) if isinstance(place, list) else last] = operation["value"]
        case "add" if isinstance(place, list):
            place.insert(len(place) if last == "-" else int(last), operation["value"])
        case "add" if isinstance(place, dict):
            place[last] = operation["value"]
        case other:
            raise PatchError(f"cannot {other} {operation['path']}")
