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
        self._mapped: dict[ObjectRef, frozenset[ObjectRef]] = {}

    def refs(self, event: Event[K]) -> frozenset[ObjectRef]:
        """Return the objects that `event` concerns."""
        match event:
            case InitApply(obj) | Apply(obj):
                return self._remember(ObjectRef.of(obj), frozenset(self._mapper(obj)))
            case Delete(obj):
                return self._mapped.pop(ObjectRef.of(obj), frozenset()) | frozenset(self._mapper(obj))
        return frozenset()

    def _remember(self, ref: ObjectRef, now: frozenset[ObjectRef]) -> frozenset[ObjectRef]:
        before = self._mapped.get(ref, frozenset())
        if now:
            self._mapped[ref] = now
        else:
            self._mapped.pop(ref, None)
        return before | now


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
