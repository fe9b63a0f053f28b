"""What a server offers: discovery documents, aggregated (KEP-3352) and plain, to resources."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from proa.kube.codec import decode
from proa.kube.errors import UnknownResourceError
from proa.kube.models import ResourceInfo

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@dataclass(frozen=True, slots=True)
class Offered:
    """A resource that a server offers."""

    resource: ResourceInfo
    verbs: frozenset[str]
    subresources: frozenset[str]
    preferred: bool
    """Whether this is the version of its group that the server would rather have used."""


class _Kind(msgspec.Struct, rename="camel"):
    kind: str = ""


class _Subresource(msgspec.Struct, rename="camel"):
    subresource: str


class _Resource(msgspec.Struct, rename="camel"):
    resource: str
    scope: str = "Namespaced"
    response_kind: _Kind = msgspec.field(default_factory=_Kind)
    singular_resource: str = ""
    verbs: list[str] = []
    short_names: list[str] = []
    categories: list[str] = []
    subresources: list[_Subresource] = []


class _Version(msgspec.Struct, rename="camel"):
    version: str
    resources: list[_Resource] = []


class _Name(msgspec.Struct):
    name: str = ""


class _Group(msgspec.Struct):
    metadata: _Name = msgspec.field(default_factory=_Name)
    versions: list[_Version] = []


class _Document(msgspec.Struct):
    kind: str = ""
    items: list[_Group] = []


class _PlainResource(msgspec.Struct, rename="camel"):
    name: str
    namespaced: bool
    kind: str
    singular_name: str = ""
    verbs: list[str] = []
    short_names: list[str] = []
    categories: list[str] = []


class _PlainDocument(msgspec.Struct, rename="camel"):
    group_version: str
    resources: list[_PlainResource] = []


def read_aggregated(body: bytes) -> list[Offered] | None:
    """Read `/api` or `/apis` as asked for with `AGGREGATED`; None if the server does not know that form."""
    document = decode(body, _Document)
    if document.kind != "APIGroupDiscoveryList":
        return None
    return [
        _offered(group.metadata.name, version.version, resource, preferred=index == 0)
        for group in document.items
        for index, version in enumerate(group.versions)
        for resource in version.resources
        if resource.response_kind.kind
    ]


def read_plain(body: bytes, *, preferred: bool) -> list[Offered]:
    """Read the document of one group version, such as `/apis/apps/v1`."""
    document = decode(body, _PlainDocument)
    group, _, version = document.group_version.rpartition("/")
    found = []
    for item in document.resources:
        if "/" in item.name:
            continue
        below = [other.name.partition("/") for other in document.resources]
        info = ResourceInfo(
            group,
            version,
            item.kind,
            item.name,
            item.singular_name or item.kind.lower(),
            item.namespaced,
            tuple(item.short_names),
            tuple(item.categories),
        )
        names = frozenset(sub for name, _, sub in below if name == item.name and sub)
        found.append(Offered(info, frozenset(item.verbs), names, preferred))
    return found


def _offered(group: str, version: str, item: _Resource, *, preferred: bool) -> Offered:
    kind = item.response_kind.kind
    info = ResourceInfo(
        group,
        version,
        kind,
        item.resource,
        item.singular_resource or kind.lower(),
        item.scope == "Namespaced",
        tuple(item.short_names),
        tuple(item.categories),
    )
    subresources = frozenset(sub.subresource for sub in item.subresources)
    return Offered(info, frozenset(item.verbs), subresources, preferred)


class Discovery:
    """All that a server offers, and the ways in which people call it."""

    def __init__(self, offered: Iterable[Offered]) -> None:
        self._offered = tuple(offered)

    def __iter__(self) -> Iterator[Offered]:
        return iter(self._offered)

    def __len__(self) -> int:
        return len(self._offered)

    def resolve(self, name: str) -> ResourceInfo:
        """Return what a person means by a name, as kubectl does.

        Plural, singular, short name or kind, in any case; with a group (`deployments.apps`) or version and
        group (`deployments.v1.apps`) where that matters. Of several the preferred version of the first group
        wins.

        Raises:
            UnknownResourceError: the server offers nothing of that name; the message suggests what it has.
        """
        first, _, rest = name.lower().partition(".")
        candidates = [item for item in self._offered if first in _names(item.resource)]
        found = [item for item in candidates if _in_group(item.resource, rest)]
        if found:
            return next((item for item in found if item.preferred), found[0]).resource
        known = {known for item in self._offered for known in _names(item.resource)}
        close = difflib.get_close_matches(first, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UnknownResourceError(f"the server has no resource {name!r}{hint}")

    def of_kind(self, api_version: str, kind: str) -> ResourceInfo:
        """Return the resource of what a manifest says; raises UnknownResourceError."""
        for item in self._offered:
            if item.resource.kind == kind and item.resource.api_version == api_version:
                return item.resource
        versions = sorted({i.resource.api_version for i in self._offered if i.resource.kind == kind})
        hint = f"; it has {kind} in {', '.join(versions)}" if versions else ""
        raise UnknownResourceError(f"the server has no kind {kind!r} in {api_version!r}{hint}")

    def in_category(self, category: str) -> Sequence[ResourceInfo]:
        """Return the preferred versions of the resources of a category, such as `all`."""
        return [
            item.resource for item in self._offered if item.preferred and category in item.resource.categories
        ]


def _names(resource: ResourceInfo) -> set[str]:
    return {resource.plural, resource.singular, resource.kind.lower(), *resource.short_names}


def _in_group(resource: ResourceInfo, rest: str) -> bool:
    return not rest or rest in {resource.group, resource.version, f"{resource.version}.{resource.group}"}
