"""What may stand in an object's metadata, checked on creation and update. Pure."""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import Cause, forbidden, invalid_value, required
from proa.controlplane._json import Document

from ._names import NameRule, label_value, qualified_name

MAX_ANNOTATIONS = 256 * 1024
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion", CLEANUP})
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


def validate_metadata(metadata: Document, name_rule: NameRule) -> list[Cause]:
    """All that is wrong with a new object's metadata."""
    found = _validate_names(metadata, name_rule)
    return found + _validate_content(metadata) + _validate_finalizers(metadata.get("finalizers", []))


def _validate_content(metadata: Document) -> list[Cause]:
    found = validate_labels(metadata.get("labels", {}), "metadata.labels")
    found += _validate_annotations(metadata.get("annotations", {}))
    for index, owner in enumerate(metadata.get("ownerReferences", [])):
        found += _validate_owner(owner, f"metadata.ownerReferences[{index}]")
    return found + _validate_controllers(metadata.get("ownerReferences", []))


def _validate_names(metadata: Document, name_rule: NameRule) -> list[Cause]:
    name = metadata.get("name", "")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    found = []
    base = metadata.get("generateName", "")
    if base:
        stem = base.rstrip("-") or base
        found += [invalid_value("metadata.generateName", base, problem) for problem in name_rule(stem)]
    return found + [invalid_value("metadata.name", name, problem) for problem in name_rule(name)]


def validate_labels(labels: dict[str, Any], field: str) -> list[Cause]:
    """All that is wrong with a map of labels."""
    found = []
    for key, value in labels.items():
        found += [invalid_value(field, key, problem) for problem in qualified_name(key)]
        found += [invalid_value(field, value, problem) for problem in label_value(value)]
    return found


def _validate_annotations(annotations: dict[str, str]) -> list[Cause]:
    found = []
    for key in annotations:
        found += [
            invalid_value("metadata.annotations", key, problem) for problem in qualified_name(key.lower())
        ]
    size = sum(len(key) + len(value) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS:
        message = f"Too long: may not be more than {MAX_ANNOTATIONS} bytes"
        found.append(Cause("FieldValueTooLong", "metadata.annotations", message))
    return found


def _validate_finalizers(finalizers: list[str]) -> list[Cause]:
    found = []
    for index, finalizer in enumerate(finalizers):
        field = f"metadata.finalizers[{index}]"
        problems = qualified_name(finalizer)
        if not problems and "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            problems = ("name is neither a standard finalizer name nor is it fully qualified",)
        found += [invalid_value(field, finalizer, problem) for problem in problems]
    if FOREGROUND in finalizers and ORPHAN in finalizers:
        message = f"finalizer {FOREGROUND} and {ORPHAN} cannot both be set"
        found.append(invalid_value("metadata.finalizers", finalizers, message))
    return found


def _validate_owner(owner: Document, field: str) -> list[Cause]:
    found = []
    if not owner.get("apiVersion"):
        found.append(invalid_value(f"{field}.apiVersion", "", "version must not be empty"))
    for name in ("kind", "name", "uid"):
        found += [] if owner.get(name) else [invalid_value(f"{field}.{name}", "", "must not be empty")]
    return found


def _validate_controllers(owners: list[Document]) -> list[Cause]:
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) <= 1:
        return []
    why = "Only one reference can have Controller set to true"
    return [invalid_value("metadata.ownerReferences", owners, why)]


def validate_metadata_update(new: Document, old: Document, *, revalidated: bool) -> list[Cause]:
    """All that is wrong with metadata after an update.

    Kubernetes looks at it several times over, and names a cause each time: clients see that, so it is
    kept. `revalidated` kinds are checked once more as if they were new.
    """
    content = _validate_content(new)
    found = content * (4 if revalidated else 3)
    found += _validate_finalizers(new.get("finalizers", [])) * (2 if revalidated else 1)
    return found + _new_finalizers(new, old) * 2


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
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
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
