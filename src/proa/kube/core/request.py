"""What is sent: requests, where they go, which objects they mean; and the requests that read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from proa.kube.core.names import segment
from proa.kube.core.selectors import Selector
from proa.kube.errors import InvalidRequestError
from proa.kube.models import ResourceInfo
from proa.kube.models.meta_v1 import LabelSelector

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
Propagation: TypeAlias = Literal["Orphan", "Background", "Foreground"]
LabelSelection: TypeAlias = str | Selector | LabelSelector
_IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}
# The server itself asks for more than that to be watched in pieces; load balancers cut what is older.
LONGEST_WATCH = 295


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request without host and credentials."""

    method: str
    path: str
    query: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Parameters; one with several values is sent several times."""
    body: bytes | None = None
    content_type: str = JSON
    accept: str = JSON

    @property
    def idempotent(self) -> bool:
        """Whether sending it twice leaves the server as sending it once does."""
        return self.method in _IDEMPOTENT or (self.method == "PATCH" and self.content_type == APPLY)

    def pairs(self) -> list[tuple[str, str]]:
        """Return the query as names and values."""
        return [
            (name, item)
            for name, value in self.query.items()
            for item in ((value,) if isinstance(value, str) else value)
        ]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: a resource, and the namespace for a namespaced one."""

    resource: ResourceInfo
    namespace: str | None = None

    def __post_init__(self) -> None:
        if self.namespace is not None and not self.resource.namespaced:
            raise InvalidRequestError(
                f"{self.resource.plural} belong to the cluster, not to a namespace: leave out namespace="
            )

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


def get(
    place: Place,
    name: str,
    subresource: str | None = None,
    *,
    resource_version: str | None = None,
    accept: str = JSON,
) -> Request:
    """Read one object."""
    query = {"resourceVersion": resource_version} if resource_version else {}
    return Request("GET", place.one(name, subresource), query, accept=accept)


def list_page(
    place: Place,
    selection: Selection,
    *,
    limit: int | None = None,
    continue_: str | None = None,
    resource_version: str | None = None,
    accept: str = JSON,
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
    return Request("GET", place.collection(), query, accept=accept)


def watch(
    place: Place,
    selection: Selection,
    resource_version: str,
    timeout: int,
    *,
    initial_events: bool = False,
    accept: str = JSON,
) -> Request:
    """Follow the changes of a collection since a resource version."""
    if not 1 <= timeout < LONGEST_WATCH:
        raise InvalidRequestError(
            f"a watch of {timeout} seconds cannot be asked for: 1 to {LONGEST_WATCH - 1} can"
        )
    query = selection.query() | {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(timeout),
    }
    if initial_events:
        query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    if resource_version:
        query["resourceVersion"] = resource_version
    return Request("GET", place.collection(), query, accept=accept)
