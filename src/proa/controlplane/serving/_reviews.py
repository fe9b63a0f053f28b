"""Questions that are posted as objects and answered at once: who am I, may I, whose token is this."""

from __future__ import annotations

from aiohttp import web

from proa.controlplane._errors import (
    Cause,
    Qualified,
    StatusError,
    bad_request,
    invalid,
    invalid_value,
)
from proa.controlplane._json import Document
from proa.controlplane.registry import Registry
from proa.controlplane.registry._deletion import timestamp
from proa.controlplane.registry._objects import conform
from proa.controlplane.registry._ownership import own_created
from proa.controlplane.security import Attributes, Authenticator, Authoriser, User, node_of

from . import _bodies, _responses
from ._dispatcher import Answer, Call
from ._objects import check_kind, write_options


class ReviewService:
    """Answers reviews."""

    def __init__(self, registry: Registry, authenticator: Authenticator, authoriser: Authoriser) -> None:
        self._registry = registry
        self._authenticator = authenticator
        self._authoriser = authoriser

    def answers(self) -> dict[str, Answer]:
        """Who answers for which kind."""
        return {
            "SelfSubjectReview": self.who_am_i,
            "SelfSubjectAccessReview": self.may_i,
            "SelfSubjectRulesReview": self.my_rules,
            "SubjectAccessReview": self.may_they,
            "LocalSubjectAccessReview": self.may_they_here,
            "TokenReview": self.whose_token,
        }

    async def _read(self, call: Call) -> Document:
        data = await _bodies.read(call.request)
        document = _bodies.parse_object(data, _bodies.content_type(call.request), call.resource.kind)
        check_kind(call.resource, document)
        options = write_options(call, "CreateOptions")
        conforming = conform(call.resource, document, options)[0]
        own_created(call.resource, conforming, options, timestamp())
        return conforming

    def _answer(
        self, call: Call, document: Document, status: Document, metadata: Document | None = None
    ) -> web.Response:
        head = {
            "kind": call.resource.kind,
            "apiVersion": call.resource.api_version,
            "metadata": document["metadata"] | (metadata or {}),
        }
        spec = {"spec": document["spec"]} if "spec" in document else {}
        return _responses.json({**head, **spec, "status": status}, 201)

    async def who_am_i(self, call: Call) -> web.Response:
        """The user who asks."""
        document = await self._read(call)
        metadata = {"creationTimestamp": timestamp()}
        return self._answer(call, document, {"userInfo": call.user.to_document()}, metadata)

    async def may_i(self, call: Call) -> web.Response:
        """Whether the user who asks may do something."""
        document = await self._read(call)
        _check(call, document["spec"], [])
        return self._answer(call, document, self._decide(call.user, document["spec"]))

    async def may_they(self, call: Call) -> web.Response:
        """Whether some user may do something."""
        document = await self._read(call)
        spec = document["spec"]
        _check(call, spec, _nobody(spec))
        extra = spec.get("extra", {})
        user = User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups", ())), extra)
        return self._answer(call, document, self._decide(user, spec))

    async def may_they_here(self, call: Call) -> web.Response:
        """Whether some user may do something in the namespace of the review."""
        document = await self._read(call)
        spec, namespace = document["spec"], call.info.namespace
        causes = _nobody(spec)
        if spec.get("nonResourceAttributes"):
            why = "disallowed on this kind of request"
            causes.append(invalid_value("spec.nonResourceAttributes", spec["nonResourceAttributes"], why))
        elif spec.get("resourceAttributes", {}).get("namespace", "") != namespace:
            raise bad_request(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
        _check(call, spec, causes)
        user = User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups", ())))
        return self._answer(call, document, self._decide(user, spec))

    def _decide(self, user: User, spec: Document) -> Document:
        about = spec.get("resourceAttributes")
        if about is None:
            about = spec["nonResourceAttributes"]
            wanted = Attributes(user, about.get("verb", ""), path=about.get("path", ""))
        else:
            names = ("verb", "group", "resource", "subresource", "namespace", "name")
            known = {name: about.get(name, "") for name in names}
            known["field_selector"] = _field_selector(about.get("fieldSelector", {}))
            wanted = Attributes(user, **known)
        decision = self._authoriser.authorise(wanted)
        return {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})

    async def my_rules(self, call: Call) -> web.Response:
        """What the user who asks may do in a namespace, as far as it can be listed."""
        document = await self._read(call)
        namespace = document["spec"].get("namespace", "")
        if not namespace:
            raise bad_request("no namespace on request")
        rules = self._authoriser.rules_of(call.user, namespace)
        status: Document = {
            "resourceRules": [rule.to_document() for rule in rules if rule.resources],
            "nonResourceRules": [rule.to_document() for rule in rules if rule.paths],
            "incomplete": node_of(call.user) is not None,
        }
        if status["incomplete"]:
            status["evaluationError"] = "what a node may do depends on its pods, and cannot be listed"
        return self._answer(call, document, status)

    async def whose_token(self, call: Call) -> web.Response:
        """Whom a token stands for."""
        document = await self._read(call)
        spec = document["spec"]
        if not spec.get("token"):
            raise bad_request("token is required for TokenReview in authentication")
        audiences = spec.get("audiences", [])
        try:
            user, good_for = self._authenticator.user_of_token(spec["token"], audiences)
        except StatusError:
            return self._answer(call, document, {"user": {}, "error": "invalid bearer token"})
        status: Document = {"authenticated": True, "user": user.to_document()}
        return self._answer(call, document, status | ({"audiences": good_for} if audiences else {}))


def _nobody(spec: Document) -> list[Cause]:
    if spec.get("user") or spec.get("groups"):
        return []
    return [invalid_value("spec.user", "", "at least one of user or group must be specified")]


def _check(call: Call, spec: Document, causes: list[Cause]) -> None:
    on_resource, on_path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (on_resource is None) == (on_path is None):
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(invalid_value("spec.resourceAttributes", on_resource, why))
    if causes:
        raise invalid(Qualified(call.resource.group, call.resource.kind), "", causes)


def _field_selector(selector: Document) -> str:
    if "rawSelector" in selector:
        return str(selector["rawSelector"])
    terms = [
        f"{one['key']}={one['values'][0]}"
        for one in selector.get("requirements", ())
        if one.get("operator") == "In" and len(one.get("values", ())) == 1
    ]
    return ",".join(terms)
