"""The JSON patch (RFC 6902) that makes one document of another. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def json_diff(before: Any, after: Any, path: str = "") -> Iterator[dict[str, Any]]:
    """Yield the operations; maps are compared key by key, anything else is replaced as a whole."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        if before != after:
            yield {"op": "replace", "path": path, "value": after}
        return
    for key in before:
        if key not in after:
            yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
    for key, value in after.items():
        place = f"{path}/{_escaped(key)}"
        if key not in before:
            yield {"op": "add", "path": place, "value": value}
        else:
            yield from json_diff(before[key], value, place)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
