"""Questions that are posted as objects and answered at once: who am I, may I, is this token good; and new
tokens.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from proa.controlplane._errors import StatusError, bad_request, invalid, required
from proa.controlplane._json import Document
from proa.controlplane.registry import Registry
from proa.controlplane.registry._deletion import timestamp
from proa.controlplane.security import Attributes, Authenticator, TokenIssuer, User, authorise

from . import _bodies, _responses
from ._dispatcher import Answer, Call
from ._objects import check_kind

MIN_LIFETIME, USUAL_LIFETIME, MAX_LIFETIME = 600, 3600, 2**32


class ReviewService:
    """Answers reviews and token requests."""

    def __init__(self, registry: Registry, authenticator: Authenticator, issuer: TokenIssuer) -> None:
        self._registry = registry
        self._authenticator = authenticator
        self._issuer = issuer

    def answers(self) -> dict[str, Answer]:
        """Who answers for which kind."""
        return {
            "SelfSubjectReview": self.who_am_i,
            "SelfSubjectAccessReview": self.may_i,
            "SelfSubjectRulesReview": self.my_rules,
            "SubjectAccessReview": self.may_they,
            "LocalSubjectAccessReview": self.may_they,
            "TokenReview": self.whose_token,
        }

    async def _read(self, call: Call) -> Document:
        data = await _bodies.read(call.request)
        document = _bodies.parse_object(data, _bodies.content_type(call.request), call.resource.kind)
        check_kind(call.resource, document)
        return document

    def _answer(
        self, call: Call, document: Document, status: Document, metadata: Document | None = None
    ) -> web.Response:
        head = {
            "kind": call.resource.kind,
            "apiVersion": call.resource.api_version,
            "metadata": metadata or {},
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
        return self._answer(call, document, _decide(call.user, document.get("spec") or {}))

    async def may_they(self, call: Call) -> web.Response:
        """Whether some user may do something."""
        document = await self._read(call)
        spec = document.get("spec") or {}
        user = User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()))
        return self._answer(call, document, _decide(user, spec))

    async def my_rules(self, call: Call) -> web.Response:
        """What the user who asks may do, as far as it can be listed."""
        document = await self._read(call)
        everything = "system:masters" in call.user.groups
        rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
        rules = {"resourceRules": [rule], "nonResourceRules": [paths], "incomplete": False}
        nothing: Document = {"resourceRules": [], "nonResourceRules": [], "incomplete": True}
        return self._answer(call, document, rules if everything else nothing)

    async def whose_token(self, call: Call) -> web.Response:
        """Whom a token stands for."""
        document = await self._read(call)
        try:
            user = self._authenticator.user_of_token((document.get("spec") or {}).get("token", ""))
        except StatusError:
            return self._answer(call, document, {"user": {}, "error": "invalid bearer token"})
        return self._answer(call, document, {"authenticated": True, "user": user.to_document()})

    async def issue_token(self, call: Call) -> web.Response:
        """A token for a service account."""
        document = await self._read_request(call)
        info = call.info
        account = self._registry.latest(call.resource, info.namespace, info.name)
        spec = document.get("spec") or {}
        lifetime = spec.get("expirationSeconds", USUAL_LIFETIME)
        if type(lifetime) is not int or not MIN_LIFETIME <= lifetime <= MAX_LIFETIME:
            cause = required("spec.expirationSeconds", f"from {MIN_LIFETIME} to {MAX_LIFETIME} seconds")
            from proa.controlplane._errors import Qualified

            raise invalid(Qualified("authentication.k8s.io", "TokenRequest"), info.name, [cause])
        claims = {
            "sub": f"system:serviceaccount:{info.namespace}:{info.name}",
            "kubernetes.io": {
                "namespace": info.namespace,
                "serviceaccount": {"name": info.name, "uid": account.uid},
            },
        }
        audiences = spec.get("audiences") or []
        token, until = self._issuer.issue(claims, lifetime, audiences)
        answer = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": info.name, "namespace": info.namespace, "creationTimestamp": timestamp()},
            "spec": {
                "audiences": audiences,
                "expirationSeconds": lifetime,
                "boundObjectRef": spec.get("boundObjectRef"),
            },
            "status": {"token": token, "expirationTimestamp": timestamp(datetime.fromtimestamp(until, UTC))},
        }
        return _responses.json(answer, 201)

    async def _read_request(self, call: Call) -> Document:
        data = await _bodies.read(call.request)
        document = _bodies.parse_object(data, _bodies.content_type(call.request), "TokenRequest")
        if document.get("kind", "TokenRequest") != "TokenRequest":
            raise bad_request("the body must be a TokenRequest")
        return document


def _decide(user: User, spec: Document) -> Document:
    on_resource, on_path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if on_resource:
        wanted = Attributes(
            user,
            on_resource.get("verb", ""),
            on_resource.get("group", ""),
            on_resource.get("resource", ""),
            on_resource.get("subresource", ""),
            on_resource.get("namespace", ""),
            on_resource.get("name", ""),
        )
    elif on_path:
        wanted = Attributes(user, on_path.get("verb", ""), path=on_path.get("path", ""))
    else:
        raise bad_request("either resourceAttributes or nonResourceAttributes must be given")
    decision = authorise(wanted)
    return {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})
