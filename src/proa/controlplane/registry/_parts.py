"""Which part of an object a subresource stands for: the rest stays what it was. Pure."""

from __future__ import annotations

from collections.abc import Callable

from proa.controlplane._json import Document

from ._resource import Resource


def settle_part(subresource: str, resource: Resource, new: Document, old: Document) -> Document:
    """The old object with that part of it which the subresource can change taken from the new one."""
    return _PARTS.get(subresource, _status)(resource, new, old)


def _status(resource: Resource, new: Document, old: Document) -> Document:
    kept = {**old, "metadata": dict(old["metadata"]), "status": new.get("status", {})}
    for name in _SHARED - set(resource.strategy.status_keeps):
        if name in new["metadata"]:
            kept["metadata"][name] = new["metadata"][name]
        else:
            kept["metadata"].pop(name, None)
    return kept


_SHARED = frozenset({"labels", "annotations", "finalizers"})
"""What of the metadata the status subresource can change, too."""


def _binding(_resource: Resource, new: Document, _old: Document) -> Document:
    return new


def _ephemeral_containers(_resource: Resource, new: Document, old: Document) -> Document:
    spec = {**old["spec"], "ephemeralContainers": new["spec"].get("ephemeralContainers", [])}
    if not spec["ephemeralContainers"]:
        del spec["ephemeralContainers"]
    return {**old, "spec": spec}


def _resize(_resource: Resource, new: Document, old: Document) -> Document:
    spec = dict(old["spec"])
    for group in ("containers", "initContainers"):
        wanted = {one["name"]: one.get("resources", {}) for one in new["spec"].get(group, ())}
        if group in spec:
            spec[group] = [
                one | {"resources": wanted.get(one["name"], one["resources"])} for one in spec[group]
            ]
    return {**old, "spec": spec}


_PARTS: dict[str, Callable[[Resource, Document, Document], Document]] = {
    "binding": _binding,
    "ephemeralcontainers": _ephemeral_containers,
    "resize": _resize,
}
