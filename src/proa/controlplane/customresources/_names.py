"""Which names a definition gets, and what its status says of that. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from proa.controlplane._json import Document
from proa.controlplane.registry._deletion import timestamp


@dataclass
class TakenNames:
    """The names that other resources of a group have."""

    resources: set[str] = field(default_factory=set)
    """Plural, singular and short names."""
    kinds: set[str] = field(default_factory=set)

    def take(self, names: Document) -> None:
        """Adds what another definition has been given."""
        words = (names.get("plural"), names.get("singular"), *names.get("shortNames", ()))
        self.resources.update(word for word in words if word)
        self.kinds.update(kind for kind in (names.get("kind"), names.get("listKind")) if kind)


def settle_names(definition: Document, taken: TakenNames) -> Document:
    """The status that a definition should have; the one that it has if that is right."""
    wanted, status = definition["spec"]["names"], definition.get("status") or {}
    accepted = dict(status.get("acceptedNames") or {})
    conflict = ""
    for field_name, reason, where in (
        ("plural", "PluralConflict", taken.resources),
        ("singular", "SingularConflict", taken.resources),
        ("shortNames", "ShortNamesConflict", taken.resources),
        ("kind", "KindConflict", taken.kinds),
        ("listKind", "ListKindConflict", taken.kinds),
    ):
        asked = wanted.get(field_name)
        clashing = sorted(where & set(asked if type(asked) is list else [asked] if asked else []))
        if not clashing:
            _put(accepted, field_name, asked)
        elif not conflict:
            conflict = reason
            message = f'"{clashing[0]}" is already in use'
    _put(accepted, "categories", wanted.get("categories"))
    conditions = list(status.get("conditions") or ())
    if conflict:
        conditions = with_condition(conditions, "NamesAccepted", "False", conflict, message)
        if not is_true(conditions, "Established"):
            why = "not all names are accepted"
            conditions = with_condition(conditions, "Established", "False", "NotAccepted", why)
    else:
        conditions = with_condition(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found")
        why = "the initial names have been accepted"
        if not is_true(conditions, "Established"):
            conditions = with_condition(conditions, "Established", "True", "InitialNamesAccepted", why)
    return {**status, "conditions": conditions, "acceptedNames": accepted}


def _put(names: Document, field_name: str, value: object) -> None:
    if value:
        names[field_name] = value
    else:
        names.pop(field_name, None)


def is_true(conditions: Iterable[Document], kind: str) -> bool:
    """Whether a condition holds."""
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def with_condition(
    conditions: list[Document], kind: str, status: str, reason: str, message: str
) -> list[Document]:
    """The conditions with one of them as it is now; the same ones if it is so already."""
    said = {"type": kind, "status": status, "reason": reason, "message": message}
    for one in conditions:
        if one["type"] == kind and all(one.get(key) == value for key, value in said.items()):
            return conditions
    before = next((one for one in conditions if one["type"] == kind), None)
    since = before["lastTransitionTime"] if before and before["status"] == status else timestamp()
    now = {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
    return [now if one["type"] == kind else one for one in conditions] + ([] if before else [now])
