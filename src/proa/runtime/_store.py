"""The store: the last known state of every object that a reflector watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic

from proa.app import ProaError
from proa.kube import Selector
from proa.kube.models import Resource
from proa.kube.models.meta_v1 import LabelSelector
from proa.runtime._events import Apply, Delete, Event, Init, InitApply, InitDone
from proa.runtime._object import K, ObjectRef


class StoreClosedError(ProaError):
    """The store's reflector stopped before the store was first filled."""


class Index(Generic[K]):
    """The objects of a store by a value computed from each, kept current with the store."""

    def __init__(self, values: Callable[[K], Iterable[Hashable]]) -> None:
        self._values = values
        self._objects: dict[Hashable, dict[ObjectRef, K]] = {}

    def __getitem__(self, value: Hashable) -> tuple[K, ...]:
        """Return the objects with `value`; none is no error."""
        return tuple(self._objects.get(value, {}).values())

    def values(self) -> frozenset[Hashable]:
        """Return the values that some object has."""
        return frozenset(self._objects)

    def add(self, ref: ObjectRef, obj: K) -> None:
        for value in self._values(obj):
            self._objects.setdefault(value, {})[ref] = obj

    def remove(self, ref: ObjectRef, obj: K) -> None:
        for value in self._values(obj):
            objects = self._objects[value]
            del objects[ref]
            if not objects:
                del self._objects[value]

    def clear(self) -> None:
        self._objects.clear()


class Store(Generic[K]):
    """A read-only view of all objects that one reflector watches.

    It is eventually consistent: it lags behind the server by the watch's delay, and never goes back in time
    for one object. A fresh list replaces the whole content at one instant, so a reader never sees half of
    it. Objects are shared with every other reader: copy one before changing it.
    """

    def __init__(self) -> None:
        self._objects: dict[ObjectRef, K] = {}
        self._indexes: list[Index[K]] = []
        self._settled = asyncio.Event()
        self._filled = False

    def get(self, name: str, namespace: str | None = None) -> K | None:
        """Return the object of that name, or None; cluster-scoped objects have no namespace."""
        return self._objects.get(ObjectRef(name, namespace))

    def find(self, ref: ObjectRef) -> K | None:
        """Return the object that `ref` names, or None."""
        return self._objects.get(ref)

    def select(self, labels: str | Selector | LabelSelector, namespace: str | None = None) -> Iterator[K]:
        """Yield the objects that a label selector selects; of all namespaces if none is given.

        Raises:
            InvalidRequestError: the selector cannot be read.
        """
        selector = Selector.of(labels)
        return (
            obj
            for obj in self
            if namespace in {None, obj.metadata.namespace} and selector.matches(obj.metadata.labels)
        )

    def __iter__(self) -> Iterator[K]:
        """Iterate over the objects as they are at this instant."""
        return iter(tuple(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, ref: ObjectRef) -> bool:
        return ref in self._objects

    async def ready(self) -> None:
        """Wait until the store was filled for the first time.

        Raises:
            StoreClosedError: its reflector stopped before that.
        """
        await self._settled.wait()
        if not self._filled:
            raise StoreClosedError(
                "the store was never filled: its reflector stopped before the first list was complete"
            )

    @property
    def is_ready(self) -> bool:
        """Whether the store was filled."""
        return self._filled

    def index(self, values: Callable[[K], Iterable[Hashable]]) -> Index[K]:
        """Return an index by `values`, a pure function such as `indexes.by_label("app")`."""
        index = Index(values)
        for ref, obj in self._objects.items():
            index.add(ref, obj)
        self._indexes.append(index)
        return index


class StoreWriter(Store[K]):
    """The writing side of a store: fed with a watcher's events, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._fresh: dict[ObjectRef, K] = {}
        self.replaced: dict[ObjectRef, K] = {}
        """What the last fresh list has replaced: freeing it all at once would block for long."""

    def write(self, event: Event[K]) -> list[Apply[K] | Delete[K]]:
        """Take in one event of a watcher and return what thereby changed in the store."""
        match event:
            case Init():
                self._fresh = {}
            case InitApply(obj):
                self._fresh[ObjectRef.of(obj)] = obj
            case InitDone():
                return self._swap()
            case Apply(obj):
                self._put(ObjectRef.of(obj), obj)
                return [event]
            case Delete(obj):
                self._discard(ObjectRef.of(obj), obj)
                return [event]
        return []

    def close(self) -> None:
        """Say that no event will come any more: whoever still waits for `ready` is told."""
        self._settled.set()

    def _swap(self) -> list[Apply[K] | Delete[K]]:
        before, self._objects, self._fresh = self._objects, self._fresh, {}
        self.replaced = before
        for index in self._indexes:
            index.clear()
            for ref, obj in self._objects.items():
                index.add(ref, obj)
        self._filled = True
        self._settled.set()
        return [Apply(obj) for ref, obj in self._objects.items() if _differs(before.get(ref), obj)]

    def _put(self, ref: ObjectRef, obj: K) -> None:
        before = self._objects.get(ref)
        self._objects[ref] = obj
        for index in self._indexes:
            if before is not None:
                index.remove(ref, before)
            index.add(ref, obj)

    def _discard(self, ref: ObjectRef, deleted: K) -> None:
        held = self._objects.get(ref)
        if held is None or held.metadata.uid != deleted.metadata.uid:
            return
        del self._objects[ref]
        for index in self._indexes:
            index.remove(ref, held)


def _differs(before: Resource | None, now: Resource) -> bool:
    if before is None or now.metadata.resource_version is None:
        return True
    return (before.metadata.uid, before.metadata.resource_version) != (
        now.metadata.uid,
        now.metadata.resource_version,
    )
