"""In which form a client gets objects: whole, as a table, or their metadata only.

A representation turns stored objects into bytes: one object, the items of a list, or the object of a
watch event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from proa.controlplane._errors import StatusError
from proa.controlplane._json import Document, encode
from proa.controlplane.presentation import Table, table_of
from proa.controlplane.registry import Resource
from proa.controlplane.storage import Stored

WATCH_TYPES = frozenset({"application/json", "application/yaml", "*/*", "application/*"})


class Representation(Protocol):
    """A form in which objects are sent; equal ones give equal bytes."""

    def one(self, resource: Resource, tail: bytes) -> bytes:
        """One object, from its stored tail."""

    def many(self, resource: Resource, items: Iterable[Stored], metadata: Document) -> list[bytes]:
        """A list, with the list's own metadata, in pieces."""

    def bookmark(self, resource: Resource, metadata: Document) -> bytes:
        """The object of a bookmark event."""


class Whole:
    """Objects as they are."""

    def one(self, resource: Resource, tail: bytes) -> bytes:
        """Kind and version, then the tail as it is stored."""
        return resource.prefix + resource.served_tail(tail)

    def many(self, resource: Resource, items: Iterable[Stored], metadata: Document) -> list[bytes]:
        """Items have no kind of their own, as with Kubernetes."""
        head = {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata}
        if resource.is_custom:  # theirs have, and the list says that it does not go on
            head["metadata"] = {"continue": "", **metadata}
        prefix = resource.prefix if resource.is_custom else b"{"
        separator, pieces = b"," + prefix, [encode(head)[:-1] + b',"items":[', prefix]
        for stored in items:
            pieces += (resource.served_tail(stored.tail), separator)
        pieces[-1] = b"]}"  # in the place of the last separator, or of the first object's prefix
        return pieces

    def bookmark(self, resource: Resource, metadata: Document) -> bytes:
        """An object of the kind with nothing but metadata."""
        return resource.prefix + encode({"metadata": metadata})[1:]


class Metadata:
    """`PartialObjectMetadata`."""

    _KIND = "PartialObjectMetadata"

    def one(self, _resource: Resource, tail: bytes) -> bytes:
        """Metadata without the rest."""
        return encode(partial(Stored.document_of(tail)))

    def many(self, _resource: Resource, items: Iterable[Stored], metadata: Document) -> list[bytes]:
        """A list of metadata."""
        head = {"kind": f"{self._KIND}List", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        return [encode(head | {"items": [partial(stored.document()) for stored in items]})]

    def bookmark(self, _resource: Resource, metadata: Document) -> bytes:
        """The metadata, nothing else."""
        return encode(partial({"metadata": metadata}))


def partial(document: Document) -> Document:
    """An object's metadata, as an object of its own kind."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": document["metadata"]}


class Tabular:
    """`Table`: rows and columns, as kubectl prints them. `include` says how much of the object goes with
    a row.
    """

    def __init__(self, include: str) -> None:
        self._include = include

    def one(self, resource: Resource, tail: bytes) -> bytes:
        """A table of one row."""
        document = resource.served(Stored.document_of(tail))
        metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
        return self._encode(resource, [document], metadata)

    def many(self, resource: Resource, items: Iterable[Stored], metadata: Document) -> list[bytes]:
        """A table of many rows."""
        return [self._encode(resource, (resource.served(stored.document()) for stored in items), metadata)]

    def bookmark(self, resource: Resource, metadata: Document) -> bytes:
        """A table without cells, whose row has the bookmark's metadata."""
        table = table_of(resource, [], {"resourceVersion": metadata["resourceVersion"]})
        table["rows"] = [{"cells": [], "object": partial({"metadata": metadata})}]
        return encode(table)

    def _encode(self, resource: Resource, documents: Iterable[Document], metadata: Document) -> bytes:
        documents = list(documents)
        table: Table = table_of(resource, documents, metadata)
        for row, document in zip(table["rows"], documents, strict=True):
            row["object"] = self._object(resource, document)
        return encode(table)

    def _object(self, resource: Resource, document: Document) -> Document | None:
        match self._include:
            case "None":
                return None
            case "Object":
                return {"kind": resource.kind, "apiVersion": resource.api_version, **document}
        return partial(document)


WHOLE = Whole()
METADATA = Metadata()
_TABLES = {include: Tabular(include) for include in ("None", "Metadata", "Object")}


def negotiate(accept: str, include: str = "") -> Representation:
    """The first form of an `Accept` header that we have.

    Raises:
        StatusError: 406, none.
    """
    if accept in {"", "application/json", "*/*"}:
        return WHOLE
    for choice in accept.split(","):
        media_type, *rest = (part.strip() for part in choice.split(";"))
        if media_type not in WATCH_TYPES:
            continue
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        form = parameters.get("as", "")
        if not form:
            return WHOLE
        if parameters.get("g") != "meta.k8s.io" or parameters.get("v") not in {"v1", "v1beta1"}:
            continue
        if form == "Table":
            return _TABLES.get(include, _TABLES["Metadata"])
        if form in {"PartialObjectMetadata", "PartialObjectMetadataList"}:
            return METADATA
    message = (
        "none of the accepted media types can be had: available are application/json and application/yaml"
    )
    raise StatusError(406, "NotAcceptable", message, {})
