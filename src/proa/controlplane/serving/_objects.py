"""The verbs on objects, but for watch: get, list, create, update, patch, delete, deletecollection."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from aiohttp import web

from proa.controlplane._errors import (
    StatusError,
    bad_request,
    expired,
    invalid,
    invalid_value,
    not_found,
    resource_version_too_large,
    unprocessable_patch,
    unsupported_media_type,
)
from proa.controlplane._json import Document, UnreadableError, decode
from proa.controlplane.patch import MAX_OPERATIONS, PatchError, json_patch, merge_patch, strategic_merge_patch
from proa.controlplane.registry import Options, Registry, Resource
from proa.controlplane.registry._options import DeleteOptions
from proa.controlplane.registry._outcome import MistypedError, Outcome, undecodable
from proa.controlplane.registry._registry import Change
from proa.controlplane.storage import CompactedError, Store, Stored

from . import _bodies, _responses
from ._dispatcher import Call
from ._listing import INCONSISTENT, ListOptions, Page, make_token, revision_number, select
from ._representation import negotiate

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class ObjectService:
    """Answers for objects."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store: Store = registry.store

    async def get(self, call: Call) -> web.StreamResponse:
        """One object."""
        info, resource = call.info, call.resource
        wanted = revision_number(info.query.get("resourceVersion", ""))
        if wanted > self._store.revision:
            raise resource_version_too_large(wanted, self._store.revision)
        stored = self._store.get(self._registry.key(resource, info.namespace, info.name))
        if stored is None:
            raise not_found(resource.qualified, info.name)
        form = negotiate(call.request.headers.get("Accept", ""), info.query.get("includeObject", ""))
        return _responses.json_bytes(form.one(resource, stored.tail))

    async def list_objects(self, call: Call) -> web.Response:
        """The objects of a collection that the query selects, all or a page of them."""
        info, resource = call.info, call.resource
        form = negotiate(call.request.headers.get("Accept", ""), info.query.get("includeObject", ""))
        options = ListOptions.parse(info.query, resource)
        page = self._page(resource, info.namespace, options)
        return _responses.json_pieces(form.many(resource, page.items, page.metadata(options)))

    def _page(self, resource: Resource, namespace: str, options: ListOptions) -> Page:
        within = namespace or None
        revision = options.revision_to_list(self._store.revision)
        try:
            objects: Iterable[Stored]
            if revision is None:
                objects = self._store.scan(resource.storage, within, options.after)
            else:
                objects = self._store.scan_at(revision, resource.storage, within)
            return select(resource, objects, options, revision or self._store.revision)
        except CompactedError:
            if options.after is None:
                raise expired("the resource version is too old; list again without it") from None
            why = (
                "the continue token is too old for a consistent list; list again without it, or go on with "
                "the token of this answer, and miss or repeat what has changed meanwhile"
            )
            raise expired(why, make_token(INCONSISTENT, options.after)) from None

    async def create(self, call: Call) -> web.StreamResponse:
        """A new object."""
        info, resource = call.info, call.resource
        options = write_options(call, "CreateOptions")
        document, warnings = await self._read(call, resource, options)
        outcome = await self._registry.create(resource, info.namespace, document, options)
        return self._answer(call, outcome, warnings)

    async def _read(self, call: Call, resource: Resource, options: Options) -> tuple[Document, list[str]]:
        data, document = await _bodies.read_object(call.request, resource.kind)
        check_kind(resource, document, told=resource.is_custom)
        plain = _bodies.content_type(call.request) in {"", _bodies.JSON}
        if not plain or options.field_validation == "Ignore" or _bodies.is_compact(data, document):
            return document, []
        return document, _check_duplicates(resource, data, options)

    def _answer(self, call: Call, outcome: Outcome, warnings: Iterable[str] = ()) -> web.StreamResponse:
        form = negotiate(call.request.headers.get("Accept", ""), call.info.query.get("includeObject", ""))
        body = form.one(call.resource, outcome.tail)
        return _responses.json_bytes(body, 201 if outcome.created else 200, [*warnings, *outcome.warnings])

    async def update(self, call: Call) -> web.StreamResponse:
        """An object replaced."""
        options = write_options(call, "UpdateOptions")
        document, warnings = await self._read(call, call.resource, options)
        outcome = await self._change(call, lambda _: document, options)
        return self._answer(call, outcome, warnings)

    async def patch(self, call: Call) -> web.StreamResponse:
        """An object changed."""
        if _bodies.content_type(call.request) == APPLY_PATCH:
            return await self.apply(call)
        options = write_options(call, "PatchOptions")
        change, about = await self._read_patch(call, call.resource)
        try:
            return self._answer(call, await self._change(call, change, options, about))
        except MistypedError as error:
            raise error.of_patch() from error

    async def apply(self, call: Call) -> web.StreamResponse:
        """A configuration applied by the server."""
        info, resource = call.info, call.resource
        options = write_options(call, "PatchOptions", applies=True)
        config = await _bodies.read_configuration(call.request)
        check_kind(resource, config, told=True)
        try:
            outcome = await self._registry.apply(
                resource, info.namespace, info.name, config, options, info.subresource
            )
        except MistypedError as error:
            raise error.of_patch() from error
        return self._answer(call, outcome)

    async def _change(
        self, call: Call, change: Change, options: Options, about: Collection[str] | None = None
    ) -> Outcome:
        info = call.info
        return await self._registry.update(
            call.resource, info.namespace, info.name, change, options, info.subresource, about=about
        )

    async def _read_patch(self, call: Call, resource: Resource) -> tuple[Change, Collection[str] | None]:
        """What the request's patch makes of an object, and which parts of it the patch is about, if it says.

        Raises:
            StatusError: 400 the patch cannot be read, 415 its type is not one that we know. The change
                raises 400 and 422.
        """
        media_type = _bodies.content_type(call.request)
        known = [JSON_PATCH, MERGE_PATCH, *([] if resource.is_custom else [STRATEGIC_PATCH])]
        if media_type not in known:
            raise _unknown_patch([*known, APPLY_PATCH], detailed=not resource.is_custom)
        try:
            patch = decode(await _bodies.read(call.request))
        except UnreadableError as error:
            raise bad_request(f"error decoding patch: {error}") from error
        if type(patch) is list and len(patch) > MAX_OPERATIONS:
            message = f"the allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
            raise StatusError(413, "RequestEntityTooLarge", message, {})

        def change(old: Document) -> Any:
            if not old:  # even where an update would create it
                raise not_found(resource.qualified, call.info.name)
            current = {"kind": resource.kind, "apiVersion": resource.api_version, **old}
            try:
                changed = _apply(media_type, current, patch, resource)
            except PatchError as error:
                raise _refused_patch(error) from error
            return _checked_result(resource, changed)

        merges = media_type != JSON_PATCH and type(patch) is dict
        return change, patch.keys() if merges else None

    async def delete(self, call: Call) -> web.StreamResponse:
        """An object deleted, or marked as to be deleted."""
        info, resource = call.info, call.resource
        options = await self._delete_options(call)
        outcome = await self._registry.delete(resource, info.namespace, info.name, options)
        if outcome.removed and not resource.strategy.returns_deleted:
            return _responses.json(_deleted(resource, info.name, outcome.uid))
        return self._answer(call, outcome)

    async def _delete_options(self, call: Call) -> DeleteOptions:
        data = await _bodies.read(call.request)
        body = None
        if data.strip():
            body = _bodies.parse_object(data, _bodies.content_type(call.request), "DeleteOptions")
        return DeleteOptions.parse(call.info.query, body)

    async def delete_collection(self, call: Call) -> web.Response:
        """All objects that the query selects, deleted; answers with what they were."""
        info, resource = call.info, call.resource
        options = await self._delete_options(call)
        listing = ListOptions.parse(info.query, resource)
        page = self._page(resource, info.namespace, listing)
        for stored in page.items:
            try:
                await self._registry.delete(resource, stored.key.namespace, stored.key.name, options)
            except StatusError as error:
                if error.code != 404:
                    raise
        form = negotiate(call.request.headers.get("Accept", ""))
        return _responses.json_pieces(form.many(resource, page.items, page.metadata(listing)))


