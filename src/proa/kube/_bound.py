"""A type bound to a client: what all verbs of an `Api` stand on."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from proa.kube.client import Client
from proa.kube.codec import decode
from proa.kube.core.request import JSON, Place, Request
from proa.kube.models import PartialObjectMetadata, Resource

K = TypeVar("K", bound=Resource)
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class Bound(Generic[K]):
    """A client, a type, and where its objects live."""

    def __init__(self, client: Client, type_: type[Any], *, namespace: str | None = None) -> None:
        self.client = client
        self.type: type[K] = type_
        self.namespace = namespace
        self._place = Place(type_.resource, namespace)
        self._place.collection()
        partial = issubclass(type_, PartialObjectMetadata)
        self._accept, self._accept_list = (METADATA, METADATA_LIST) if partial else (JSON, JSON)

    async def _send(self, request: Request) -> K:
        return decode((await self.client.request(request)).body, self.type)

    def _in(self, namespace: str | None) -> Place:
        return self._place if namespace is None else Place(self.type.resource, namespace)

    def _home(self, obj: Resource, namespace: str | None) -> Place:
        """Return where an object belongs: as asked for, else where the Api is, else where it says itself."""
        own = obj.metadata.namespace if self.type.resource.namespaced else None
        return self._in(namespace or self.namespace or own)
