"""A resource of one's own, and the CustomResourceDefinition that makes a server offer it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import new_class
from typing import Any, TypeVar, cast

from proa.kube.codec import decode, encode
from proa.kube.crd._schema import CrdError, Schema, schema_of
from proa.kube.models import Cluster, Namespaced, Resource, ResourceInfo
from proa.kube.models._base import constant
from proa.kube.models.apiextensions_v1 import CustomResourceDefinition

R = TypeVar("R", bound=Resource)
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
# The server knows these by itself.
_SKIPPED = frozenset({"apiVersion", "kind", "metadata"})
_COLUMN_TYPES = {"integer", "number", "string", "boolean", "date"}


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    json_path: str
    """Where its value stands: `.spec.size`."""
    type: str | None = None
    """`integer`, `number`, `string`, `boolean` or `date`; by default as the schema says."""
    format: str | None = None
    description: str | None = None
    priority: int | None = None
    """More than 0 is shown with `-o wide` only."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The subresource `scale`: where the numbers of replicas stand."""

    spec_replicas_path: str = ".spec.replicas"
    status_replicas_path: str = ".status.replicas"
    label_selector_path: str | None = None


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `resource` was told about one version."""

    columns: tuple[Column, ...]
    scale: Scale | None
    selectable: tuple[str, ...]
    served: bool
    deprecated: bool
    deprecation_warning: str | None


def resource(
    *,
    group: str,
    version: str,
    kind: str | None = None,
    plural: str | None = None,
    singular: str | None = None,
    short_names: tuple[str, ...] = (),
    categories: tuple[str, ...] = (),
    columns: tuple[Column, ...] = (),
    scale: Scale | None = None,
    selectable: tuple[str, ...] = (),
    served: bool = True,
    deprecated: bool = False,
    deprecation_warning: str | None = None,
) -> Callable[[type[R]], type[R]]:
    """Make a subclass of `Namespaced` or `Cluster` a custom resource, for `Api` and for `definition`.

    Args:
        group: a domain that is yours: `example.com`.
        version: `v1`, `v1beta1`.
        kind: by default the class's name.
        plural: by default as English has it.
        singular: by default the kind in lower case.
        short_names: for kubectl: `("wd",)`.
        categories: groups of resources for kubectl: `("all",)`.
        columns: what `kubectl get` shows.
        scale: makes `kubectl scale` and autoscalers work.
        selectable: paths that field selectors may name (Kubernetes 1.31): `(".spec.color",)`.
        served: whether the server offers this version.
        deprecated: have the server warn whoever uses this version.
        deprecation_warning: what it says then.

    Raises:
        CrdError: a name that no server would accept. Types are looked at by `definition`.
    """

    def decorate(cls: type[R]) -> type[R]:
        name = kind or cls.__name__
        names = (plural or _plural(name.lower()), singular or name.lower())
        info = ResourceInfo(
            group, version, name, *names, issubclass(cls, Namespaced), short_names, categories
        )
        _check(cls, info)
        options = Options(
            columns=columns,
            scale=scale,
            selectable=selectable,
            served=served,
            deprecated=deprecated or deprecation_warning is not None,
            deprecation_warning=deprecation_warning,
        )
        # Defaults of fields cannot be changed once a class is made: those of a subclass can be its own.
        named = {
            "__annotations__": {"api_version": str, "kind": str},
            "api_version": constant(info.api_version),
            "kind": constant(name),
            "resource": info,
            "__crd__": options,
            "__doc__": cls.__doc__,
            "__module__": cls.__module__,
        }
        return cast(
            "type[R]", new_class(cls.__name__, (cls,), {"kw_only": True}, lambda body: body.update(named))
        )

    return decorate


def definition(*types: type[Resource], storage: type[Resource] | None = None) -> CustomResourceDefinition:
    """Return the definition of a custom resource.

    Args:
        types: its versions, all of one group, kind and scope.
        storage: the version that is stored; by default the last one.

    Raises:
        CrdError: a type has no structural schema, or the versions do not go together.
    """
    return decode(encode(document(*types, storage=storage)), CustomResourceDefinition)


def document(*types: type[Resource], storage: type[Resource] | None = None) -> dict[str, Any]:
    """Return what `definition` does, as the plain document for YAML."""
    first = _merged(types)
    stored = storage or types[-1]
    if stored not in types:
        raise CrdError(f"the version to store, {stored.__name__}, is none of those given")
    names = {
        "plural": first.plural,
        "singular": first.singular,
        "kind": first.kind,
        "listKind": f"{first.kind}List",
        "shortNames": list(first.short_names) or None,
        "categories": list(first.categories) or None,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{first.plural}.{first.group}"},
        "spec": {
            "group": first.group,
            "scope": "Namespaced" if first.namespaced else "Cluster",
            "names": _without_none(names),
            "versions": [_version(cls, storage=cls is stored) for cls in types],
        },
    }


def _merged(types: tuple[type[Resource], ...]) -> ResourceInfo:
    if not types:
        raise CrdError("a definition needs at least one version")
    for cls in types:
        if not hasattr(cls, "__crd__"):
            raise CrdError(f"{cls.__name__} is no custom resource: decorate it with crd.resource(...)")
    first = types[-1].resource
    for cls in types:
        if cls.resource._replace(version="") != first._replace(version=""):
            raise CrdError(
                f"the versions {cls.resource.version} and {first.version} of {first.kind} "
                "differ in group, names, categories or scope"
            )
    versions = [cls.resource.version for cls in types]
    if len(set(versions)) < len(versions):
        raise CrdError(f"a version of {first.kind} is given twice: {', '.join(versions)}")
    return first


def _version(cls: type[Resource], *, storage: bool) -> dict[str, Any]:
    options: Options = cls.__crd__  # type: ignore[attr-defined]
    schema = schema_of(cls, _SKIPPED)
    subresources: dict[str, Any] = {}
    if "status" in schema.get("properties", {}):
        subresources["status"] = {}
    if options.scale is not None:
        subresources["scale"] = _scale(cls, options.scale, schema)
    return _without_none(
        {
            "name": cls.resource.version,
            "served": options.served,
            "storage": storage,
            "deprecated": options.deprecated or None,
            "deprecationWarning": options.deprecation_warning,
            "schema": {"openAPIV3Schema": schema},
            "subresources": subresources or None,
            "additionalPrinterColumns": [_column(cls, column, schema) for column in options.columns] or None,
            "selectableFields": [{"jsonPath": _checked(cls, path, schema)} for path in options.selectable]
            or None,
        }
    )


def _scale(cls: type[Resource], scale: Scale, schema: Schema) -> dict[str, str]:
    paths = {
        "specReplicasPath": scale.spec_replicas_path,
        "statusReplicasPath": scale.status_replicas_path,
        "labelSelectorPath": scale.label_selector_path,
    }
    return {key: _checked(cls, path, schema) for key, path in paths.items() if path is not None}


def _column(cls: type[Resource], column: Column, schema: Schema) -> dict[str, Any]:
    found = _at(column.json_path, schema)
    type_ = column.type or _column_type(found)
    if type_ not in _COLUMN_TYPES:
        raise CrdError(f"{cls.__name__}: the column {column.name!r} has no type {type_!r}")
    return _without_none(
        {
            "name": column.name,
            "jsonPath": column.json_path,
            "type": type_,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
    )


def _column_type(schema: Schema | None) -> str:
    if schema is None:
        return "string"
    if schema.get("format") == "date-time":
        return "date"
    found = schema.get("type", "string")
    return str(found) if found in _COLUMN_TYPES else "string"


def _checked(cls: type[Resource], path: str, schema: Schema) -> str:
    if _at(path, schema) is None:
        raise CrdError(f"{cls.__name__}: there is no field {path}")
    return path


def _at(path: str, schema: Schema) -> Schema | None:
    """Return the schema of a field by its path; None where there is none, or where the path is not simple."""
    found: Schema | None = schema
    for part in path.lstrip(".").split("."):
        found = (found or {}).get("properties", {}).get(part)
    return found


def _check(cls: type[Resource], info: ResourceInfo) -> None:
    if not issubclass(cls, Namespaced | Cluster):
        raise CrdError(f"{cls.__name__} must derive from Namespaced or Cluster")
    for what, value, pattern in (
        ("group", info.group, _GROUP),
        ("version", info.version, _VERSION),
        ("kind", info.kind, _KIND),
    ):
        if not pattern.fullmatch(value):
            raise CrdError(f"{cls.__name__}: {value!r} is no {what} that a server accepts")


def _plural(word: str) -> str:
    if re.search(r"(s|x|z|ch|sh)$", word):
        return f"{word}es"
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}s"


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
