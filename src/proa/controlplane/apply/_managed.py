"""Who owns which fields of an object: the entries of `metadata.managedFields`, before and after a write.
Pure.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from proa.controlplane._json import Document

from ._fields import Fields, difference, includes, intersection, paths, union, well_formed
from ._shapes import Struct

MAX_UPDATERS = 10
"""How many managers that update (rather than apply) an object remembers one by one."""
BUCKET = "ancient-changes"
_METADATA: Fields = {"f:metadata": {"f:name": {}}}

Entries = list[Document]
"""`metadata.managedFields`."""


class Manager(msgspec.Struct, frozen=True):
    """Who writes: a name, and by which operation, API version and subresource."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def wrote(self, entry: Document) -> bool:
        """Whether an entry is this manager's. Those that apply are the same in every version."""
        return (
            entry.get("manager", "") == self.name
            and entry["operation"] == self.operation
            and entry.get("subresource", "") == self.subresource
            and (self.operation == "Apply" or entry.get("apiVersion", "") == self.api_version)
        )

    def entry(self, fields: Fields, time: str | None) -> Document:
        """The entry that says what the manager owns, since when."""
        entry: Document = {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": self.api_version,
        }
        if time is not None:
            entry["time"] = time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": fields}
        return entry | {"subresource": self.subresource} if self.subresource else entry


class Conflict(msgspec.Struct, frozen=True):
    """A field that another manager owns, and shall have another value."""

    entry: Document
    field: str

    @property
    def manager(self) -> str:
        """The owner as messages name it."""
        entry = self.entry
        said = f'"{entry.get("manager", "")}"'
        if entry.get("subresource"):
            said += f' with subresource "{entry["subresource"]}"'
        if entry["operation"] == "Update":
            said += f" using {entry.get('apiVersion', '')}"
            said += f" at {entry['time']}" if entry.get("time") else ""
        return said


