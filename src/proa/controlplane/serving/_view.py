"""What a watcher sees of changes: of which resource, where, selected how, in which form."""

from __future__ import annotations

from dataclasses import dataclass

from proa.controlplane._json import Document
from proa.controlplane.registry import Resource
from proa.controlplane.storage import Event, Stored

from ._listing import ListOptions
from ._representation import Representation

_INITIAL_END = "k8s.io/initial-events-end"

Frames = dict[tuple[object, ...], bytes]
"""Encodings of one event, shared between the views that it concerns."""


@dataclass(frozen=True)
class View:
    """What a watcher sees: of which resource, where, selected how, in which form."""

    resource: Resource
    namespace: str
    options: ListOptions
    form: Representation
    selectors: tuple[str, str] = ("", "")
    """The options' selectors as the client wrote them: by labels, by fields."""

    @property
    def key(self) -> tuple[object, ...]:
        """What it has in common with others who see the same."""
        return id(self.resource), self.namespace, self.form, self.selectors

    def frame(self, event: Event, frames: Frames) -> bytes | None:
        """The event as the watcher sees it, encoded; None if it does not concern it."""
        if self.namespace and event.key.namespace != self.namespace:
            return None
        if event.previous is not None and event.current is not None and self.options.selects_all:
            return self._encoded("MODIFIED", event.current.tail, frames)
        before = event.previous is not None and self.options.selects(self.resource, event.previous)
        after = event.current is not None and self.options.selects(self.resource, event.current)
        if after and event.current is not None:
            return self._encoded("MODIFIED" if before else "ADDED", event.current.tail, frames)
        if before and event.previous is not None:
            last = event.last if event.current is None else None
            return self._deleted(event, last or event.previous, frames)
        return None

    def added(self, stored: Stored) -> bytes:
        """An object that was there before the watch began."""
        return frame("ADDED", self.form.one(self.resource, stored.tail))

    def _encoded(self, kind: str, tail: bytes, frames: Frames) -> bytes:
        key = (kind, self.form, self.resource.group, self.resource.version)
        encoded = frames.get(key)
        if encoded is None:
            encoded = frames[key] = frame(kind, self.form.one(self.resource, tail))
        return encoded

    def _deleted(self, event: Event, last: Stored, frames: Frames) -> bytes:
        if last.revision == event.revision:
            return self._encoded("DELETED", last.tail, frames)
        key = ("LEFT", self.form, self.resource.group, self.resource.version)
        if key not in frames:  # it left the selection: its last state within, numbered as the change
            document = last.document()
            renumbered = Stored.encode(event.key, document, event.revision)
            frames[key] = frame("DELETED", self.form.one(self.resource, renumbered.tail))
        return frames[key]

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """A bookmark at a revision."""
        metadata: Document = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {_INITIAL_END: "true"}
        return frame("BOOKMARK", self.form.bookmark(self.resource, metadata))


def frame(kind: str, encoded: bytes) -> bytes:
    """One event of a watch stream."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), encoded)
