"""The bases of every kind that has an endpoint of its own: scope in the type, so that mypy can check it."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from proa.kube.models._base import Model, ResourceInfo
from proa.kube.models.meta_v1 import ObjectMeta


class Resource(Model, kw_only=True):
    """An object of the API: it has a name, a resource version and an endpoint (`resource`)."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)

    resource: ClassVar[ResourceInfo]


class Namespaced(Resource, kw_only=True):
    """A resource that lives in a namespace."""


class Cluster(Resource, kw_only=True):
    """A resource that lives in the cluster as a whole."""
