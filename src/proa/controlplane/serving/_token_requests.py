"""New tokens for service accounts: `serviceaccounts/NAME/token`.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from proa.controlplane._errors import (
    Cause,
    Qualified,
    StatusError,
    bad_request,
    conflict,
    details,
    invalid,
    invalid_value,
    not_found,
    not_supported,
)
from proa.controlplane._json import Document
from proa.controlplane.registry import Options, Registry, Resource
from proa.controlplane.registry._deletion import timestamp
from proa.controlplane.registry._objects import conform
from proa.controlplane.security import TokenIssuer, node_of
from proa.controlplane.security._tokens import ISSUER
from proa.controlplane.storage import Key

from . import _bodies, _responses
from ._dispatcher import Call

MIN_LIFETIME, USUAL_LIFETIME, MAX_LIFETIME = 600, 3600, 2**32
_BINDABLE = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
_REQUESTS = Resource(
    group="authentication.k8s.io",
    version="v1",
    kind="TokenRequest",
    plural="tokenrequests",
    singular="tokenrequest",
    namespaced=True,
    verbs=("create",),
    type_name="io.k8s.api.authentication.v1.TokenRequest",
)
"""As if they were a resource of their own: for what their type says."""
_WHAT = Qualified("authentication.k8s.io", "TokenRequest")


class TokenRequestService:
    """Signs tokens for service accounts, on request."""

    def __init__(self, registry: Registry, issuer: TokenIssuer) -> None:
        self._registry = registry
        self._issuer = issuer

    async def issue(self, call: Call) -> web.Response:
        """A token for a service account, bound to an object if the request says so."""
        info = call.info
        document = await self._read(call)
        account = self._registry.latest(call.resource, info.namespace, info.name)
        spec = document["spec"]
        _check(spec, info.name)
        self._restrict_node(call, spec.get("boundObjectRef") or {})
        claims = {
            "sub": f"system:serviceaccount:{info.namespace}:{info.name}",
            "kubernetes.io": {
                "namespace": info.namespace,
                "serviceaccount": {"name": info.name, "uid": account.uid},
                **self._bound(spec.get("boundObjectRef"), info.namespace, info.name),
            },
        }
        spec["audiences"] = spec.get("audiences") or [ISSUER]
        token, until = self._issuer.issue(claims, spec["expirationSeconds"], spec["audiences"])
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": info.name, "namespace": info.namespace, "creationTimestamp": timestamp()},
            "spec": {**spec, "boundObjectRef": spec.get("boundObjectRef")},
            "status": {"token": token, "expirationTimestamp": timestamp(datetime.fromtimestamp(until, UTC))},
        }
        return _responses.json(answer, 201)

    async def _read(self, call: Call) -> Document:
        data = await _bodies.read(call.request)
        document = _bodies.parse_object(data, _bodies.content_type(call.request), "TokenRequest")
        if document.get("kind", "TokenRequest") != "TokenRequest":
            raise bad_request("the body must be a TokenRequest")
        document = conform(_REQUESTS, document, Options())[0]
        document["spec"].setdefault("expirationSeconds", USUAL_LIFETIME)
        return document

    def _restrict_node(self, call: Call, reference: Document) -> None:
        """A node gets tokens for its own pods only, bound to them."""
        node = node_of(call.user)
        if node is None:
            return
        key = Key("pods", call.info.namespace, reference.get("name", ""))
        stored = self._registry.store.latest(key) if reference.get("kind") == "Pod" else None
        if stored is None or stored.document()["spec"].get("nodeName") != node:
            what = Qualified("", "serviceaccounts/token")
            message = f'{what} "{call.info.name}" is forbidden: node requested token not bound to a pod on it'
            raise StatusError(403, "Forbidden", message, details(what, call.info.name))

    def _bound(self, reference: Document | None, namespace: str, account: str) -> Document:
        if reference is None:
            return {}
        kind, name = reference.get("kind", ""), reference.get("name", "")
        storage = _BINDABLE[kind]
        found = self._registry.store.latest(Key(storage, "" if kind == "Node" else namespace, name))
        if found is None:
            raise not_found(Qualified("", storage), name)
        if reference.get("uid", found.uid) != found.uid:
            why = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record"
            )
            raise conflict(Qualified("", storage), name, why)
        bound = {kind.lower(): {"name": name, "uid": found.uid}}
        return bound | (self._of_pod(found.document(), account) if kind == "Pod" else {})

    def _of_pod(self, pod: Document, account: str) -> Document:
        """The node that the pod is on; refused if the pod is another account's."""
        used = pod["spec"].get("serviceAccountName") or "default"
        if used != account:
            raise bad_request(f"the pod runs as service account {used!r}: no token of {account!r} for it")
        name = pod["spec"].get("nodeName")
        node = self._registry.store.get(Key("nodes", "", name)) if name else None
        return {"node": {"name": name, "uid": node.uid}} if node else {}


def _check(spec: Document, name: str) -> None:
    causes: list[Cause] = []
    lifetime = spec["expirationSeconds"]
    if not MIN_LIFETIME <= lifetime <= MAX_LIFETIME:
        why = f"must be from {MIN_LIFETIME} to {MAX_LIFETIME} seconds"
        causes.append(invalid_value("spec.expirationSeconds", lifetime, why))
    reference = spec.get("boundObjectRef")
    if reference is not None and reference.get("kind") not in _BINDABLE:
        causes.append(not_supported("spec.boundObjectRef.kind", reference.get("kind", ""), sorted(_BINDABLE)))
    if causes:
        raise invalid(_WHAT, name, causes)
