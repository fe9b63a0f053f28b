"""The name an object is called by."""

from __future__ import annotations

from typing import NamedTuple, Self, TypeVar

from proa.kube.models import Resource

K = TypeVar("K", bound=Resource)


class ObjectRef(NamedTuple):
    """The name of an object within its kind: what a reconciler is given.

    It says nothing of uid or version: whoever acts on it looks at what is there *now*.
    """

    name: str
    namespace: str | None = None

    @classmethod
    def of(cls, obj: Resource) -> Self:
        """Return the reference to `obj`."""
        return cls(obj.metadata.name or "", obj.metadata.namespace or None)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name
