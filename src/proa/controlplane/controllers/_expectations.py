"""One's own writes that the cache does not show yet.

A controller that counts what its cache shows, right after it created something, counts too few and creates
too many. So it counts the cache *and* what it did since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from proa.kube.models import Resource
from proa.runtime import ObjectRef

K = TypeVar("K", bound=Resource)

PATIENCE = 300.0
"""Seconds after which an own write that never showed is taken to have been undone by someone else unseen."""


class Expectations(Generic[K]):
    """What was created and deleted for each owner and has not been seen since.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._created: dict[ObjectRef, dict[str, tuple[float, K]]] = {}
        self._deleted: dict[ObjectRef, dict[str, float]] = {}

    def created(self, owner: ObjectRef, obj: K) -> None:
        """Note that `obj` was created for `owner`."""
        self._created.setdefault(owner, {})[obj.metadata.uid or ""] = (self._clock(), obj)

    def deleted(self, owner: ObjectRef, obj: K) -> None:
        """Note that `obj` of `owner` was deleted."""
        self._deleted.setdefault(owner, {})[obj.metadata.uid or ""] = self._clock()
        self._created.get(owner, {}).pop(obj.metadata.uid or "", None)

    def seen(self, owner: ObjectRef, obj: K) -> None:
        """Note that the watch told of `obj`, or of its end."""
        self._created.get(owner, {}).pop(obj.metadata.uid or "", None)

    def forget(self, owner: ObjectRef) -> None:
        """Drop what is noted for an owner that is gone."""
        self._created.pop(owner, None)
        self._deleted.pop(owner, None)

    def view(self, owner: ObjectRef, cached: Iterable[K]) -> list[K]:
        """Return the objects of `owner`: those in the cache, with one's own writes applied."""
        if not self.pending(owner):
            return list(cached)
        shown = {obj.metadata.uid or "": obj for obj in cached}
        oldest = self._clock() - PATIENCE
        created = self._created.get(owner, {})
        for uid in [uid for uid, (at, _) in created.items() if uid in shown or at < oldest]:
            del created[uid]
        deleted = self._deleted.get(owner, {})
        for uid in [uid for uid, at in deleted.items() if uid not in shown or at < oldest]:
            del deleted[uid]
        unseen = [obj for _, obj in created.values()]
        return [obj for uid, obj in shown.items() if uid not in deleted] + unseen

    def pending(self, owner: ObjectRef) -> bool:
        """Tell whether some write for `owner` has not been seen."""
        return bool(self._created.get(owner) or self._deleted.get(owner))
