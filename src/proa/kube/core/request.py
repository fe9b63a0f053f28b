"""The request of every verb, checked before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from proa.kube.codec import encode
from proa.kube.core import patches
from proa.kube.core.names import segment
from proa.kube.core.selectors import Selector
from proa.kube.errors import InvalidRequestError
from proa.kube.models import Resource, ResourceInfo
from proa.kube.models.meta_v1 import DeleteOptions, LabelSelector, Preconditions

JSON = "application/json"
Propagation: TypeAlias = Literal["Orphan", "Background", "Foreground"]
LabelSelection: TypeAlias = str | Selector | LabelSelector


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request without host and credentials."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = JSON
    accept: str = JSON


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: a resource, and the namespace for a namespaced one."""

    resource: ResourceInfo
    namespace: str | None = None

    def collection(self) -> str:
        """Return the path of the collection, over all namespaces if none is given."""
        resource = self.resource
        root = f"/apis/{resource.group}" if resource.group else "/api"
        inside = (
            f"/namespaces/{segment(self.namespace, 'the namespace')}" if self.namespace is not None else ""
        )
        return f"{root}/{resource.version}{inside}/{resource.plural}"

    def one(self, name: str, subresource: str | None = None) -> str:
        """Return the path of one object, or of a subresource of it."""
        if self.resource.namespaced and self.namespace is None:
            raise InvalidRequestError(
                f"{self.resource.plural} live in namespaces: give namespace= to the call or to the Api"
            )
        tail = "".join(
            f"/{segment(part, 'the subresource')}" for part in (subresource or "").split("/") if part
        )
        return f"{self.collection()}/{segment(name, f'the name of a {self.resource.kind}')}{tail}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which objects of a collection are meant."""

    label_selector: LabelSelection | None = None
    field_selector: str | None = None

    def query(self) -> dict[str, str]:
        """Return the query parameters; raises InvalidRequestError for a selector that cannot be read."""
        parameters = {}
        if self.label_selector is not None and (text := str(Selector.of(self.label_selector))):
            parameters["labelSelector"] = text
        if self.field_selector:
            parameters["fieldSelector"] = self.field_selector
        return parameters


def get(place: Place, name: str, subresource: str | None = None) -> Request:
    """Read one object."""
    return Request("GET", place.one(name, subresource))


def list_page(
    place: Place,
    selection: Selection,
    *,
    limit: int | None = None,
    continue_: str | None = None,
    resource_version: str | None = None,
) -> Request:
    """Read one page of a collection."""
    if limit is not None and limit < 1:
        raise InvalidRequestError(f"a page of {limit} objects cannot be asked for")
    if continue_ and resource_version:
        raise InvalidRequestError("a continue token carries its resource version: give one of the two")
    query = selection.query()
    if limit is not None:
        query["limit"] = str(limit)
    if continue_:
        query["continue"] = continue_
    if resource_version:
        query["resourceVersion"] = resource_version
    return Request("GET", place.collection(), query)


def watch(place: Place, selection: Selection, resource_version: str, timeout: int) -> Request:
    """Follow the changes of a collection since a resource version."""
    if timeout < 1:
        raise InvalidRequestError(f"a watch of {timeout} seconds cannot be asked for")
    query = selection.query() | {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(timeout),
    }
    if resource_version:
        query["resourceVersion"] = resource_version
    return Request("GET", place.collection(), query)


def create(place: Place, body: Resource) -> Request:
    """Create an object."""
    if not (body.metadata.name or body.metadata.generate_name):
        raise InvalidRequestError(
            f"the {place.resource.kind} to create has neither a name nor a generateName"
        )
    if place.resource.namespaced and place.namespace is None:
        raise InvalidRequestError(
            f"the {place.resource.kind} to create has no namespace, and the Api has none"
        )
    return Request("POST", place.collection(), body=encode(body))


def replace(place: Place, body: Resource, subresource: str | None = None) -> Request:
    """Replace an object; with a resource version only if it is still at that version."""
    return Request("PUT", place.one(body.metadata.name or "", subresource), body=encode(body))


def patch(place: Place, name: str, change: patches.Patch, subresource: str | None = None) -> Request:
    """Change a part of an object."""
    if isinstance(change, patches.Apply):
        _check_applied(place, name, change)
    content_type, query = patches.content_type(change), patches.query(change)
    return Request("PATCH", place.one(name, subresource), query, patches.body(change), content_type)


def delete(
    place: Place,
    name: str,
    *,
    grace_period: int | None = None,
    propagation: Propagation | None = None,
    uid: str | None = None,
) -> Request:
    """Delete one object; with a uid only if it is still that one."""
    options = _delete_options(grace_period, propagation, uid)
    return Request("DELETE", place.one(name), body=encode(options))


def delete_collection(
    place: Place,
    selection: Selection,
    *,
    grace_period: int | None = None,
    propagation: Propagation | None = None,
) -> Request:
    """Delete the objects of one namespace, or of a cluster-scoped type, that are selected."""
    if place.resource.namespaced and place.namespace is None:
        raise InvalidRequestError(
            f"{place.resource.plural} are deleted one namespace at a time: give namespace="
        )
    options = _delete_options(grace_period, propagation, None)
    return Request("DELETE", place.collection(), selection.query(), encode(options))


def create_subresource(place: Place, name: str, subresource: str, body: object) -> Request:
    """Post to a subresource: binding, eviction, token."""
    return Request("POST", place.one(name, subresource), body=encode(body))


def logs(
    place: Place,
    name: str,
    *,
    container: str | None = None,
    follow: bool = False,
    tail_lines: int | None = None,
    previous: bool = False,
    timestamps: bool = False,
    since_seconds: int | None = None,
) -> Request:
    """Read a container's log."""
    chosen = {
        "container": container,
        "follow": "true" if follow else None,
        "tailLines": None if tail_lines is None else str(tail_lines),
        "previous": "true" if previous else None,
        "timestamps": "true" if timestamps else None,
        "sinceSeconds": None if since_seconds is None else str(since_seconds),
    }
    query = {key: value for key, value in chosen.items() if value is not None}
    return Request("GET", place.one(name, "log"), query, accept="text/plain, application/json")


def _delete_options(
    grace_period: int | None, propagation: Propagation | None, uid: str | None
) -> DeleteOptions:
    if grace_period is not None and grace_period < 0:
        raise InvalidRequestError(f"a grace period of {grace_period} seconds cannot be asked for")
    return DeleteOptions(
        grace_period_seconds=grace_period,
        propagation_policy=propagation,
        preconditions=Preconditions(uid=uid) if uid is not None else None,
    )


def _check_applied(place: Place, name: str, change: patches.Apply) -> None:
    applied = change.object
    kind = applied.kind if isinstance(applied, Resource) else applied.get("kind", place.resource.kind)
    if kind != place.resource.kind:
        raise InvalidRequestError(f"a {kind} cannot be applied to {place.resource.plural}")
    metadata = (
        applied.metadata.name if isinstance(applied, Resource) else applied.get("metadata", {}).get("name")
    )
    if metadata not in {None, name}:
        raise InvalidRequestError(f"the object to apply is named {metadata!r}, the request says {name!r}")
