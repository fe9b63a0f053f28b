"""The API's types and paths as OpenAPI, for kubectl's validation of what it sends and for `kubectl
explain`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from proa.controlplane._json import Document, encode
from proa.controlplane.registry import Catalogue, Resource
from proa.controlplane.schema import definitions

from ._openapi_paths import V2, V3, base_path, resource_paths

_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"


def _referring(schema: Any, prefix: str) -> Any:
    """A schema with its references in an OpenAPI document's form."""
    if type(schema) is list:
        return [_referring(item, prefix) for item in schema]
    if type(schema) is not dict:
        return schema
    if type(schema.get("$ref")) is str:
        reference = {"$ref": prefix + schema["$ref"]}
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        if prefix == V2.prefix or not rest:
            return reference
        return {"allOf": [reference], **rest}
    return {key: _referring(value, prefix) for key, value in schema.items()}


def openapi_v2(catalogue: Catalogue) -> bytes:
    """`/openapi/v2`: all types and paths in one document."""
    custom = [resource for resource in catalogue if resource.is_custom]
    types, paths = _built_in_v2(catalogue)
    return encode(
        {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": "v1.36.0"},
            "paths": paths | {path: one for each in custom for path, one in resource_paths(each, V2)},
            "definitions": types | {name: _referring(one, V2.prefix) for name, one in _roots(custom).items()},
        }
    )


_built_in: list[tuple[Document, Document]] = []


def _built_in_v2(catalogue: Catalogue) -> tuple[Document, Document]:
    """The types and paths that never change, made once."""
    if not _built_in:
        resources = [resource for resource in catalogue if not resource.is_custom]
        types = {name: _referring(schema, V2.prefix) for name, schema in definitions().items()}
        _built_in.append((types, dict(path for each in resources for path in resource_paths(each, V2))))
    return _built_in[0]


def _roots(resources: Iterable[Resource]) -> Document:
    """The types of resources and of their lists."""
    found: Document = {}
    for resource in resources:
        if resource.type_name:
            found[resource.type_name] = resource.definition
            lists = f"{resource.type_name}List"
            found[lists] = _list_of(resource) if resource.is_custom else definitions().get(lists, {})
    return {name: schema for name, schema in found.items() if schema}


def _list_of(resource: Resource) -> Document:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.list_kind}
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"$ref": _LIST_META},
            "items": {"type": "array", "items": {"$ref": resource.type_name}},
        },
        "x-kubernetes-group-version-kind": [kind],
    }


def openapi_v3_index(catalogue: Catalogue) -> Document:
    """`/openapi/v3`: where each group version's document is; the hash changes with its content."""
    paths = {}
    for group, versions in catalogue.groups().items():
        for version in versions:
            digest = hashlib.sha256(openapi_v3(catalogue, group, version)).hexdigest().upper()
            path = base_path(group, version)
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


_documents: dict[tuple[str, str], bytes] = {}
"""Those of groups that have no custom resources: they never change."""


def openapi_v3(catalogue: Catalogue, group: str, version: str) -> bytes:
    """`/openapi/v3/...`: one group version's paths and all types that they need."""
    resources = list((catalogue.served(group, version) or {}).values())
    if any(resource.is_custom for resource in resources):
        return _openapi_v3(resources)
    if (group, version) not in _documents:
        _documents[group, version] = _openapi_v3(resources)
    return _documents[group, version]


def _openapi_v3(resources: list[Resource]) -> bytes:
    paths = dict(path for resource in resources for path in resource_paths(resource, V3))
    named = {reference.removeprefix(V3.prefix) for reference in _references(paths)}
    roots = {name: definitions()[name] for name in named if name in definitions()} | _roots(resources)
    return encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.36.0"},
            "paths": paths,
            "components": {
                "schemas": {name: _referring(schema, V3.prefix) for name, schema in _needed(roots).items()}
            },
        }
    )


def _needed(roots: Mapping[str, Document]) -> dict[str, Document]:
    """The types, and all that they refer to, by name."""
    found = dict(roots)
    waiting = list(roots.values())
    while waiting:
        for name in _references(waiting.pop()):
            if name not in found:
                found[name] = definitions()[name]
                waiting.append(found[name])
    return dict(sorted(found.items()))


def _references(schema: Any) -> Iterator[str]:
    if type(schema) is dict:
        if type(schema.get("$ref")) is str:
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif type(schema) is list:
        for item in schema:
            yield from _references(item)
