"""What generated types are built from: `Model`, and the facts about types to be read at run time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec

from proa.kube.models._absent import ABSENT


class Merging(NamedTuple):
    """How a list or map takes part in a merge: the OpenAPI extensions `x-kubernetes-*` of one property.

    `list_type`, `keys` and `map_type` rule server-side apply (structured-merge-diff); `strategy` and
    `merge_key` rule strategic merge patches.
    """

    list_type: str | None = None
    """`atomic`, `set` or `map`."""
    keys: tuple[str, ...] = ()
    """The properties that tell the entries of a list of type `map` apart, by their wire names."""
    map_type: str | None = None
    """`atomic` or `granular`."""
    strategy: str | None = None
    """`merge`, `replace`, `retainKeys` or `merge,retainKeys`."""
    merge_key: str | None = None
    """The property that identifies an entry in a strategic merge."""


class ResourceInfo(NamedTuple):
    """Where a kind lives in the API, as discovery tells it."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified_name(self) -> str:
        """The name that error messages and RBAC use: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class _ModelMeta(msgspec.StructMeta):
    """Takes empty lists that are given for absent ones, so that they are left out when encoding."""

    if not TYPE_CHECKING:  # which would take this for what all models are made with

        def __call__(self, *arguments: Any, **fields: Any) -> Any:
            if [] in fields.values():
                lists = _lists_of(self)
                fields = {name: value for name, value in fields.items() if value or name not in lists}
            return super().__call__(*arguments, **fields)


@cache
def _lists_of(type_: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.name for field in msgspec.structs.fields(type_) if field.default is ABSENT)


class Model(
    msgspec.Struct,
    metaclass=_ModelMeta,
    gc=False,
    kw_only=True,
    omit_defaults=True,
    repr_omit_defaults=True,
    rename="camel",
):
    """A Kubernetes API type.

    Attributes are the API's names in snake_case. Absent lists and maps are empty, absent scalars are `None`;
    what is absent is left out when encoding, and so are empty lists that are given. An absent list cannot be
    changed in place, as objects share it: `append` is refused, and `pod.metadata.finalizers += ["mine"]` is
    right for all. Fields that the type does not declare are dropped on
    decoding.

    Subclasses are made by class statements or `types.new_class`: `msgspec.defstruct` knows no metaclasses.

    Caveat: instances are invisible to the cyclic garbage collector (`gc=False`, for speed). An object put
    inside itself is never freed; nothing that is decoded can be such a cycle, recursive types included.
    """

    merging: ClassVar[dict[str, Merging]] = {}
    """The properties that merge in a way of their own, by wire name."""


def constant(value: str) -> Any:
    """Give a field a default that is written out all the same, as `apiVersion` and `kind` must be."""
    return msgspec.field(default_factory=value.__str__)
