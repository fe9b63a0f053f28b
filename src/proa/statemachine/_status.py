"""What has to be patched for an object's status to be what a state says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from proa.kube import Resource, encode
from proa.kube.models import Model


def status_patch(obj: Resource, wanted: object) -> dict[str, Any]:
    """Return the merge patch of the status: empty if it is what is wanted.

    Args:
        obj: The object as last seen.
        wanted: A model stands for the whole status: what it does not hold is taken away. A mapping, with the
            API's names, is a merge patch: what it does not name stays as it is.
    """
    status = getattr(obj, "status", None)
    have = _document(status) if status is not None else {}
    return _difference(have, _document(wanted), whole=isinstance(wanted, Model))


def _document(value: object) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(encode(value))
    return document


def _difference(have: Mapping[str, Any], want: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    changes: dict[str, Any] = dict.fromkeys(key for key in have if whole and key not in want)
    for key, value in want.items():
        before = have.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := _difference(before, value, whole=whole):
                changes[key] = inner
        elif before != value:
            changes[key] = value
    return changes
