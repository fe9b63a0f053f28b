"""What may stand in an object's metadata, checked on creation and update. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proa.controlplane._errors import Cause, forbidden, invalid_value, required, too_long
from proa.controlplane._json import Document

from ._names import NameRule, base_of_generated, label_value, qualified_name

MAX_ANNOTATIONS = 256 * 1024
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_OWNER_BANNED = ("v1", "Event")
_UNCHANGEABLE = ("deletionTimestamp", "deletionGracePeriodSeconds")


@dataclass(frozen=True, slots=True)
class Rechecks:
    """How often Kubernetes looks at what an update makes of an object, over and above the two times that it
    looks at everybody's metadata. It names a cause each time, and clients see that.
    """

    updated: int = 1
    """Its metadata, as something that has changed."""
    whole: int = 0
    """Its metadata, as if it were new."""
    fields: int = 1
    """Its own fields."""


ONCE = Rechecks()


def validate_metadata(metadata: Document, name_rule: NameRule, *, standard_finalizers: bool) -> list[Cause]:
    """All that is wrong with a new object's metadata."""
    found = _validate_names(metadata, name_rule) + _validate_content(metadata)
    finalizers = metadata.get("finalizers")
    if finalizers:
        found += _validate_finalizers(finalizers)
        found += _unknown_finalizers(finalizers) if standard_finalizers else []
    return found


def _validate_content(metadata: Document) -> list[Cause]:
    found = validate_labels(metadata["labels"], "metadata.labels") if "labels" in metadata else []
    if "annotations" in metadata:
        found += validate_annotations(metadata["annotations"], "metadata.annotations")
    if "ownerReferences" in metadata:
        found += _validate_owners(metadata["ownerReferences"], "metadata.ownerReferences")
    return found


def _validate_names(metadata: Document, name_rule: NameRule) -> list[Cause]:
    name = metadata.get("name", "")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    found = []
    base = metadata.get("generateName", "")
    if base:
        problems = base_of_generated(name_rule)(base)
        found += [invalid_value("metadata.generateName", base, problem) for problem in problems]
    return found + [invalid_value("metadata.name", name, problem) for problem in name_rule(name)]


def validate_labels(labels: dict[str, Any], field: str) -> list[Cause]:
    """All that is wrong with a map of labels."""
    found = []
    for key, value in labels.items():
        found += [invalid_value(field, key, problem) for problem in qualified_name(key)]
        found += [invalid_value(field, value, problem) for problem in label_value(value)]
    return found


def validate_annotations(annotations: dict[str, str], field: str) -> list[Cause]:
    """All that is wrong with a map of annotations."""
    found = []
    for key in annotations:
        found += [invalid_value(field, key, problem) for problem in qualified_name(key.lower())]
    size = sum(len(key) + len(value) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS:
        found.append(too_long(field, MAX_ANNOTATIONS))
    return found


def _validate_finalizers(finalizers: list[str]) -> list[Cause]:
    found = [
        invalid_value("metadata.finalizers", finalizer, problem)
        for finalizer in finalizers
        for problem in qualified_name(finalizer)
    ]
    if FOREGROUND in finalizers and ORPHAN in finalizers:
        message = f"finalizer {FOREGROUND} and {ORPHAN} cannot both be set"
        found.append(invalid_value("metadata.finalizers", finalizers, message))
    return found


def _unknown_finalizers(finalizers: list[str]) -> list[Cause]:
    why = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        invalid_value(f"metadata.finalizers[{index}]", finalizer, why)
        for index, finalizer in enumerate(finalizers)
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS
    ]


def _validate_owners(owners: list[Document], field: str) -> list[Cause]:
    """Kubernetes names the list, not the owner."""
    found, controllers = [], 0
    for owner in owners:
        group, slash, version = owner.get("apiVersion", "").rpartition("/")
        if not version or "/" in group or (slash and not group):
            why = "version must not be empty"
            found.append(invalid_value(f"{field}.apiVersion", owner.get("apiVersion", ""), why))
        empty = [name for name in ("kind", "name", "uid") if not owner.get(name)]
        found += [invalid_value(f"{field}.{name}", "", "must not be empty") for name in empty]
        if (owner.get("apiVersion"), owner.get("kind")) == _OWNER_BANNED:
            found.append(invalid_value(field, owner, "an event cannot be an owner"))
        controllers += bool(owner.get("controller"))
    why = "Only one reference can have Controller set to true"
    return found + [invalid_value(field, owners, why)] * (controllers - 1)


def validate_metadata_update(
    new: Document, old: Document, rechecks: Rechecks, *, standard_finalizers: bool
) -> list[Cause]:
    """All that is wrong with metadata after an update."""
    if _same(new, old):  # most often: an update of the spec or the status
        return _changed(new, old) * (1 + rechecks.updated)
    found = _validate_content(new) * (2 + rechecks.updated + rechecks.whole)
    finalizers = new.get("finalizers")
    if finalizers:
        found += _validate_finalizers(finalizers) * (1 + rechecks.whole)
        if standard_finalizers:
            found += _unknown_finalizers(finalizers) * (rechecks.updated + rechecks.whole)
    return found + (_new_finalizers(new, old) + _changed(new, old)) * (1 + rechecks.updated)


def _same(new: Document, old: Document) -> bool:
    return (
        new.get("labels") == old.get("labels")
        and new.get("annotations") == old.get("annotations")
        and new.get("finalizers") == old.get("finalizers")
        and new.get("ownerReferences") == old.get("ownerReferences")
    )


def _changed(new: Document, old: Document) -> list[Cause]:
    return [
        invalid_value(f"metadata.{field}", new.get(field), "field is immutable")
        for field in _UNCHANGEABLE
        if new.get(field) != old.get(field)
    ]


def _new_finalizers(new: Document, old: Document) -> list[Cause]:
    if not old.get("deletionTimestamp"):
        return []
    added = [name for name in new.get("finalizers", []) if name not in old.get("finalizers", [])]
    if not added:
        return []
    why = f"an object that is being deleted takes no new finalizers: {', '.join(added)}"
    return [forbidden("metadata.finalizers", why)]


KEPT = (
    "uid",
    "creationTimestamp",
    "generation",
    "namespace",
)
"""What only the server sets."""


def keep_system_fields(new: Document, old: Document) -> None:
    """Puts back what only the server may set, whatever an update says."""
    for field in KEPT:
        if field in old:
            new[field] = old[field]
        else:
            new.pop(field, None)
    if "deletionTimestamp" in old:
        new["deletionTimestamp"] = old["deletionTimestamp"]
    if "deletionGracePeriodSeconds" in old:
        new.setdefault("deletionGracePeriodSeconds", old["deletionGracePeriodSeconds"])
