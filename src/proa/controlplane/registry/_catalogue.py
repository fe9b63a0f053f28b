"""Every resource that is served, by group, version and plural name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
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
    """The resources, findable by where they are served. Iterating gives them in discovery's order.

    The built-in ones stay; custom ones come and go with `serve`.
    """

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._builtin = list(resources)
        self._custom: dict[str, list[Resource]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._index()

    def _index(self) -> None:
        custom = [resource for resources in self._custom.values() for resource in resources]
        self._resources = [*self._builtin, *sorted(custom, key=_order)]
        self._served: dict[tuple[str, str], dict[str, Resource]] = {}
        self._groups: dict[str, list[str]] = {}
        for resource in self._resources:
            self._served.setdefault((resource.group, resource.version), {})[resource.plural] = resource
            versions = self._groups.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources)

    def serve(self, storage: str, resources: list[Resource]) -> None:
        """Serves a custom resource in these versions from now on; none of them withdraws it."""
        self._custom.pop(storage, None)
        if resources:
            self._custom[storage] = resources
        self._index()
        for listener in self._listeners:
            listener()

    def custom(self, storage: str) -> list[Resource]:
        """The versions in which a custom resource is served."""
        return self._custom.get(storage, [])

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls a listener whenever other resources are served than before."""
        self._listeners.append(listener)

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


_DEPRECATIONS = {
    ("", "v1", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
    ("", "v1", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def _order(resource: Resource) -> tuple[object, ...]:
    """By group, then the versions as Kubernetes prefers them: v2, v1, v1beta2, v1beta1, v1alpha1, others."""
    match = _VERSION.fullmatch(resource.version)
    if match is None:
        return resource.group, 3, 0, 0, resource.version, resource.plural
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return resource.group, stage, -int(match[1]), -int(match[3] or 0), "", resource.plural


@cache
def builtin() -> tuple[Resource, ...]:
    """All built-in resources."""
    return tuple(_resource(entry) for entry in load("resources"))


def catalogue() -> Catalogue:
    """A catalogue of the built-in resources."""
    return Catalogue(builtin())


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
        deprecation=_DEPRECATIONS.get((group, version, kind), ""),
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
