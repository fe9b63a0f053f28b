"""Merge patches (RFC 7386), JSON patches (RFC 6902) and strategic merge patches on plain documents. Pure."""

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


_REMOVAL = "$deleteFromPrimitiveList/"
KEYS = {"conditions": "type", "ownerReferences": "uid", "tolerations": "key", "addresses": "type"}
"""What objects in lists merge by, where that is not `name`: without schemas this is all that is known."""


def strategic(document: Any, patch: Any, field: str = "") -> Any:
    """Return the document with a strategic merge patch applied; lists merge by well-known keys only."""
    if isinstance(patch, Mapping):
        merged = dict(document) if isinstance(document, Mapping) else {}
        for key, value in patch.items():
            if key.startswith(_REMOVAL):
                _remove(merged, key.removeprefix(_REMOVAL), value)
            elif value is None:
                merged.pop(key, None)
            else:
                merged[key] = strategic(merged.get(key), value, key)
        return merged
    if not isinstance(patch, list):
        return patch
    kept = list(document or [])
    if not all(isinstance(item, Mapping) for item in patch):
        return [*kept, *(item for item in patch if item not in kept)]
    by = KEYS.get(field, "name")
    for item in patch:
        _merge_item(kept, item, by, field)
    return kept


def _remove(document: dict[str, Any], field: str, values: Sequence[Any]) -> None:
    """Take values out of a list of plain ones; a list that becomes empty goes."""
    left = [one for one in document.pop(field, ()) if one not in values]
    if left:
        document[field] = left


def _merge_item(kept: list[Any], item: Mapping[str, Any], by: str, field: str) -> None:
    found = next((place for place, one in enumerate(kept) if one.get(by) == item.get(by)), None)
    wanted = {key: value for key, value in item.items() if key != "$patch"}
    if item.get("$patch") == "delete":
        if found is not None:
            del kept[found]
    elif found is None:
        kept.append(wanted)
    else:
        kept[found] = strategic(kept[found], wanted, field)


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
