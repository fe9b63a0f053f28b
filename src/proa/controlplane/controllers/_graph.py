"""Who owns whom, over all kinds: what garbage collection decides on. Without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from proa.kube.models import Resource
from proa.kube.models.meta_v1 import OwnerReference

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Verdict(Enum):
    """What becomes of an object."""

    KEEP = "keep"
    """Nothing to do."""
    DETACH = "detach"
    """Some owners are gone, others stay: drop the references to those gone."""
    DELETE = "delete"
    """No owner is left."""
    DELETE_FOREGROUND = "delete, dependents first"
    """The owners wait for the object's end, and it has dependents of its own."""
    RELEASE = "release"
    """It is being deleted and waited for its dependents, which are gone: drop the finalizer."""
    AWAIT = "await"
    """It is being deleted and waits for its dependents: see to them."""
    ORPHAN = "orphan"
    """It is being deleted and its dependents are to stay: detach them, then drop the finalizer."""


@dataclass(frozen=True)
class Decision:
    """A verdict, and the owners to be detached from."""

    verdict: Verdict
    detach: tuple[str, ...] = ()


class Graph:
    """All objects by uid, and by the uids of their owners."""

    def __init__(self) -> None:
        self._objects: dict[str, Resource] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def apply(self, obj: Resource) -> None:
        """Take in a new or changed object."""
        uid = obj.metadata.uid or ""
        self._unlink(uid)
        self._objects[uid] = obj
        for owner in obj.metadata.owner_references:
            self._dependents.setdefault(owner.uid, {})[uid] = None

    def remove(self, obj: Resource) -> None:
        """Forget an object that is gone."""
        uid = obj.metadata.uid or ""
        self._unlink(uid)
        self._objects.pop(uid, None)

    def find(self, uid: str) -> Resource | None:
        """Return the object with a uid."""
        return self._objects.get(uid)

    def dependents(self, uid: str) -> list[Resource]:
        """Return the objects that name `uid` as an owner."""
        return [self._objects[dependent] for dependent in self._dependents.get(uid, ())]

    def unknown_owners(self, obj: Resource) -> list[OwnerReference]:
        """Return the owners of `obj` that are not here: gone, or not seen yet."""
        return [owner for owner in obj.metadata.owner_references if owner.uid not in self._objects]

    def decide(self, uid: str, is_absent: Callable[[str], bool]) -> Decision:
        """Return what becomes of an object.

        Args:
            uid: The object's.
            is_absent: Tells of an owner that is not here whether the server has confirmed that it is gone.
        """
        obj = self._objects.get(uid)
        if obj is None:
            return Decision(Verdict.KEEP)
        if obj.metadata.deletion_timestamp is not None:
            return Decision(self._ending(obj))
        gone = [owner.uid for owner in obj.metadata.owner_references if is_absent(owner.uid)]
        waiting = [owner.uid for owner in obj.metadata.owner_references if self._waits_for(owner)]
        leaving = (*gone, *waiting)
        if not leaving:
            return Decision(Verdict.KEEP)
        if len(leaving) < len(obj.metadata.owner_references):
            return Decision(Verdict.DETACH, leaving)
        if waiting and self._dependents.get(uid):
            return Decision(Verdict.DELETE_FOREGROUND)
        return Decision(Verdict.DELETE)

    def in_circle(self, uid: str) -> bool:
        """Tell whether a dependent of an object waits for the object to go first."""
        return any(_awaits_dependents(dependent) for dependent in self.dependents(uid))

    def _ending(self, obj: Resource) -> Verdict:
        if ORPHAN in obj.metadata.finalizers:
            return Verdict.ORPHAN
        if FOREGROUND in obj.metadata.finalizers:
            return Verdict.AWAIT if any(self._blocking(obj)) else Verdict.RELEASE
        return Verdict.KEEP

    def _blocking(self, obj: Resource) -> Iterable[Resource]:
        for dependent in self.dependents(obj.metadata.uid or ""):
            for owner in dependent.metadata.owner_references:
                if owner.uid == obj.metadata.uid and owner.block_owner_deletion:
                    yield dependent

    def _waits_for(self, owner: OwnerReference) -> bool:
        """Tell whether an owner is being deleted and waits for its dependents to go first."""
        obj = self._objects.get(owner.uid)
        return obj is not None and _awaits_dependents(obj)

    def _unlink(self, uid: str) -> None:
        known = self._objects.get(uid)
        for owner in known.metadata.owner_references if known else ():
            dependents = self._dependents.get(owner.uid, {})
            dependents.pop(uid, None)
            if not dependents:
                self._dependents.pop(owner.uid, None)


def _awaits_dependents(obj: Resource) -> bool:
    return obj.metadata.deletion_timestamp is not None and FOREGROUND in obj.metadata.finalizers
