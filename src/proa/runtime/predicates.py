"""Which changes matter to a controller: a function of the object whose value has to differ from before.

::

    Controller(Api(client, Website), reconcile, on=any_of(generation, labels))
"""

from collections.abc import Callable, Hashable
from typing import Generic, TypeAlias

from proa.kube.models import Resource
from proa.runtime._events import Apply, Delete, Event, InitApply
from proa.runtime._object import K, ObjectRef

__all__ = ["Predicate", "annotations", "any_of", "finalizers", "generation", "labels"]

Predicate: TypeAlias = Callable[[K], Hashable]


def generation(obj: Resource) -> Hashable:
    """The specification: changes of status and metadata alone do not matter.

    A kind that has no generation is looked at at every change.
    """
    return obj.metadata.generation or obj.metadata.resource_version


def labels(obj: Resource) -> Hashable:
    """The labels."""
    return frozenset(obj.metadata.labels.items())


def annotations(obj: Resource) -> Hashable:
    """The annotations."""
    return frozenset(obj.metadata.annotations.items())


def finalizers(obj: Resource) -> Hashable:
    """The finalizers."""
    return tuple(obj.metadata.finalizers)


def any_of(*predicates: Predicate[K]) -> Predicate[K]:
    """A change matters if it does for any of the predicates: `any_of(generation, labels)`."""
    return lambda obj: tuple(predicate(obj) for predicate in predicates)


class Changes(Generic[K]):
    """Tells the changes that matter from the others.

    Objects that are new, replaced by another of their name, marked for deletion, or gone always matter.
    """

    def __init__(self, predicate: Predicate[K]) -> None:
        self._predicate = predicate
        self._known: dict[ObjectRef, Hashable] = {}

    def matters(self, event: Event[K]) -> bool:
        """Whether an event is to be acted on."""
        match event:
            case InitApply(obj) | Apply(obj):
                ref = ObjectRef.of(obj)
                going = obj.metadata.deletion_timestamp is not None
                value = (obj.metadata.uid, going, self._predicate(obj))
                if self._known.get(ref) == value:
                    return False
                self._known[ref] = value
            case Delete(obj):
                self._known.pop(ObjectRef.of(obj), None)
        return True
