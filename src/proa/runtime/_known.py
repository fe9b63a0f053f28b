"""What a watcher has told of, so that nothing disappears without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic

from proa.runtime._events import Apply, Delete, Event, Init, InitApply, InitDone
from proa.runtime._object import K, ObjectRef


class Known(Generic[K]):
    """The objects that were announced and not yet deleted.

    While a watch was down, objects can vanish, or be replaced by another of their name. A list does not tell;
    comparing it with what was known does.
    """

    def __init__(self) -> None:
        self._objects: dict[ObjectRef, K] = {}
        self._listed: set[ObjectRef] = set()

    def complete(self, events: Iterable[Event[K]]) -> Iterator[Event[K]]:
        """Yield `events` with the deletions that they leave out.

        An object replaced by another of its name is deleted right before that one is applied; one that a
        fresh list no longer holds is deleted right after the list's InitDone.
        """
        for event in events:
            match event:
                case Init():
                    self._listed.clear()
                    yield event
                case InitApply(obj):
                    self._listed.add(ObjectRef.of(obj))
                    yield from self._replaced(obj)
                    yield event
                case InitDone():
                    yield event
                    yield from self._vanished()
                case Apply(obj):
                    yield from self._replaced(obj)
                    yield event
                case Delete(obj):
                    self._objects.pop(ObjectRef.of(obj), None)
                    yield event

    def _replaced(self, obj: K) -> Iterator[Delete[K]]:
        ref = ObjectRef.of(obj)
        before = self._objects.get(ref)
        self._objects[ref] = obj
        if before is not None and before.metadata.uid != obj.metadata.uid:
            yield Delete(before)

    def _vanished(self) -> Iterator[Delete[K]]:
        gone = [ref for ref in self._objects if ref not in self._listed]
        self._listed.clear()
        for ref in gone:
            yield Delete(self._objects.pop(ref))
