"""What an API server keeps: objects with one counter of versions, and the recent past."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

Document = dict[str, Any]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The time at which the event loop's clock shows 0, so that a run can be repeated to the byte."""


class Key(NamedTuple):
    """Which object: the resource is `group/plural`."""

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """One step of the past; `before` is None for what was created, `after` for what was removed."""

    version: int
    key: Key
    before: Document | None
    after: Document | None
    last: Document
    """The object as it is told of: for one removed, its last state, numbered with the removal."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure of this program
    """The server refuses."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Storage:
    """Objects as an API server keeps them: never changed in place, so that they can be handed out."""

    def __init__(self) -> None:
        self.version = 1
        self.oldest = 1
        """A watch that resumes before this version is told 410."""
        self.history: list[Change] = []
        self._objects: dict[Key, Document] = {}
        self._uids = 0

    def get(self, key: Key) -> Document:
        """Return an object; raises Refusal 404."""
        if key not in self._objects:
            raise Refusal(404, "NotFound", f'{key.resource.rpartition("/")[2]} "{key.name}" not found')
        return self._objects[key]

    def all(self, resource: str, namespace: str) -> Iterator[tuple[Key, Document]]:
        """Yield the objects of a resource, by namespace and name; all namespaces if none is given."""
        for key in sorted(self._objects):
            if key.resource == resource and namespace in {"", key.namespace}:
                yield key, self._objects[key]

    def create(self, key: Key, document: Document) -> Document:
        """Add an object; raises Refusal 409."""
        if key in self._objects:
            what = key.resource.rpartition("/")[2]
            raise Refusal(409, "AlreadyExists", f'{what} "{key.name}" already exists')
        self._uids += 1
        metadata = {
            **document.get("metadata", {}),
            "name": key.name,
            "uid": f"00000000-0000-4000-8000-{self._uids:012}",
            "creationTimestamp": now(),
            "generation": 1,
        }
        if key.namespace:
            metadata["namespace"] = key.namespace
        for field in ("resourceVersion", "deletionTimestamp", "managedFields"):
            metadata.pop(field, None)
        return self._put(key, {**document, "metadata": metadata})

    def update(self, key: Key, change: Callable[[Document], Document], *, status: bool) -> Document:
        """Change an object, or only its status; what must not change does not.

        Raises:
            Refusal: 404; 409 if `change` leaves another resourceVersion or uid than the object has.
        """
        before = self.get(key)
        after = change(before)
        old, new = before["metadata"], after.get("metadata", {})
        if new.get("resourceVersion", old["resourceVersion"]) != old["resourceVersion"]:
            raise Refusal(409, "Conflict", f'"{key.name}" has been modified; please apply your changes to it')
        if new.get("uid", old["uid"]) != old["uid"]:
            raise Refusal(409, "Conflict", f'"{key.name}" is another object by now')
        wanted = _status_only(before, after) if status else _but_status(before, after)
        if wanted == before:
            return before
        if _gone(wanted):
            return self._remove(key, wanted)
        return self._put(key, wanted)

    def delete(self, key: Key, preconditions: Mapping[str, str]) -> Document:
        """Remove an object, or mark it as going where finalizers hold it; raises Refusal 404 and 409."""
        document = self.get(key)
        metadata = document["metadata"]
        for field in ("uid", "resourceVersion"):
            if preconditions.get(field, metadata[field]) != metadata[field]:
                raise Refusal(409, "Conflict", f"the {field} in the precondition is not the object's")
        if not metadata.get("finalizers"):
            return self._remove(key, document)
        if "deletionTimestamp" in metadata:
            return document
        marked = {**metadata, "deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}
        marked["generation"] += 1
        return self._put(key, {**document, "metadata": marked})

    def forget(self) -> None:
        """Forget the past."""
        self.oldest = self.version
        self.history.clear()

    def _put(self, key: Key, document: Document) -> Document:
        before = self._objects.get(key)
        stored = self._numbered(document)
        self._objects[key] = stored
        self.history.append(Change(self.version, key, before, stored, stored))
        return stored

    def _remove(self, key: Key, document: Document) -> Document:
        before = self._objects.pop(key)
        last = self._numbered(document)
        self.history.append(Change(self.version, key, before, None, last))
        return last

    def _numbered(self, document: Document) -> Document:
        self.version += 1
        return {**document, "metadata": {**document["metadata"], "resourceVersion": str(self.version)}}


def now() -> str:
    """Return the time, by the event loop's clock."""
    at = EPOCH + timedelta(seconds=int(asyncio.get_running_loop().time()))
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _status_only(before: Document, after: Document) -> Document:
    rest = {key: value for key, value in before.items() if key != "status"}
    return {**rest, "status": after["status"]} if after.get("status") else rest


def _but_status(before: Document, after: Document) -> Document:
    kept = (
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "resourceVersion",
        "name",
        "namespace",
    )
    metadata = {key: value for key, value in after.get("metadata", {}).items() if key not in kept and value}
    metadata |= {key: before["metadata"][key] for key in kept if key in before["metadata"]}
    document = {key: value for key, value in after.items() if key != "status"} | {"metadata": metadata}
    if "status" in before:
        document["status"] = before["status"]
    if _content(document) != _content(before):
        metadata["generation"] += 1
    return document


def _content(document: Document) -> Document:
    return {key: value for key, value in document.items() if key not in {"metadata", "status"}}


def _gone(document: Document) -> bool:
    metadata = document["metadata"]
    return "deletionTimestamp" in metadata and not metadata.get("finalizers")
