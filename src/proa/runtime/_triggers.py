"""What makes a controller look at an object: a change of it, of one it owns, or of one that maps to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeAlias

from proa.kube.models import Resource, ResourceInfo
from proa.runtime._events import Apply, Delete, Event, InitApply
from proa.runtime._object import K, ObjectRef

Mapper: TypeAlias = Callable[[K], Iterable[ObjectRef]]


class Trigger(Generic[K]):
    """Translates events of one kind into the objects to reconcile.

    It remembers what each object mapped to, because an object that stops mapping to another matters to that
    one too: a pod whose owner or label was taken away, say.
    """

    def __init__(self, mapper: Mapper[K]) -> None:
        self._mapper = mapper
        self._mapped: dict[ObjectRef, tuple[ObjectRef, ...]] = {}

    def refs(self, event: Event[K]) -> tuple[ObjectRef, ...]:
        """Return the objects that `event` concerns, each once."""
        match event:
            case InitApply(obj) | Apply(obj):
                return self._remember(ObjectRef.of(obj), tuple(self._mapper(obj)))
            case Delete(obj):
                return _distinct(self._mapped.pop(ObjectRef.of(obj), ()), tuple(self._mapper(obj)))
        return ()

    def _remember(self, ref: ObjectRef, now: tuple[ObjectRef, ...]) -> tuple[ObjectRef, ...]:
        before = self._mapped.get(ref, ())
        if now:
            self._mapped[ref] = now
        else:
            self._mapped.pop(ref, None)
        return _distinct(before, now)


def _distinct(before: tuple[ObjectRef, ...], now: tuple[ObjectRef, ...]) -> tuple[ObjectRef, ...]:
    # Not a set: its order would differ from process to process, and a run could not be repeated.
    return now if before == now and len(now) < 2 else tuple(dict.fromkeys(before + now))


def owners(obj: Resource, kind: ResourceInfo) -> tuple[ObjectRef, ...]:
    """Return the controlling owner of `obj` if it is of `kind`, in whatever version."""
    return tuple(
        ObjectRef(owner.name, obj.metadata.namespace if kind.namespaced else None)
        for owner in obj.metadata.owner_references
        if owner.controller
        and owner.kind == kind.kind
        and owner.api_version.partition("/")[0] == _group(kind)
    )


def _group(kind: ResourceInfo) -> str:
    return kind.api_version.partition("/")[0]
