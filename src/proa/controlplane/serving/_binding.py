"""Pods given to nodes: by `pods/binding`, and by the older `bindings`, which names the pod in its body."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from proa.controlplane._errors import (
    Qualified,
    StatusError,
    bad_request,
    conflict,
    details,
    invalid,
    not_supported,
    required,
)
from proa.controlplane._json import Document
from proa.controlplane.registry import Catalogue, Registry, Review
from proa.controlplane.registry._deletion import timestamp

from . import _bodies, _responses
from ._dispatcher import Answer, Call
from ._objects import write_options


class BindingService:
    """Answers for bindings."""

    def __init__(self, registry: Registry, catalogue: Catalogue) -> None:
        self._registry = registry
        self._catalogue = catalogue

    def subresources(self) -> dict[str, Answer]:
        """Who answers for which subresource."""
        return {"pods/binding": self.bind}

    def virtual(self) -> dict[str, Answer]:
        """Who answers for which kind that is not stored."""
        return {"Binding": self.bind}

    async def bind(self, call: Call) -> web.Response:
        """A pod given to a node, once."""
        info = call.info
        options = write_options(call, "CreateOptions")
        binding = await _bodies.read_typed(call.request, "", "Binding")
        metadata = binding.get("metadata") or {}
        pod = metadata.get("name", "")
        if info.name and pod != info.name:
            raise bad_request("name in URL does not match name in Binding object")
        node = _target(binding, pod)

        def change(old: Document) -> Document:
            _check_bindable(old, node, metadata)
            new: Document = {name: dict(part) if type(part) is dict else part for name, part in old.items()}
            new["spec"]["nodeName"] = node
            new["status"].pop("nominatedNodeName", None)
            _add_condition(new["status"], "PodScheduled")
            if annotations := metadata.get("annotations"):
                new["metadata"]["annotations"] = new["metadata"].get("annotations", {}) | annotations
            return new

        pods = self._catalogue.find("", "pods")
        assert pods is not None
        whole = {"kind": "Binding", "apiVersion": "v1", **binding}
        whole["metadata"] = {**metadata, "namespace": info.namespace}
        review = Review("CREATE", pods, info.namespace, pod, whole, None, options, "binding")
        await self._registry.ask(review)
        settled = replace(options, asked=True)
        await self._registry.update(pods, info.namespace, pod, change, settled, "binding")
        response = _responses.json(_responses.CREATED, 201)
        _responses.warn(response, review.warnings)
        return response


def _target(binding: Document, name: str) -> str:
    target = binding.get("target") or {}
    node, kind = target.get("name", ""), target.get("kind") or "Node"
    wrong = [] if node else [required("target.name")]
    wrong += [] if kind == "Node" else [not_supported("target.kind", kind, ("Node",))]
    if wrong:
        raise invalid(Qualified("", "Binding"), name, wrong)
    return str(node)


def _check_bindable(pod: Document, node: str, binding: Document) -> None:
    name, what = pod["metadata"]["name"], Qualified("", "pods/binding")
    if "deletionTimestamp" in pod["metadata"]:
        raise conflict(what, name, f"pod {name} is being deleted, cannot be assigned to a host")
    if pod["spec"].get("nodeName"):
        raise conflict(what, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
    if pod["spec"].get("schedulingGates"):
        raise conflict(what, name, f"pod {name} has non-empty .spec.schedulingGates")
    version = binding.get("resourceVersion")
    if version and version != pod["metadata"]["resourceVersion"]:
        raise conflict(what, name, f"pod {name} is not of the version {version} any more")
    uid = binding.get("uid")
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
