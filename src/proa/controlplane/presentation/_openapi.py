"""The API's types and paths as OpenAPI, for kubectl's validation of what it sends and for `kubectl
explain`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from proa.controlplane._json import Document, encode
from proa.controlplane.registry import Catalogue, Resource
from proa.controlplane.schema import definitions

_V2 = "#/definitions/"
_V3 = "#/components/schemas/"


def _referring(schema: Any, prefix: str) -> Any:
    """A schema with its references in an OpenAPI document's form."""
    if type(schema) is list:
        return [_referring(item, prefix) for item in schema]
    if type(schema) is not dict:
        return schema
    if type(schema.get("$ref")) is str:
        reference = {"$ref": prefix + schema["$ref"]}
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        if prefix == _V2 or not rest:
            return reference
        return {"allOf": [reference], **rest}
    return {key: _referring(value, prefix) for key, value in schema.items()}


def openapi_v2(catalogue: Catalogue) -> bytes:
    """`/openapi/v2`: all types in one document, without paths."""
    custom = {one.type_name or "": _referring(one.definition, _V2) for one in catalogue if one.is_custom}
    return _openapi_v2() if not custom else encode(_openapi_v2_document(custom))


@cache
def _openapi_v2() -> bytes:
    return encode(_openapi_v2_document({}))


def _openapi_v2_document(custom: Document) -> Document:
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": {},
        "definitions": {name: _referring(schema, _V2) for name, schema in definitions().items()} | custom,
    }


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def openapi_v3_index(catalogue: Catalogue) -> Document:
    """`/openapi/v3`: where each group version's document is; the hash changes with its content."""
    paths = {}
    for group, versions in catalogue.groups().items():
        for version in versions:
            digest = hashlib.sha256(openapi_v3(catalogue, group, version)).hexdigest().upper()
            path = _path(group, version)
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
    roots = {resource.type_name: resource.definition for resource in resources if resource.type_name}
    return encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.36.0"},
            "paths": dict(path for resource in resources for path in _paths(resource)),
            "components": {
                "schemas": {name: _referring(schema, _V3) for name, schema in _needed(roots).items()}
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


_METHODS = {
    "get": "get",
    "update": "put",
    "patch": "patch",
    "delete": "delete",
    "list": "get",
    "create": "post",
    "deletecollection": "delete",
}
_ACTIONS = {"update": "put", "create": "post"}


def _paths(resource: Resource) -> Iterator[tuple[str, Document]]:
    base = "/" + _path(resource.group, resource.version)
    collection = (
        f"{base}/namespaces/{{namespace}}/{resource.plural}"
        if resource.namespaced
        else f"{base}/{resource.plural}"
    )
    yield collection, _operations(resource, ("list", "create", "deletecollection"))
    yield f"{collection}/{{name}}", _operations(resource, ("get", "update", "patch", "delete"))


def _operations(resource: Resource, verbs: tuple[str, ...]) -> Document:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    schema = {"$ref": _V3 + (resource.type_name or "")}
    operations: Document = {}
    for verb in verbs:
        if verb not in resource.verbs:
            continue
        operation: Document = {
            "x-kubernetes-action": _ACTIONS.get(verb, verb),
            "x-kubernetes-group-version-kind": kind,
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
        }
        if verb in {"create", "update", "patch"}:
            operation["parameters"] = [_FIELD_VALIDATION, _DRY_RUN]
        operations[_METHODS[verb]] = operation
    return operations


def _parameter(name: str) -> Document:
    return {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}


_FIELD_VALIDATION, _DRY_RUN = _parameter("fieldValidation"), _parameter("dryRun")
