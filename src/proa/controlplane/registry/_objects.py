"""The object that a write asks for: as its type has it, with what only the server sets, and what is wrong
with it. Pure but for the time, and a new object's uid.
"""

from __future__ import annotations

import random
import uuid
from typing import Any

from proa.controlplane import _errors as errors
from proa.controlplane._json import Document
from proa.controlplane.schema import NonconformingError
from proa.controlplane.storage import Key

from . import _metadata
from ._deletion import timestamp
from ._options import Options
from ._outcome import MistypedError, check_name, undecodable
from ._resource import Resource
from .validation._objects import problems_of

MOST_UNKNOWN = 100
"""How many unknown fields clients are told of, as with Kubernetes."""


def conform(resource: Resource, document: Any, options: Options) -> tuple[Document, list[str]]:
    """A document as its type has it, and warnings about fields that it has not.

    Raises:
        StatusError: 400, a value has the wrong type, or a field is unknown and the client wants to know.
    """
    try:
        conforming = resource.conformer(document)
    except NonconformingError:
        mistyped = resource.problems(document).mistyped
        why = mistyped[0] if mistyped else "it does not have the type's form"
        raise MistypedError(undecodable(resource, why)) from None
    conforming.pop("kind", None)
    conforming.pop("apiVersion", None)
    if not resource.conformer.dropped or options.field_validation == "Ignore":
        return conforming, []
    unknown = [f'unknown field "{path}"' for path in resource.problems(document).unknown[:MOST_UNKNOWN]]
    if unknown and options.field_validation == "Strict":
        raise undecodable(resource, f"strict decoding error: {', '.join(unknown)}")
    return conforming, unknown


def new_object(
    resource: Resource, namespace: str, document: Document, options: Options
) -> tuple[Document, list[str]]:
    """A new object with what the server gives it (all but a generated name), and warnings.

    Raises:
        StatusError: 400, it says what only the server may say, or as for `conform`.
    """
    if resource.has_status and not resource.strategy.keeps_status:
        document.pop("status", None)
    new, warnings = conform(resource, document, options)
    metadata = new["metadata"]
    if metadata.get("resourceVersion"):
        raise errors.bad_request("resourceVersion should not be set on objects to be created")
    if resource.namespaced:
        if metadata.setdefault("namespace", namespace) != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
    else:
        metadata.pop("namespace", None)
    for name in (
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
    ):
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.UUID(int=random.getrandbits(128), version=4))
    metadata["creationTimestamp"] = timestamp()
    if resource.strategy.generation:
        metadata["generation"] = 1
    return new, warnings


def check(resource: Resource, new: Document, old: Document | None, subresource: str = "") -> None:
    """Refuses an object that is wrong.

    Raises:
        StatusError: 422, with all causes.
    """
    causes = problems_of(resource, new, old, subresource)
    if causes:
        raise errors.invalid(resource.qualified_kind, new["metadata"].get("name", ""), causes)


def settle_identity(resource: Resource, new: Document, old: Document, key: Key) -> None:
    """Gives an update the identity of what it updates.

    Raises:
        StatusError: 400 it has another name or namespace, 409 another version or uid, 422 no version where
            its kind needs one.
    """
    metadata = new["metadata"]
    check_name(metadata.get("name", ""), key.name)
    if resource.namespaced and metadata.setdefault("namespace", key.namespace) != key.namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    version = metadata.get("resourceVersion", "")
    if version in {"", "0"} and not resource.strategy.unconditional:
        cause = errors.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise errors.invalid(resource.qualified, key.name, [cause])
    if version not in {"", "0", old["metadata"]["resourceVersion"]}:
        raise errors.conflict(resource.qualified, key.name)
    if metadata.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        why = f"the object's uid is {old['metadata']['uid']}, not {metadata['uid']}"
        raise errors.conflict(resource.qualified, key.name, why)
    _metadata.keep_system_fields(metadata, old["metadata"])
    metadata["resourceVersion"] = old["metadata"]["resourceVersion"]


def settle_main(resource: Resource, new: Document, old: Document) -> None:
    """Leaves an update of the main resource what it may change: not the status."""
    if resource.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    resource.strategy.prepare_update(new, old)


def status_only(resource: Resource, changed: Document, old: Document) -> Document | None:
    """The new object, if its change is one of the status alone, and a sound one: what most status writes are.

    What the status had before is taken over as it is, for it has been made to conform when it was written.
    None if there is more to look at; the whole object is looked at then.
    """
    conformer, status = resource.status_conformer, changed.get("status")
    if conformer is None or type(status) is not dict:
        return None
    for name, value in changed.items():
        if name not in _NAMING and value is not old.get(name) and value != old.get(name):
            return None
    before = old.get("status", _NOTHING)
    same = {name: value for name, value in status.items() if value is before.get(name) and value is not None}
    try:
        status = conformer({name: value for name, value in status.items() if name not in same})
    except NonconformingError:
        return None
    return None if conformer.dropped else {**old, "metadata": dict(old["metadata"]), "status": status | same}


_NAMING = frozenset({"status", "kind", "apiVersion"})
_NOTHING: Document = {}


def without_unchanged(changed: Document, old: Document) -> Document:
    """An object whose status is to change, without what a change of the status leaves alone anyway."""
    return {
        name: value
        for name, value in changed.items()
        if name in {"metadata", "status"} or value is not old.get(name)
    }


def counts(resource: Resource, new: Document, old: Document) -> bool:
    """Whether a change counts as a new generation."""
    ignored = {"metadata", "kind", "apiVersion", *(["status"] if resource.has_status else ())}
    if any(new.get(name) != old.get(name) for name in {*new, *old} - ignored):
        return True
    if not resource.strategy.annotations_count:
        return False
    return bool(new["metadata"].get("annotations") != old["metadata"].get("annotations"))
