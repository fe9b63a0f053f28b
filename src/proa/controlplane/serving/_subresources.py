"""Subresources that are objects' parts: status, scale, binding, eviction, finalize."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from proa.controlplane._errors import (
    Qualified,
    StatusError,
    bad_request,
    conflict,
    details,
    invalid,
    invalid_value,
    not_supported,
    required,
)
from proa.controlplane._json import Document, UnreadableError, clone, decode
from proa.controlplane.patch import PatchError, json_patch, merge_patch
from proa.controlplane.registry import Registry, Resource
from proa.controlplane.registry._deletion import timestamp
from proa.controlplane.registry._options import DeleteOptions
from proa.controlplane.registry._ownership import own_scaled
from proa.controlplane.schema import Conformer, NonconformingError, problems, type_of_kind
from proa.controlplane.selectors import from_document, to_text

from . import _bodies, _responses
from ._dispatcher import Answer, Call
from ._objects import APPLY_PATCH, JSON_PATCH, ObjectService, check_kind, write_options

_CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_SCALE = Qualified("autoscaling", "Scale")


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
            "pods/binding": self.bind,
            "pods/eviction": self.evict,
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

        def change(old: Document) -> Document:
            scale = _scale_of(resource, old)
            if info.verb == "update":
                wanted = _bodies.parse_object(data, media_type, "Scale")
            else:
                wanted = _patched_scale(media_type, scale, data)
            wanted = _typed(wanted, "autoscaling", "Scale")
            _check_scale(call, scale, wanted)
            new: Document = clone(old)
            _put(new, resource.scale.wanted, wanted.get("spec", {}).get("replicas", 0))
            return new

        def own(new: Document, old: Document) -> None:
            own_scaled(resource, new, old, options, applies=applies)

        outcome = await self._registry.update(resource, info.namespace, info.name, change, options, own=own)
        return _responses.json(_scale_of(resource, decode(b"{" + outcome.tail)))

    async def bind(self, call: Call) -> web.Response:
        """A pod given to a node, once."""
        info = call.info
        options = write_options(call, "CreateOptions")
        body = await _bodies.read(call.request)
        given = _bodies.parse_object(body, _bodies.content_type(call.request), "Binding")
        binding = _typed(given, "", "Binding")
        target = binding.get("target") or {}
        node, kind = target.get("name", ""), target.get("kind", "Node")
        wrong = [] if node else [required("target.name")]
        wrong += [] if kind == "Node" else [not_supported("target.kind", kind, ("Node",))]
        if wrong:
            raise invalid(Qualified("", "Binding"), info.name, wrong)
        uid = (binding.get("metadata") or {}).get("uid")

        def change(old: Document) -> Document:
            _check_bindable(old, node, uid)
            new: Document = clone(old)
            new["spec"]["nodeName"] = node
            _add_condition(new["status"], "PodScheduled")
            annotations = (binding.get("metadata") or {}).get("annotations") or {}
            if annotations:
                new["metadata"]["annotations"] = new["metadata"].get("annotations", {}) | annotations
            return new

        await self._registry.update(call.resource, info.namespace, info.name, change, options, "binding")
        return _responses.json(_CREATED, 201)

    async def evict(self, call: Call) -> web.Response:
        """A pod deleted, unless a disruption budget forbids that for now."""
        info = call.info
        data = await _bodies.read(call.request)
        eviction = _bodies.parse_object(data, _bodies.content_type(call.request), "Eviction") if data else {}
        eviction = _typed(eviction, "policy", "Eviction")
        options = DeleteOptions.parse(info.query, eviction.get("deleteOptions"))
        pod = self._registry.latest(call.resource, info.namespace, info.name)
        self._check_budgets(info.namespace, pod.document())
        await self._registry.delete(call.resource, info.namespace, info.name, options)
        return _responses.json(_CREATED, 201)

    def _check_budgets(self, namespace: str, pod: Document) -> None:
        if pod.get("status", {}).get("phase") in {"Succeeded", "Failed"} or not pod["spec"].get("nodeName"):
            return
        labels = pod["metadata"].get("labels") or {}
        for stored in self._registry.store.scan("poddisruptionbudgets.policy", namespace):
            budget = stored.document()
            selector = from_document(budget["spec"].get("selector"))
            if selector and selector.matches(labels) and budget["status"].get("disruptionsAllowed", 0) <= 0:
                message = "Cannot evict pod as it would violate the pod's disruption budget."
                raise StatusError(429, "TooManyRequests", message, {"retryAfterSeconds": 10})

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


def _typed(document: Document, group: str, kind: str) -> Document:
    """A body as its type has it.

    Raises:
        StatusError: 400, a value has the wrong type.
    """
    name = type_of_kind(group, "v1", kind) or ""
    try:
        return Conformer(name)(document)
    except NonconformingError:
        mistyped = problems(name, document).mistyped
        why = mistyped[0] if mistyped else "it does not have the type's form"
        raise bad_request(f'{kind} in version "v1" cannot be handled as a {kind}: {why}') from None


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


def _check_bindable(pod: Document, node: str, uid: str | None) -> None:
    name, what = pod["metadata"]["name"], Qualified("", "pods/binding")
    if "deletionTimestamp" in pod["metadata"]:
        raise conflict(what, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise conflict(what, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
    if uid and uid != pod["metadata"]["uid"]:
        message = f"the pod {name} that was to be bound to {node} is gone: another one has its name"
        raise StatusError(409, "Conflict", message, details(what, name))


def _add_condition(status: Document, kind: str) -> None:
    conditions = [one for one in status.get("conditions", []) if one["type"] != kind]
    now = timestamp()
    status["conditions"] = [
        *conditions,
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": now},
    ]
