"""Every resource that is served, by group, version and plural name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from proa.controlplane._json import Document
from proa.controlplane.schema import type_of_kind
from proa.controlplane.schema._definitions import load

from ._conversions import CONVERSIONS
from ._resource import PLAIN, Resource, Subresource
from ._strategies import strategies

_SHARED_STORAGE = {("events.k8s.io", "events"): "events"}
"""Resources whose objects another group's resource keeps."""


class Catalogue:
    """The resources, findable by where they are served. Iterating gives them in discovery's order."""

    def __init__(self, resources: list[Resource]) -> None:
        self._resources = resources
        self._served: dict[tuple[str, str], dict[str, Resource]] = {}
        self._groups: dict[str, list[str]] = {}
        for resource in resources:
            self._served.setdefault((resource.group, resource.version), {})[resource.plural] = resource
            versions = self._groups.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources)

    def served(self, group: str, version: str) -> dict[str, Resource] | None:
        """The resources of a group's version, by plural name; None if it is not served."""
        return self._served.get((group, version))

    def groups(self) -> dict[str, list[str]]:
        """The groups with their versions, the preferred one first. The core group is the empty name."""
        return self._groups

    def find(self, group: str, plural: str) -> Resource | None:
        """A resource in the version that its group prefers."""
        for version in self._groups.get(group, ()):
            resource = self._served[group, version].get(plural)
            if resource is not None:
                return resource
        return None

    def of_kind(self, group: str, version: str, kind: str) -> Resource | None:
        """The resource whose objects are of a kind."""
        served = self._served.get((group, version), {})
        return next((resource for resource in served.values() if resource.kind == kind), None)


@cache
def catalogue() -> Catalogue:
    """All built-in resources."""
    return Catalogue([_resource(entry) for entry in load("resources")])


def _resource(entry: Document) -> Resource:
    group, version, kind, plural = entry["group"], entry["version"], entry["kind"], entry["resource"]
    return Resource(
        group=group,
        version=version,
        kind=kind,
        plural=plural,
        singular=entry["singular"],
        namespaced=entry["namespaced"],
        verbs=tuple(entry["verbs"]),
        type_name=type_of_kind(group, version, kind),
        short_names=tuple(entry["shortNames"]),
        categories=tuple(entry["categories"]),
        subresources={name: _subresource(name, sub) for name, sub in entry["subresources"].items()},
        conversion=CONVERSIONS.get((group, version, plural)),
        strategy=strategies().get((group, kind), PLAIN),
        storage=_SHARED_STORAGE.get((group, plural), f"{plural}.{group}" if group else plural),
    )


def _subresource(name: str, entry: Document) -> Subresource:
    return Subresource(
        name=name,
        kind=entry["kind"],
        verbs=tuple(entry["verbs"]),
        group=entry.get("group", ""),
        version=entry.get("version", ""),
    )
