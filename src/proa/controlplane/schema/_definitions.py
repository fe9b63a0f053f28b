"""Kubernetes' types by definition name, read from the package's data when first needed (a few
milliseconds).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from proa.controlplane._json import Document, decode
from proa.controlplane._lazy_document import Lazy


def load(name: str) -> Any:
    """One of the package's data files, parsed."""
    return decode(_read(name))


def _read(name: str) -> bytes:
    return (files("proa.controlplane") / "data" / f"{name}.json").read_bytes()


@cache
def definitions() -> dict[str, Document]:
    """Every type of Kubernetes: definition name to its schema, made when it is asked for. Read-only."""
    return Lazy.of(_read("definitions"))


@cache
def _protobuf_fields() -> dict[str, dict[str, list[str]]]:
    """The protobuf fields of each type, by package and name; `?` marks those that are left out when zero."""
    table: dict[str, dict[str, list[str]]] = load("protobuf")
    return table


def zero_omitted(type_name: str) -> frozenset[str]:
    """The fields of a type that are not written when they are zero, false or empty."""
    package, _, name = type_name.rpartition(".")
    fields = _protobuf_fields().get(package, {}).get(name, ())
    return frozenset(entry.split(" ")[1] for entry in fields if entry.endswith("?"))


@cache
def _names_by_kind() -> dict[tuple[str, str, str], str]:
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, schema in definitions().items()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
    }


def type_of_kind(group: str, version: str, kind: str) -> str | None:
    """The definition name of a kind, for example `io.k8s.api.core.v1.Pod`."""
    return _names_by_kind().get((group, version, kind))