def write_options(call: Call, kind: str, *, applies: bool = False) -> Options:
    """The options of a request that writes; `kind` is what errors call them.

    Raises:
        StatusError: 422, they are wrong.
    """
    agent = call.request.headers.get("User-Agent", "")
    options = Options.parse(call.info.query, kind, agent, applies=applies)
    size = call.request.content_length
    small = size is not None and size <= _bodies.INLINE
    return options if small else replace(options, large=True)


def check_kind(resource: Resource, document: Document, *, told: bool = False) -> None:
    """Refuses a body that says that it is something else, or nothing where it has to be `told`.

    Raises:
        StatusError: 400; 422 for custom resources of another kind.
    """
    missing = [name for name in ("kind", "apiVersion") if told and not document.get(name)]
    if missing:
        why = f"it does not say its {missing[0]}"
        raise bad_request(f"the object provided is unrecognized (must be of type {resource.kind}): {why}")
    kind = document.get("kind") or resource.kind
    version = document.get("apiVersion") or resource.api_version
    if kind == resource.kind and version == resource.api_version:
        return
    if resource.is_custom and version == resource.api_version:
        name = (document.get("metadata") or {}).get("name", "")
        raise invalid(
            resource.qualified_kind, name, [invalid_value("kind", kind, f"must be {resource.kind}")]
        )
    if version != resource.api_version:
        said = f'{kind} in version "{version}" cannot be handled as a {resource.kind}'
        message = f"{said}: it is not {resource.api_version}"
        raise bad_request(message)
    raise bad_request(f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}')


def _check_duplicates(resource: Resource, data: bytes, options: Options) -> list[str]:
    duplicates = [f'duplicate field "{name}"' for name in _bodies.duplicate_fields(data)]
    if duplicates and options.field_validation == "Strict":
        raise undecodable(resource, f"strict decoding error: {', '.join(duplicates)}")
    return duplicates


def _apply(media_type: str, current: Document, patch: Any, resource: Resource) -> Any:
    if media_type == JSON_PATCH:
        return json_patch(current, patch)
    if type(patch) is not dict:
        raise PatchError("the patch must be an object", malformed=True)
    if media_type == MERGE_PATCH:
        return merge_patch(current, patch)
    return strategic_merge_patch(current, patch, resource.type_name or "")


def _refused_patch(error: PatchError) -> StatusError:
    return bad_request(str(error)) if error.malformed else unprocessable_patch()


def _checked_result(resource: Resource, changed: Any) -> Document:
    if type(changed) is not dict or type(changed.get("metadata")) is not dict:
        raise unprocessable_patch()
    check_kind(resource, changed)
    return changed


def _unknown_patch(known: list[str], *, detailed: bool) -> StatusError:
    return unsupported_media_type(f"415: a patch must be one of {', '.join(known)}", detailed=detailed)


def _deleted(resource: Resource, name: str, uid: str) -> Document:
    about = {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in about.items() if value},
    }
