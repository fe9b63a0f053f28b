"""What resources are called: from discovery documents, or from the paths of an OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Resource:
    """One endpoint, as discovery describes it."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    def __str__(self) -> str:
        identity = (self.group, self.version, self.kind, self.plural, self.singular, self.namespaced)
        text = ", ".join(quote(value) for value in identity)
        for name in ("short_names", "categories"):
            if values := getattr(self, name):
                text += f", {name}={quote(values)}"
        return f"ResourceInfo({text})"


def discovered(documents: Iterable[Mapping[str, Any]]) -> Iterator[Resource]:
    """Read discovery documents: the aggregated form, and the core group's APIResourceList."""
    for document in documents:
        for item in document.get("resources", ()):
            if "/" not in item["name"]:
                names = (item["name"], item["singularName"], item["namespaced"])
                yield described("", document["groupVersion"], item["kind"], names, item)
        for group in document.get("items", ()):
            for version in group["versions"]:
                for item in version["resources"]:
                    names = (item["resource"], item["singularResource"], item["scope"] == "Namespaced")
                    kind = item["responseKind"]["kind"]
                    yield described(group["metadata"].get("name", ""), version["version"], kind, names, item)


def described(
    group: str, version: str, kind: str, names: tuple[str, str, bool], item: Mapping[str, Any]
) -> Resource:
    """Make a resource of its names: plural, singular, and whether it is namespaced."""
    plural, singular, namespaced = names
    extras = (tuple(item.get("shortNames", ())), tuple(item.get("categories", ())))
    return Resource(group, version, kind, plural, singular, namespaced, *extras)


PATH = re.compile(
    r"/(?:api|apis/[^/]+)/[^/]+/(?P<namespace>namespaces/\{namespace\}/)?(?P<plural>[^/{}]+)(/\{name\})?"
)


def inferred(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[Resource]:
    """Read the resources off a document's paths, which know neither short names nor categories."""
    for path, operations in sorted(paths.items(), key=lambda item: item[0].count("{namespace}")):
        match = PATH.fullmatch(path)
        kinds = [
            op["x-kubernetes-group-version-kind"]
            for op in operations.values()
            if "x-kubernetes-group-version-kind" in op
        ]
        if match and kinds:
            kind = kinds[0]
            names = (match["plural"], kind["kind"].lower(), bool(match["namespace"]))
            yield described(kind["group"], kind["version"], kind["kind"], names, {})


def quote(value: object) -> str:
    """Write a literal with double quotes."""
    if isinstance(value, tuple):
        return f"({', '.join(quote(item) for item in value)}{',' if len(value) == 1 else ''})"
    return json.dumps(value) if isinstance(value, str) else repr(value)
