"""Subresources that are objects' parts: status, scale, finalize and the like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from aiohttp import web

from proa.controlplane._errors import (
    Qualified,
    bad_request,
    conflict,
    invalid,
    invalid_value,
)
from proa.controlplane._json import Document, UnreadableError, clone, decode
from proa.controlplane.patch import PatchError, json_patch, merge_patch
from proa.controlplane.registry import Registry, Resource, Review
from proa.controlplane.registry._ownership import own_scaled
from proa.controlplane.selectors import to_text

from . import _bodies, _responses
from ._dispatcher import Answer, Call
from ._objects import APPLY_PATCH, JSON_PATCH, ObjectService, check_kind, write_options

_SCALE = Qualified("autoscaling", "Scale")


class _OutdatedError(Exception):
    """An object has changed since others were asked about it."""


class SubresourceService:
    """Answers for subresources that change objects."""

    def __init__(self, registry: Registry, objects: ObjectService) -> None:
        self._registry = registry
        self._objects = objects

    def answers(self) -> dict[str, Answer]:
        """Who answers for which subresource."""
        return {
            "*/status": self.part,
            "pods/ephemeralcontainers": self.part,
            "pods/resize": self.part,
            "certificatesigningrequests/approval": self.part,
            "*/scale": self.scale,
            "namespaces/finalize": self.finalize,
        }

    async def part(self, call: Call) -> web.StreamResponse:
        """A part of an object, read and written as the whole object."""
        match call.info.verb:
            case "get":
                return await self._objects.get(call)
            case "update":
                return await self._objects.update(call)
        return await self._objects.patch(call)

    async def scale(self, call: Call) -> web.Response:
        """How many replicas a workload shall have and has."""
        info, resource = call.info, call.resource
        if info.verb == "get":
            stored = self._registry.latest(resource, info.namespace, info.name)
            return _responses.json(_scale_of(resource, stored.document()))
        data = await _bodies.read(call.request)
        media_type = _bodies.content_type(call.request)
        applies = media_type == APPLY_PATCH and info.verb == "patch"
        options = write_options(call, "UpdateOptions", applies=applies)

        def rescaled(scale: Document) -> Document:
            if info.verb == "update":
                wanted = _bodies.parse_object(data, media_type, "Scale")
            else:
                wanted = _patched_scale(media_type, scale, data)
            wanted = _bodies.typed(wanted, "autoscaling", "Scale")
            _check_scale(call, scale, wanted)
            return {**scale, "spec": wanted.get("spec", {})}

        def own(new: Document, old: Document) -> None:
            own_scaled(resource, new, old, options, applies=applies)

        while True:
            stored = self._registry.latest(resource, info.namespace, info.name)
            before = _scale_of(resource, resource.served(stored.document()))
            after = rescaled(before)
            review = Review("UPDATE", resource, info.namespace, info.name, after, before, options, "scale")
            await self._registry.ask(review)

            def change(old: Document, before: Document = before, after: Document = after) -> Document:
                if _scale_of(resource, old) != before:
                    raise _OutdatedError
                new: Document = clone(old)
                _put(new, resource.scale.wanted, after["spec"].get("replicas", 0))
                return new

            try:
                outcome = await self._registry.update(
                    resource, info.namespace, info.name, change, replace(options, asked=True), own=own
                )
            except _OutdatedError:
                continue
            response = _responses.json(_scale_of(resource, decode(b"{" + outcome.tail)))
            _responses.warn(response, [*review.warnings, *outcome.warnings])
            return response

    async def finalize(self, call: Call) -> web.StreamResponse:
        """A namespace's own finalizers changed."""
        info = call.info
        data = await _bodies.read(call.request)
        document = _bodies.parse_object(data, _bodies.content_type(call.request), "Namespace")
        check_kind(call.resource, document)
        options = write_options(call, "UpdateOptions")
        outcome = await self._registry.finish_finalizers(
            call.resource, info.name, lambda _: document, options
        )
        return _responses.json_bytes(call.resource.prefix + outcome.tail)


def _scale_of(resource: Resource, document: Document) -> Document:
    metadata, paths = document["metadata"], resource.scale
    wanted = _at(document, paths.wanted)
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    counts: Document = {"replicas": _at(document, paths.observed) or 0}
    selector = _at(document, paths.selector) if paths.selector else None
    if type(selector) is dict:
        plain = selector and not ({"matchLabels", "matchExpressions"} & selector.keys())
        selector = to_text({"matchLabels": selector} if plain else selector)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": wanted} if wanted else {},
        "status": counts | ({"selector": selector} if selector else {}),
    }


def _at(document: Document, path: Iterable[str]) -> Any:
    value: Any = document
    for name in path:
        value = value.get(name) if type(value) is dict else None
    return value


def _put(document: Document, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def _patched_scale(media_type: str, scale: Document, data: bytes) -> Document:
    if media_type == APPLY_PATCH:
        return _bodies.parse_configuration(data)
    try:
        patch = decode(data)
        patched = json_patch(scale, patch) if media_type == JSON_PATCH else merge_patch(scale, patch)
    except (UnreadableError, PatchError) as error:
        raise bad_request(f"the patch cannot be used: {error}") from error
    if type(patched) is not dict:
        raise bad_request("the patch must be an object")
    return patched


def _check_scale(call: Call, scale: Document, wanted: Document) -> None:
    replicas = wanted["spec"].get("replicas", 0)
    if replicas < 0:
        cause = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid(_SCALE, call.info.name, [cause])
    version = (wanted.get("metadata") or {}).get("resourceVersion")
    if version and version != scale["metadata"]["resourceVersion"]:
        raise conflict(call.resource.qualified, call.info.name)
