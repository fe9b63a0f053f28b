"""Recent changes, by resource: what a watch resumes from and a consistent continuation is read from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from ._objects import Key, Stored

WINDOW = 4096
"""How many changes of each resource are remembered."""


class CompactedError(Exception):
    """The changes since that revision are no longer remembered; the client has to list again."""


class Event(msgspec.Struct, frozen=True):
    """One change of one object: from `previous` to `current`; one of them is None for a creation or a
    removal.

    `last` is the object's last state, numbered with the revision of the change.
    """

    key: Key
    revision: int
    previous: Stored | None
    current: Stored | None
    last: Stored


class History:
    """The last changes of each resource. `started` is the revision up to which nothing is remembered, by
    resource.
    """

    def __init__(self, started: dict[str, int] | None = None, window: int = WINDOW) -> None:
        self._events: dict[str, deque[Event]] = {}
        self._forgotten = dict(started or {})
        self._floor = 0
        self._window = window

    def add(self, event: Event) -> None:
        """Remembers a change; revisions must grow."""
        events = self._events.get(event.key.resource)
        if events is None:
            events = self._events[event.key.resource] = deque()
        events.append(event)
        if len(events) > self._window:
            self._forgotten[event.key.resource] = events.popleft().revision

    def forget(self, revision: int) -> None:
        """Forgets the changes of all resources up to a revision: who goes on from before it lists again."""
        self._floor = revision
        for events in self._events.values():
            events.clear()

    def since(self, resource: str, revision: int) -> list[Event]:
        """The changes after a revision, in order.

        Raises:
            CompactedError: Not all of them are remembered.
        """
        if revision < max(self._floor, self._forgotten.get(resource, 0)):
            raise CompactedError
        newest_first = []
        for event in reversed(self._events.get(resource, ())):
            if event.revision <= revision:
                break
            newest_first.append(event)
        return newest_first[::-1]

    def rewind(self, resource: str, revision: int, objects: Iterable[Stored]) -> Iterator[Stored]:
        """The objects of a resource as they were at a revision, in list order, from what they are now.

        Raises:
            CompactedError: The changes since are not all remembered.
        """
        events = self.since(resource, revision)
        if not events:
            yield from objects
            return
        by_key = {stored.key: stored for stored in objects}
        for event in reversed(events):
            by_key.pop(event.key, None)
            if event.previous is not None:
                by_key[event.key] = event.previous
        for key in sorted(by_key):
            yield by_key[key]
