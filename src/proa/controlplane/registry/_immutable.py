"""Fields that stay what they were when their object was created: by group and kind, path by path. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from proa.controlplane._errors import Cause, forbidden, invalid_value
from proa.controlplane._json import Document

ValidateUpdate = Callable[[Document, Document], list[Cause]]


def _dig(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document.get(part) if type(document) is dict else None
    return document


def fixed(*paths: str, why: str = "field is immutable") -> ValidateUpdate:
    """The fields keep their values; a change is an invalid value."""

    def check(new: Document, old: Document) -> list[Cause]:
        return [
            invalid_value(path, _dig(new, path), why) for path in paths if _dig(new, path) != _dig(old, path)
        ]

    return check


def forbidden_to_change(*paths: str, why: str) -> ValidateUpdate:
    """The fields keep their values; a change is forbidden."""

    def check(new: Document, old: Document) -> list[Cause]:
        return [forbidden(path, why) for path in paths if _dig(new, path) != _dig(old, path)]

    return check


def fixed_but(path: str, changeable: Iterable[str], why: str) -> ValidateUpdate:
    """A struct keeps its fields, but for a few."""
    free = frozenset(changeable)

    def check(new: Document, old: Document) -> list[Cause]:
        kept = [
            {field: value for field, value in (_dig(one, path) or {}).items() if field not in free}
            for one in (new, old)
        ]
        return [forbidden(path, why)] if kept[0] != kept[1] else []

    return check


def together(*checks: ValidateUpdate) -> ValidateUpdate:
    """All of several checks."""
    return lambda new, old: [cause for check in checks for cause in check(new, old)]


STATEFUL_SET = fixed_but(
    "spec",
    (
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ),
    "only replicas, ordinals, template, updateStrategy, revisionHistoryLimit, "
    "persistentVolumeClaimRetentionPolicy and minReadySeconds may change",
)
SELECTOR = fixed("spec.selector")
REVISION = fixed("data")
ROLE_BINDING = fixed("roleRef", why="cannot change roleRef")
PRIORITY_CLASS = together(
    forbidden_to_change("value", why="may not be changed in an update"), fixed("preemptionPolicy")
)
INGRESS_CLASS = fixed("spec.controller")
ENDPOINT_SLICE = fixed("addressType")
RUNTIME_CLASS = fixed("handler")
IP_ADDRESS = fixed("spec.parentRef")
CSI_DRIVER = fixed("spec.attachRequired", "spec.volumeLifecycleModes")
STORAGE_CAPACITY = fixed("nodeTopology", "storageClassName")
ATTRIBUTES_CLASS = forbidden_to_change("driverName", "parameters", why="updates to it are forbidden")
SPEC = fixed("spec")
