"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from proa.controlplane._json import Document


def merge_patch(document: Any, patch: Any) -> Any:
    """The document with the patch merged in: null removes, objects merge, all else replaces."""
    if type(patch) is not dict:
        return patch
    result: Document = dict(document) if type(document) is dict else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result
