"""Who owns the fields of a resource's objects: the bridge from the registry's writes to `apply`."""

from __future__ import annotations

from proa.controlplane import _errors as errors
from proa.controlplane._json import Document, UnreadableError, decode
from proa.controlplane.apply import (
    ConflictsError,
    Entries,
    Fields,
    Manager,
    Struct,
    UndeclaredError,
    after_apply,
    after_claim,
    after_creation,
    after_update,
    apply,
    entries_of,
    paths,
)

from ._deletion import timestamp
from ._options import Options
from ._resource import Resource


def own_created(resource: Resource, new: Document, options: Options, now: str) -> None:
    """Notes who creates an object."""
    metadata = new["metadata"]
    given = entries_of(metadata.pop("managedFields", None), [])
    shape, manager = resource.shape(), _updater(resource, options)
    if given:
        _set(metadata, after_update(given, shape, {}, new, manager, now))
    else:
        _set(metadata, after_creation(shape, new, manager, now))


def own_updated(
    resource: Resource, new: Document, old: Document, options: Options, subresource: str, now: str
) -> None:
    """Notes who changes what of an object."""
    live = old["metadata"].get("managedFields", [])
    given = live if subresource else new["metadata"].get("managedFields")
    shape = resource.shape(subresource)
    manager = _updater(resource, options, subresource)
    _set(new["metadata"], after_update(entries_of(given, live), shape, old, new, manager, now))


def apply_to(
    resource: Resource, old: Document, config: Document, options: Options, subresource: str
) -> tuple[Document, Fields]:
    """The object with a configuration applied, and what this claims.

    Raises:
        StatusError: 400, the configuration does not fit its type.
    """
    shape = resource.shape(subresource)
    entries = entries_of(old.get("metadata", {}).get("managedFields"), [])
    try:
        return apply(entries, shape, old, config, _applier(resource, options, subresource))
    except UndeclaredError as error:
        raise errors.bad_request(f"failed to create typed patch object: {error}") from error


def own_applied(
    resource: Resource,
    new: Document,
    old: Document,
    claimed: Fields,
    options: Options,
    subresource: str,
    now: str,
) -> None:
    """Notes who applied what.

    Raises:
        StatusError: 409, it belongs to others.
    """
    entries = entries_of(old.get("metadata", {}).get("managedFields"), [])
    shape, manager = resource.shape(subresource), _applier(resource, options, subresource)
    try:
        entries = after_apply(entries, shape, old, new, claimed, manager, now, force=options.force)
    except ConflictsError as error:
        if options.manager != KUBECTL or not _all_applied_by_client(error, shape, old):
            raise _conflict(error) from error
        entries = after_apply(entries, shape, old, new, claimed, manager, now, force=True)
    _set(new["metadata"], entries)


KUBECTL = "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _all_applied_by_client(error: ConflictsError, shape: Struct, old: Document) -> bool:
    """Whether all conflicts are with what kubectl itself applied before it let the server do that."""
    text = (old.get("metadata", {}).get("annotations") or {}).get(_LAST_APPLIED, "")
    try:
        applied = shape.claimed(decode(text.encode()), "") or {}
    except (UnreadableError, UndeclaredError):
        return False
    return {conflict.field for conflict in error.conflicts} <= set(paths(applied))


def _set(metadata: Document, entries: Entries) -> None:
    if entries:
        metadata["managedFields"] = entries
    else:
        metadata.pop("managedFields", None)


def _updater(resource: Resource, options: Options, subresource: str = "") -> Manager:
    return Manager(options.manager, "Update", resource.api_version, subresource)


def _applier(resource: Resource, options: Options, subresource: str) -> Manager:
    return Manager(options.manager, "Apply", resource.api_version, subresource)


def _conflict(error: ConflictsError) -> errors.StatusError:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {conflict.manager}",
            "field": conflict.field,
        }
        for conflict in error.conflicts
    ]
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    listed = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    return errors.StatusError(409, "Conflict", f"Apply failed with {count}: {listed}", {"causes": causes})


def own_scaled(resource: Resource, new: Document, old: Document, options: Options, *, applies: bool) -> None:
    """Notes who set the replicas by way of the scale subresource (with no time, as Kubernetes does).

    Raises:
        StatusError: 409, they are applied, and belong to others.
    """
    replicas: Fields = {}
    for name in reversed(resource.scale.wanted):
        replicas = {f"f:{name}": replicas}
    if applies:
        own_applied(resource, new, old, replicas, options, "scale", timestamp())
    elif resource.scale.count(new) != resource.scale.count(old):
        entries = entries_of(old["metadata"].get("managedFields"), [])
        manager = _updater(resource, options, "scale")
        _set(new["metadata"], after_claim(entries, replicas, manager, None))
