"""The requests that change objects, checked before they are sent."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypedDict, get_args

from proa.kube.codec import encode
from proa.kube.core import patches
from proa.kube.core.request import JSON, Place, Propagation, Request, Selection
from proa.kube.errors import InvalidRequestError
from proa.kube.models import Model, PartialObjectMetadata, Resource
from proa.kube.models.meta_v1 import DeleteOptions, Preconditions

# Their kinds, such as TokenReview, are questions: they are answered and not kept, and have no names.
REVIEWS = {"authentication.k8s.io", "authorization.k8s.io"}
FieldValidation: TypeAlias = Literal["Ignore", "Warn", "Strict"]


class WriteOptions(TypedDict, total=False):
    """What every verb that writes takes besides."""

    dry_run: bool
    """Go through all of it, admission included, but store nothing."""
    manager: str
    """Who the changed fields belong to from now on; by default the client's user agent."""
    field_validation: FieldValidation
    """What becomes of fields that the type does not have: `Ignore`, `Warn` (the default of servers; see
    `Client.on_warning`), or `Strict`: BadRequestError."""


def create(place: Place, body: Resource, options: WriteOptions) -> Request:
    """Create an object."""
    _refuse_partial(body)
    if place.resource.group not in REVIEWS and not (body.metadata.name or body.metadata.generate_name):
        raise InvalidRequestError(
            f"the {place.resource.kind} to create has neither a name nor a generateName"
        )
    if place.resource.namespaced and place.namespace is None:
        raise InvalidRequestError(
            f"the {place.resource.kind} to create has no namespace, and the Api has none"
        )
    return Request("POST", place.collection(), _query(options), encode(body))


def replace(
    place: Place, body: Resource, subresource: str | None = None, options: WriteOptions | None = None
) -> Request:
    """Replace an object; with a resource version only if it is still at that version."""
    _refuse_partial(body)
    return put(place, body.metadata.name or "", subresource, body, options or {})


def put(place: Place, name: str, subresource: str | None, body: Model, options: WriteOptions) -> Request:
    """Replace what is under an object's path."""
    return Request("PUT", place.one(name, subresource), _query(options), encode(body))


def patch(
    place: Place,
    name: str,
    change: patches.Patch,
    subresource: str | None = None,
    options: WriteOptions | None = None,
    *,
    accept: str = JSON,
) -> Request:
    """Change a part of an object."""
    chosen = options or {}
    if isinstance(change, patches.Apply):
        if subresource != "scale":
            _check_applied(place, name, change)
        if "manager" in chosen:
            raise InvalidRequestError("Apply names its manager itself: leave out manager=")
    elif isinstance(change, patches.Json) and chosen.get("field_validation"):
        # The server looks for unknown fields in what it decodes; the operations of a JSON patch it does not.
        raise InvalidRequestError(
            "a JSON patch is not checked for unknown fields: leave out field_validation="
        )
    content_type, query = patches.content_type(change), _query(chosen) | patches.query(change)
    return Request("PATCH", place.one(name, subresource), query, patches.body(change), content_type, accept)


def delete(
    place: Place,
    name: str,
    *,
    grace_period: int | None = None,
    propagation: Propagation | None = None,
    uid: str | None = None,
    resource_version: str | None = None,
    dry_run: bool = False,
    accept: str = JSON,
) -> Request:
    """Delete one object; with a uid or a resource version only if it is still that one."""
    options = delete_options(grace_period, propagation, uid, resource_version, dry_run=dry_run)
    return Request("DELETE", place.one(name), body=encode(options), accept=accept)


def delete_collection(
    place: Place,
    selection: Selection,
    *,
    grace_period: int | None = None,
    propagation: Propagation | None = None,
    dry_run: bool = False,
) -> Request:
    """Delete the objects of one namespace, or of a cluster-scoped type, that are selected."""
    if place.resource.namespaced and place.namespace is None:
        raise InvalidRequestError(
            f"{place.resource.plural} are deleted one namespace at a time: give namespace="
        )
    options = delete_options(grace_period, propagation, dry_run=dry_run)
    return Request("DELETE", place.collection(), selection.query(), encode(options))


def delete_options(
    grace_period: int | None = None,
    propagation: Propagation | None = None,
    uid: str | None = None,
    resource_version: str | None = None,
    *,
    dry_run: bool = False,
) -> DeleteOptions:
    """Return how an object is to be deleted; raises InvalidRequestError for what cannot be."""
    if grace_period is not None and grace_period < 0:
        raise InvalidRequestError(f"a grace period of {grace_period} seconds cannot be asked for")
    if propagation is not None and propagation not in get_args(Propagation):
        raise InvalidRequestError(
            f"the propagation {propagation!r} is none of {', '.join(get_args(Propagation))}"
        )
    guarded = uid is not None or resource_version is not None
    return DeleteOptions(
        grace_period_seconds=grace_period,
        propagation_policy=propagation,
        preconditions=Preconditions(uid=uid, resource_version=resource_version) if guarded else None,
        dry_run=["All"] if dry_run else [],
    )


def _query(options: WriteOptions) -> dict[str, str | tuple[str, ...]]:
    query: dict[str, str | tuple[str, ...]] = {}
    if options.get("dry_run"):
        query["dryRun"] = "All"
    if (validation := options.get("field_validation")) is not None:
        if validation not in get_args(FieldValidation):
            raise InvalidRequestError(
                f"the field validation {validation!r} is none of {', '.join(get_args(FieldValidation))}"
            )
        query["fieldValidation"] = validation
    if (manager := options.get("manager")) is not None:
        query["fieldManager"] = patches.checked_manager(manager)
    return query


def _refuse_partial(body: Resource) -> None:
    if isinstance(body, PartialObjectMetadata):
        raise InvalidRequestError(
            f"only the metadata of {body.metadata.name!r} was read, and a write would wipe the rest: patch it"
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
