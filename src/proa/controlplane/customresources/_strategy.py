"""What is special about definitions as objects: how they are prepared, checked, and deleted. Pure."""

from __future__ import annotations

from proa.controlplane._errors import Cause, invalid_value
from proa.controlplane._json import Document
from proa.controlplane.registry._metadata import CLEANUP

from ._names import is_true, with_condition
from ._structural import validate_definition


def prepare_definition(definition: Document) -> None:
    """The status is empty but for the version that is stored."""
    stored = [one["name"] for one in definition["spec"].get("versions", ()) if one.get("storage")]
    names = {"plural": "", "kind": ""}
    definition["status"] = {"conditions": None, "acceptedNames": names, "storedVersions": stored}


def prepare_definition_update(new: Document, old: Document) -> None:
    """Notes a version that is stored from now on."""
    stored = [one["name"] for one in new["spec"].get("versions", ()) if one.get("storage")]
    status = dict(old.get("status") or {})
    known = status.get("storedVersions") or []
    status["storedVersions"] = [*known, *(one for one in stored if one not in known)]
    new["status"] = status


def prepare_definition_deletion(definition: Document) -> None:
    """The instances go first: a finalizer waits for that."""
    metadata, status = definition["metadata"], definition.setdefault("status", {})
    del metadata["deletionGracePeriodSeconds"]  # Kubernetes marks definitions apart: no grace, no generation
    metadata["generation"] -= 1
    if CLEANUP not in metadata.get("finalizers", ()):
        metadata["finalizers"] = [*metadata.get("finalizers", ()), CLEANUP]
    why = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    conditions = list(status.get("conditions") or ())
    status["conditions"] = with_condition(conditions, "Terminating", "True", "InstanceDeletionPending", why)


def validate_definition_update(new: Document, old: Document) -> list[Cause]:
    """Where objects are, and what they are, stays, once there may be some; so do stored versions."""
    spec, before = new["spec"], old["spec"]
    fixed = [("group", spec.get("group"), before.get("group"))]
    if is_true((old.get("status") or {}).get("conditions") or (), "Established"):
        names, were = spec.get("names", {}), before.get("names", {})
        fixed += [("scope", spec.get("scope"), before.get("scope"))]
        fixed += [(f"names.{key}", names.get(key), were.get(key)) for key in ("kind", "plural")]
    found = [
        invalid_value(f"spec.{name}", value, "field is immutable")
        for name, value, was in fixed
        if value != was
    ]
    present = {version.get("name") for version in spec.get("versions", ())}
    for index, name in enumerate((new.get("status") or {}).get("storedVersions") or ()):
        if name not in present:
            why = "must appear in spec.versions"
            found.append(invalid_value(f"status.storedVersions[{index}]", name, why))
    return found


def validate(definition: Document) -> list[Cause]:
    """All that is wrong with a definition."""
    return validate_definition(definition)
