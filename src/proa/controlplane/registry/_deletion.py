"""What deletion asks of an object: preconditions, grace, finalizers; and when it can go. Pure."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from proa.controlplane import _errors as errors
from proa.controlplane._json import Document
from proa.controlplane.storage import Key, Stored

from . import _metadata
from ._options import DeleteOptions
from ._resource import Resource


def timestamp(moment: datetime | None = None) -> str:
    """A time as objects hold it: UTC, to the second."""
    return _second(int(time.time() if moment is None else moment.timestamp()))


@lru_cache(64)
def _second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def mark_deleted(resource: Resource, document: Document, options: DeleteOptions) -> bool:
    """Marks an object as to be deleted; returns whether that changed anything."""
    metadata = document["metadata"]
    grace = _grace_period(resource, document, options)
    first = "deletionTimestamp" not in metadata
    changed = _settle_finalizers(metadata, options.propagation)
    if first or (grace < metadata.get("deletionGracePeriodSeconds", 0)):
        # A shorter grace counts from when the first one did.
        began = datetime.now(UTC) if first else _deletion_began(metadata)
        metadata["deletionTimestamp"] = timestamp(began + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        changed = True
    if first and metadata.get("generation"):
        metadata["generation"] += 1
    if resource.kind == "Namespace" and not resource.group:
        document["status"]["phase"] = "Terminating"
    if first:
        resource.strategy.prepare_delete(document)
    return changed


def _deletion_began(metadata: Document) -> datetime:
    end = datetime.fromisoformat(metadata["deletionTimestamp"])
    return end - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)


def is_released(key: Key, document: Document) -> bool:
    """Whether an object that is being deleted can go: nothing and nobody holds it any more."""
    metadata = document["metadata"]
    held = metadata.get("finalizers") or (metadata.get("deletionGracePeriodSeconds") or 0) > 0
    if key.resource == "namespaces":
        held = held or document.get("spec", {}).get("finalizers")
    return "deletionTimestamp" in metadata and not held


def check_preconditions(resource: Resource, current: Stored, options: DeleteOptions) -> None:
    """Refuses to delete an object that is not the one meant.

    Raises:
        StatusError: 409.
    """
    # Kubernetes names the kind here, not the resource.
    what, name = errors.Qualified("", resource.kind), current.key.name
    if options.uid and options.uid != current.uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({current.uid}). "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict(what, name, why)
    if options.resource_version and options.resource_version != str(current.revision):
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({current.revision}). The object might have been modified"
        )
        raise errors.conflict(what, name, why)


def _grace_period(resource: Resource, document: Document, options: DeleteOptions) -> int:
    if not resource.strategy.graceful:
        return 0
    running = document["spec"].get("nodeName") and document["status"].get("phase") not in {
        "Succeeded",
        "Failed",
    }
    if not running:
        return 0
    if options.grace_period is not None:
        return options.grace_period
    period: int = document["spec"].get("terminationGracePeriodSeconds", 30)
    return max(period, 1) if period < 0 else period


def _settle_finalizers(metadata: Document, propagation: str) -> bool:
    """Records how dependents are to be treated, for the garbage collector; returns whether that changed
    anything.
    """
    if not propagation:
        return False
    before = metadata.get("finalizers", [])
    after = [name for name in before if name not in {_metadata.FOREGROUND, _metadata.ORPHAN}]
    wanted = {"Foreground": [_metadata.FOREGROUND], "Orphan": [_metadata.ORPHAN]}.get(propagation, [])
    after += wanted
    if after == before:
        return False
    metadata["finalizers"] = after
    if not after:
        del metadata["finalizers"]
    return True
