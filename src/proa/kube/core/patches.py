"""The four kinds of patch, as types: what a patch means is said where it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from proa.kube.codec import encode
from proa.kube.errors import InvalidRequestError
from proa.kube.models import Resource

__all__ = ["Apply", "Json", "Merge", "Patch", "Strategic"]

LONGEST_MANAGER = 128
OPERATIONS = {
    "add": {"value"},
    "remove": set[str](),
    "replace": {"value"},
    "move": {"from"},
    "copy": {"from"},
    "test": {"value"},
}


@dataclass(frozen=True)
class Merge:
    """A JSON merge patch (RFC 7386): maps are merged, null deletes, lists are replaced as a whole."""

    body: Mapping[str, Any]


@dataclass(frozen=True)
class Strategic:
    """A strategic merge patch: as `Merge`, but lists merge by key as their type says. Built-in types only."""

    body: Mapping[str, Any]


@dataclass(frozen=True)
class Json:
    """A JSON patch (RFC 6902): a list of operations, carried out all or none. `test` guards against races."""

    operations: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class _ApplyOptions:
    manager: str
    force: bool = False


@dataclass(frozen=True)
class Apply(_ApplyOptions):
    """Server-side apply: the fields of `object` become those that `manager` owns; the object is made if need
    be.

    With `force`, fields owned by others are taken over; otherwise they are a ConflictError.
    """

    object: Resource | Mapping[str, Any]


Patch: TypeAlias = Merge | Strategic | Json | Apply

_CONTENT_TYPES: dict[type, str] = {
    Merge: "application/merge-patch+json",
    Strategic: "application/strategic-merge-patch+json",
    Json: "application/json-patch+json",
    Apply: "application/apply-patch+yaml",
}


def content_type(patch: Patch) -> str:
    """Return the media type by which the server knows the kind of patch."""
    return _CONTENT_TYPES[type(patch)]


def query(patch: Patch) -> dict[str, str]:
    """Return the query parameters that belong to the patch."""
    if not isinstance(patch, Apply):
        return {}
    return {"fieldManager": checked_manager(patch.manager)} | ({"force": "true"} if patch.force else {})


def checked_manager(manager: str) -> str:
    """Return the name of a manager of fields; raises InvalidRequestError if no server accepts it."""
    if not 0 < len(manager) <= LONGEST_MANAGER or not manager.isprintable():
        raise InvalidRequestError(
            f"the manager {manager!r} must have 1 to {LONGEST_MANAGER} printable characters"
        )
    return manager


def body(patch: Patch) -> bytes:
    """Return the patch's bytes.

    Raises:
        InvalidRequestError: no server would accept it.
    """
    if isinstance(patch, Json):
        for operation in patch.operations:
            _check_operation(operation)
        return encode(patch.operations)
    if isinstance(patch, Apply):
        _check_apply(patch)
        return encode(patch.object)
    if not isinstance(patch.body, Mapping):
        raise InvalidRequestError(f"a {type(patch).__name__} patch is a map, not {type(patch.body).__name__}")
    return encode(patch.body)


def _check_operation(operation: Mapping[str, Any]) -> None:
    name = operation.get("op")
    if name not in OPERATIONS:
        raise InvalidRequestError(
            f"a JSON patch knows no operation {name!r}; it knows {', '.join(OPERATIONS)}"
        )
    if missing := ({"path"} | OPERATIONS[name]) - operation.keys():
        raise InvalidRequestError(f"the JSON patch operation {name!r} lacks {', '.join(sorted(missing))}")


def _check_apply(patch: Apply) -> None:
    checked_manager(patch.manager)
    if isinstance(patch.object, Mapping) and not {"apiVersion", "kind"} <= patch.object.keys():
        raise InvalidRequestError("Apply needs an object with apiVersion and kind")
