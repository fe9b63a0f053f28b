"""The paths of resources in OpenAPI documents of both versions: what generators of clients go by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from proa.controlplane._json import Document
from proa.controlplane.registry import Resource, Subresource
from proa.controlplane.schema import definitions

JSON = "application/json"
PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
"""Not for custom resources; kubectl finds that out here."""
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_METHODS = {
    "get": ("get", "read"),
    "update": ("put", "replace"),
    "patch": ("patch", "patch"),
    "delete": ("delete", "delete"),
    "list": ("get", "list"),
    "create": ("post", "create"),
    "deletecollection": ("delete", "deleteCollection"),
}
"""A verb's method, and how the ids of its operations begin."""
_ACTIONS = {"update": "put", "create": "post"}
_QUERIES: dict[str, tuple[tuple[str, str], ...]] = {
    "list": (
        ("allowWatchBookmarks", "boolean"),
        ("continue", "string"),
        ("fieldSelector", "string"),
        ("labelSelector", "string"),
        ("limit", "integer"),
        ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"),
        ("sendInitialEvents", "boolean"),
        ("timeoutSeconds", "integer"),
        ("watch", "boolean"),
    ),
    "create": (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")),
    "delete": (
        ("dryRun", "string"),
        ("gracePeriodSeconds", "integer"),
        ("orphanDependents", "boolean"),
        ("propagationPolicy", "string"),
    ),
}
_QUERIES |= {
    "update": _QUERIES["create"],
    "patch": (*_QUERIES["create"], ("force", "boolean")),
    "deletecollection": (*_QUERIES["list"], *_QUERIES["delete"]),
}


@dataclass(frozen=True)
class Dialect:
    """How a version of OpenAPI says things."""

    version: int

    @property
    def prefix(self) -> str:
        """What references to types begin with."""
        return "#/definitions/" if self.version == 2 else "#/components/schemas/"

    def parameter(self, name: str, kind: str, place: str = "query") -> Document:
        """A parameter of a path or a query."""
        schema: Document = {"type": kind, "uniqueItems": True}
        required = {"required": True} if place == "path" else {}
        return {
            "name": name,
            "in": place,
            **required,
            **(schema if self.version == 2 else {"schema": schema}),
        }

    def request(self, type_name: str, media_types: tuple[str, ...], parameters: list[Document]) -> Document:
        """What is sent: a body and parameters."""
        schema = {"$ref": self.prefix + type_name}
        if self.version == 2:
            body = {"name": "body", "in": "body", "required": True, "schema": schema}
            return {"consumes": list(media_types), "parameters": [body, *parameters]}
        content = {media_type: {"schema": schema} for media_type in media_types}
        return {"requestBody": {"content": content}, "parameters": parameters}

    def answers(self, type_name: str) -> Document:
        """What comes back."""
        schema = {"$ref": self.prefix + type_name}
        content = {"schema": schema} if self.version == 2 else {"content": {JSON: {"schema": schema}}}
        produced = {"produces": [JSON, "application/yaml"]} if self.version == 2 else {}
        return {**produced, "responses": {"200": {"description": "OK", **content}}}


V2, V3 = Dialect(2), Dialect(3)


def base_path(group: str, version: str) -> str:
    """Where a group version is served, without the first slash."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def resource_paths(resource: Resource, dialect: Dialect) -> Iterator[tuple[str, Document]]:
    """The paths of a resource and its subresources, with their operations."""
    base = f"/{base_path(resource.group, resource.version)}"
    everywhere = f"{base}/{resource.plural}"
    namespaced = f"{base}/namespaces/{{namespace}}/{resource.plural}"
    collection = namespaced if resource.namespaced else everywhere
    within = ["namespace"] if resource.namespaced else []
    kind = _Kind(resource.group, resource.version, resource.kind, resource.type_name or "")
    yield collection, _operations(resource, kind, dialect, ("list", "create", "deletecollection"), within)
    if resource.namespaced and "list" in resource.verbs:
        yield everywhere, _operations(resource, kind, dialect, ("list",), [])
    verbs = ("get", "update", "patch", "delete")
    if set(verbs) & set(resource.verbs):
        yield f"{collection}/{{name}}", _operations(resource, kind, dialect, verbs, [*within, "name"])
    for subresource in resource.subresources.values():
        part = _operations(
            resource,
            _kind_of(subresource, resource),
            dialect,
            subresource.verbs,
            [*within, "name"],
            subresource,
        )
        yield f"{collection}/{{name}}/{subresource.name}", part


@dataclass(frozen=True)
class _Kind:
    group: str
    version: str
    name: str
    type_name: str


def _kind_of(subresource: Subresource, resource: Resource) -> _Kind:
    if subresource.kind == resource.kind:
        return _Kind(resource.group, resource.version, resource.kind, resource.type_name or "")
    group = subresource.group or resource.group
    version = subresource.version or resource.version
    return _Kind(group, version, subresource.kind, _types().get((group, version, subresource.kind), ""))


def _types() -> dict[tuple[str, str, str], str]:
    if not _BY_KIND:
        for name, schema in definitions().items():
            for kind in schema.get("x-kubernetes-group-version-kind", ()):
                _BY_KIND.setdefault((kind["group"], kind["version"], kind["kind"]), name)
    return _BY_KIND


_BY_KIND: dict[tuple[str, str, str], str] = {}


def _operations(
    resource: Resource,
    kind: _Kind,
    dialect: Dialect,
    verbs: tuple[str, ...],
    within: list[str],
    subresource: Subresource | None = None,
) -> Document:
    served = subresource.verbs if subresource else resource.verbs
    operations: Document = {"parameters": [dialect.parameter(name, "string", "path") for name in within]}
    for verb in verbs:
        if verb in served and verb in _METHODS:
            method, action = _METHODS[verb]
            scope = "Namespaced" if "namespace" in within else ""
            part = subresource.name.capitalize() if subresource else ""
            everywhere = "ForAllNamespaces" if resource.namespaced and not within else ""
            place = f"{_camel(resource.group or 'core')}{resource.version.capitalize()}{scope}"
            operations[method] = {
                "operationId": f"{action}{place}{resource.kind}{part}{everywhere}",
                "tags": [f"{resource.group or 'core'}_{resource.version}".replace(".", "_")],
                **_operation(
                    verb, kind, dialect, PATCHES if resource.is_custom else (*PATCHES, STRATEGIC_PATCH)
                ),
            }
    return operations


def _camel(group: str) -> str:
    return "".join(part.capitalize() for part in group.removesuffix(".k8s.io").split("."))


def _operation(verb: str, kind: _Kind, dialect: Dialect, patches: tuple[str, ...]) -> Document:
    parameters = [dialect.parameter(name, type_) for name, type_ in _QUERIES.get(verb, ())]
    if not kind.type_name:
        request = {"parameters": parameters}
    elif verb in {"create", "update"}:
        request = dialect.request(kind.type_name, (JSON, "application/yaml"), parameters)
    elif verb == "patch":
        request = dialect.request(f"{_META}Patch", patches, parameters)
    elif verb.startswith("delete"):
        request = dialect.request(f"{_META}DeleteOptions", (JSON,), parameters)
    else:
        request = {"parameters": parameters}
    answered = {
        "list": f"{kind.type_name}List",
        "delete": f"{_META}Status",
        "deletecollection": f"{_META}Status",
    }
    known = {"group": kind.group, "version": kind.version, "kind": kind.name}
    return {
        **request,
        **(dialect.answers(answered.get(verb, kind.type_name)) if kind.type_name else _UNTYPED),
        "x-kubernetes-action": _ACTIONS.get(verb, verb),
        "x-kubernetes-group-version-kind": known,
    }


_UNTYPED: Document = {"responses": {"200": {"description": "OK"}}}
"""Of what has no type: proxies and streams."""