class ConflictsError(Exception):
    """What is applied would change fields of other managers."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        super().__init__(conflicts)
        self.conflicts = conflicts


def entries_of(given: Any, live: Entries) -> Entries:
    """The entries to go on from: a client may edit them, or clear them with one empty entry; what it left
    out or what makes no sense counts as not given.
    """
    if not given or type(given) is not list or given == live:
        return live
    if given == [{}]:
        return []
    return given if all(map(_sound, given)) else live


def _sound(entry: Any) -> bool:
    return (
        type(entry) is dict
        and entry.get("operation") in {"Apply", "Update"}
        and entry.get("fieldsType") == "FieldsV1"
        and well_formed(entry.get("fieldsV1", {}))
    )


def after_update(
    entries: Entries, shape: Struct, old: Document, new: Document, manager: Manager, now: str
) -> Entries:
    """The entries after an update: the manager owns what it changed, nobody what is gone."""
    changed, removed = shape.compare(old, new)
    if changed is None and removed is None:
        return entries
    left = _without(entries, {}, removed) if removed else entries
    return after_claim(left, changed, manager, now) if changed else left


def after_claim(entries: Entries, claimed: Fields, manager: Manager, now: str | None) -> Entries:
    """The entries once a manager has taken fields for itself, from whoever had them."""
    mine = next((entry for entry in entries if manager.wrote(entry)), None)
    if mine is not None and mine.get("time") == now and includes(mine["fieldsV1"], claimed):
        others = [entry for entry in entries if entry is not mine]
        if all(claimed.keys().isdisjoint(entry["fieldsV1"]) for entry in others):
            return entries  # as after the manager's last write, a moment ago
    others = _without([entry for entry in entries if entry is not mine], claimed, {})
    fields = _with(mine["fieldsV1"], claimed) if mine else claimed
    return sorted(_capped([*others, manager.entry(fields, now)]), key=_order)


def _with(held: Fields, claimed: Fields) -> Fields:
    """What a manager has, and what it takes: most often, what it has."""
    return held if includes(held, claimed) else union(held, claimed)


def after_creation(shape: Struct, new: Document, manager: Manager, now: str) -> Entries:
    """The entries of an object that is created by other means than apply."""
    changed, _ = shape.compare({}, new)
    return [manager.entry(changed, now)] if changed else []


def apply(
    entries: Entries, shape: Struct, live: Document, config: Document, manager: Manager
) -> tuple[Document, Fields]:
    """The live object with a configuration applied to it, and the fields that this claims. What the
    manager claimed before and does not any more is gone, unless others own it, too.

    Raises:
        UndeclaredError: The configuration does not fit its type.
    """
    claimed = shape.claimed(config, "") or {}
    merged = shape.merge(live, config)
    before = next((entry["fieldsV1"] for entry in entries if manager.wrote(entry)), None)
    if before:
        kept = union(claimed, _METADATA)
        for entry in entries:
            kept = kept if manager.wrote(entry) else union(kept, entry["fieldsV1"])
        merged = shape.prune(merged, before, kept)
    return merged, claimed


def after_apply(
    entries: Entries,
    shape: Struct,
    old: Document,
    new: Document,
    claimed: Fields,
    manager: Manager,
    now: str,
    *,
    force: bool,
) -> Entries:
    """The entries after an application that made `new` of `old`.

    Raises:
        ConflictsError: It changes what others own, and is not to be forced.
    """
    changed, removed = shape.compare(old, new)
    mine = next((entry for entry in entries if manager.wrote(entry)), None)
    others = [entry for entry in entries if entry is not mine]
    if not force:
        conflicts = list(_conflicts(others, changed or {}))
        if conflicts:
            raise ConflictsError(conflicts)
    left = _without(others, changed or {}, removed or {})
    if claimed:
        unchanged = changed is None and removed is None
        time = (mine or {}).get("time") if unchanged else now
        left.append(manager.entry(claimed, time))
    return sorted(left, key=_order)


def _conflicts(entries: Entries, changed: Fields) -> Iterable[Conflict]:
    for entry in entries:
        for field in paths(intersection(entry["fieldsV1"], changed)):
            yield Conflict(entry, field)


def _without(entries: Entries, changed: Fields, removed: Fields) -> Entries:
    taken = union(changed, removed)
    left = [_less(entry, taken) for entry in entries]
    return [entry for entry in left if entry["fieldsV1"]]


def _less(entry: Document, fields: Fields) -> Document:
    """An entry that has lost fields; it may be empty then."""
    held: Fields = entry["fieldsV1"]
    if fields.keys().isdisjoint(held):
        return entry
    left = difference(held, fields)
    return entry if left == held else {**entry, "fieldsV1": left}


def _order(entry: Document) -> tuple[str, ...]:
    get = entry.get
    return (
        get("operation") or "",
        get("time") or "",
        get("manager") or "",
        get("apiVersion") or "",
        get("subresource") or "",
    )


def _capped(entries: Entries) -> Entries:
    """Entries of which those that updated longest ago, should they be too many, stand together, one for
    each API version.
    """
    if len(entries) <= MAX_UPDATERS:
        return entries
    updaters = sorted((entry for entry in entries if entry["operation"] == "Update"), key=_order)
    while len(updaters) > MAX_UPDATERS and (pair := _oldest_of_one_version(updaters)):
        first, second = pair
        bucket = Manager(BUCKET, "Update", first.get("apiVersion", ""))
        fields = union(first["fieldsV1"], second["fieldsV1"])
        rest = [entry for entry in updaters if entry is not first and entry is not second]
        updaters = [bucket.entry(fields, second.get("time")), *rest]
    return [entry for entry in entries if entry["operation"] != "Update"] + updaters


def _oldest_of_one_version(updaters: Entries) -> tuple[Document, Document] | None:
    seen: dict[str, Document] = {}
    for entry in updaters:
        version = entry.get("apiVersion", "")
        if version in seen:
            return seen[version], entry
        seen[version] = entry
    return None
