"""Objects whose type is known at run time only, and objects of which only the metadata is read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import new_class
from typing import Any, ClassVar, Self

import msgspec

from proa.kube._nulls import without_nulls
from proa.kube.models._base import ResourceInfo
from proa.kube.models._resource import Resource
from proa.kube.models.meta_v1 import ObjectMeta


class Unscoped(Resource, kw_only=True):
    """A resource of which only a running program knows whether it lives in a namespace.

    The types to use are made with `of`, of what discovery or another type tells; they are subclasses.
    """

    @classmethod
    def of(cls, resource: ResourceInfo | type[Resource]) -> type[Self]:
        """Return the type of the objects of a resource; always the same one for the same resource."""
        return _typed(cls, resource if isinstance(resource, ResourceInfo) else resource.resource)


class PartialObjectMetadata(Unscoped, kw_only=True):
    """The metadata of an object of any kind: an eighth of the bytes of a pod, a tenth of its memory.

        pods = Api(client, PartialObjectMetadata.of(Pod), namespace="default")

    Reading, watching, patching and deleting work; what is written as a whole is refused.
    """


class DynamicObject(Unscoped, kw_only=True):
    """An object of any kind: metadata is typed, all the rest is in `data`, as JSON has it.

        widgets = Api(client, DynamicObject.of(resource), namespace="default")
        (await widgets.get("a")).data["spec"]["size"]

    Nothing is dropped but `metadata.managedFields`.
    """

    data: dict[str, Any] = msgspec.field(default_factory=dict)
    """Everything but apiVersion, kind and metadata, by its names in the API."""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Make one of a JSON document.

        Raises:
            msgspec.ValidationError: its apiVersion, kind or metadata are not what they must be.
        """
        head = msgspec.convert(without_nulls(document, _Head), _Head)
        rest = {key: value for key, value in document.items() if key not in _HEAD}
        # The items of a list do not say what they are.
        known: ResourceInfo | None = getattr(cls, "resource", None)
        return cls(
            api_version=head.api_version or (known.api_version if known else ""),
            kind=head.kind or (known.kind if known else ""),
            metadata=head.metadata,
            data=rest,
        )

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document, of plain dicts and lists."""
        metadata = msgspec.to_builtins(self.metadata)
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata} | self.data


class _Head(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


_HEAD = {"apiVersion", "kind", "metadata"}


@cache
def _typed(base: type[Any], resource: ResourceInfo) -> type[Any]:
    named = {
        "resource": resource,
        "__doc__": base.__doc__,
        "__module__": __name__,
        "__annotations__": {"resource": ClassVar[ResourceInfo]},
    }
    return new_class(resource.kind, (base,), {"kw_only": True}, lambda namespace: namespace.update(named))
