"""Every request comes through here: who asks, may they, who answers; and refusals become Status objects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import web

from proa.app import logs
from proa.controlplane._errors import (
    Qualified,
    StatusError,
    details,
    internal,
    method_not_allowed,
    no_resource,
)
from proa.controlplane.registry import Catalogue, Resource
from proa.controlplane.security import (
    ANONYMOUS,
    Attributes,
    Authenticator,
    Authoriser,
    User,
    audit_notes,
    impersonated,
    impersonates,
    request_at_hand,
)
from proa.controlplane.storage._store import MAX_OBJECT, StorageError, TooLargeError

from . import _responses
from ._audit import AuditLog
from ._encoding import encoded
from ._measurements import Measurements
from ._request_info import RequestInfo, parse

Answer = Callable[["Call"], Awaitable[web.StreamResponse]]
Proceed = Callable[[], Awaitable[web.StreamResponse]]
Intercept = Callable[[web.BaseRequest, RequestInfo, Proceed], Awaitable[web.StreamResponse]]
"""Stands before all requests: may answer itself, or have the server do it."""


class Call:
    """One request on its way through the server."""

    __slots__ = ("info", "request", "resource", "user")

    def __init__(self, request: web.BaseRequest, info: RequestInfo, user: User) -> None:
        self.request = request
        self.info = info
        self.user = user
        self.resource: Resource


class Paths(Protocol):
    """Who answers for paths that are no resources."""

    async def answer(self, call: Call) -> web.StreamResponse | None:
        """The answer, or None if there is nothing at the path."""


class Dispatcher:
    """Answers requests.

    Args:
        catalogue: What is served.
        authenticator: Who asks.
        authoriser: Whether they may.
        paths: Who answers for what is no resource: discovery, health and the like.
        verbs: Who answers for each verb on objects.
        subresources: Who answers for subresources, by `resource/subresource`, or `*/subresource`.
        virtual: Who answers for resources that are not stored, by kind (reviews).
        measurements: Who counts requests.
        audit: Who keeps a record of all requests, if anybody.
        intercept: Who stands before all requests, if anybody.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        authenticator: Authenticator,
        authoriser: Authoriser,
        paths: Paths,
        verbs: dict[str, Answer],
        subresources: dict[str, Answer],
        virtual: dict[str, Answer],
        measurements: Measurements,
        audit: AuditLog | None = None,
        intercept: Intercept | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._authenticator = authenticator
        self._authoriser = authoriser
        self._paths = paths
        self._verbs = verbs
        self._subresources = subresources
        self._virtual = virtual
        self._measurements = measurements
        self._audit = audit
        self._intercept = intercept
        self._log = logs.get_logger(__name__)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to a request; a refusal and a bug are answers, too."""
        began = time.perf_counter()
        received = datetime.now(UTC) if self._audit is not None else None
        info = parse(request.method, request.raw_path)
        audit_notes.set(None)
        answer = await self._answer(request, info)
        self._measurements.observe(info, answer.status, time.perf_counter() - began)
        if self._audit is not None and received is not None:
            self._audit.record(request, received, answer.status)
        return await encoded(answer, request)

    async def _answer(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        try:
            if self._intercept is not None:
                return await self._intercept(request, info, lambda: self._handle(request, info))
            return await self._handle(request, info)
        except StatusError as error:
            return _responses.refusal(error)
        except TooLargeError:
            message = f"Request entity too large: an object has at most {MAX_OBJECT} bytes"
            return _responses.refusal(StatusError(413, "RequestEntityTooLarge", message, {}))
        except StorageError as error:
            self._log.error("a write failed", error=str(error))
            return _responses.refusal(internal(f"the change could not be stored: {error}"))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:  # noqa: BLE001 - a bug must not take the server down, nor show itself to the client
            self._log.exception("a request failed", method=request.method, path=request.path)
            return _responses.refusal(internal())

    async def _handle(self, request: web.BaseRequest, info: RequestInfo) -> web.StreamResponse:
        request_at_hand.set(Attributes(ANONYMOUS, info.verb, path=info.path))
        asking = self._authenticate(request)
        user = self._impersonate(request, asking)
        self._authorise(user, info, None if user is asking else asking)
        call = Call(request, info, user)
        if not info.plural:
            answer = await self._paths.answer(call)
            return answer or _responses.text("404 page not found\n", 404)
        served = self._catalogue.served(info.group, info.version)
        if served is None:
            return _responses.text("404 page not found\n", 404)
        resource = served.get(info.plural)
        if resource is None:
            raise no_resource()
        call.resource = resource
        if not resource.deprecation:
            return await self._find(call)(call)
        return await self._answer_warning(call)

    async def _answer_warning(self, call: Call) -> web.StreamResponse:
        """The answer to a request about what is deprecated."""
        try:
            answer = await self._find(call)(call)
        except StatusError as error:
            error.warnings.insert(0, call.resource.deprecation)
            raise
        if not answer.prepared:  # a watch has said it at its beginning
            _responses.warn(answer, [call.resource.deprecation])
        return answer

    def _authenticate(self, request: web.BaseRequest) -> User:
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport else None
        return self._authenticator.authenticate(request.headers.get("Authorization"), certificate)

    def _impersonate(self, request: web.BaseRequest, asking: User) -> User:
        if not impersonates(request.headers):
            return asking
        user, wanted = impersonated(request.headers, asking)
        for one in wanted:
            self._demand(one)
        return user

    def _authorise(self, user: User, info: RequestInfo, impersonated_by: User | None) -> None:
        # A namespace is in itself: roles within it can be about it.
        own = info.plural == "namespaces" and not info.group
        wanted = Attributes(
            user=user,
            verb=info.verb,
            group=info.group,
            resource=info.plural,
            subresource=info.subresource,
            namespace=info.name if own else info.namespace,
            name=info.name or _selected_name(info),
            path=info.path,
            field_selector=info.query.get("fieldSelector", ""),
            impersonated_by=impersonated_by,
        )
        request_at_hand.set(wanted)
        self._demand(wanted)

    def _demand(self, wanted: Attributes) -> None:
        decision = self._authoriser.authorise(wanted)
        if not decision.allowed:
            raise forbidden(wanted, decision.reason)

    def _find(self, call: Call) -> Answer:
        info, resource = call.info, call.resource
        if info.namespace and not resource.namespaced:
            raise no_resource()
        if info.subresource:
            return self._find_subresource(info, resource)
        everywhere = resource.namespaced and info.verb == "create" and not info.namespace
        if info.verb not in resource.verbs or (everywhere and resource.is_stored):
            raise method_not_allowed()
        if info.verb == "create" and info.name:
            raise method_not_allowed()
        virtual = self._virtual.get(resource.kind)
        if virtual is not None:
            return virtual
        if resource.namespaced and info.name and not info.namespace:
            raise no_resource()
        return self._verbs[info.verb]

    def _find_subresource(self, info: RequestInfo, resource: Resource) -> Answer:
        subresource = resource.subresources.get(info.subresource)
        if subresource is None:
            raise no_resource()
        if info.verb not in subresource.verbs:
            raise method_not_allowed()
        own = f"{resource.plural}/{subresource.name}"
        answer = self._subresources.get(own) or self._subresources.get(f"*/{subresource.name}")
        if answer is None:
            raise StatusError(501, "NotImplemented", f"Proa does not serve {own} yet", {})
        return answer


def forbidden(wanted: Attributes, reason: str = "") -> StatusError:
    """403: the user may not do that."""
    who = f'User "{wanted.user.name}"'
    if not wanted.resource:
        message = f'forbidden: {who} cannot {wanted.verb} path "{wanted.path}"'
        return StatusError(403, "Forbidden", message, {})
    what = Qualified(wanted.group, wanted.resource)
    named = f' "{wanted.name}"' if wanted.name else ""
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    message = (
        f'{what}{named} is forbidden: {who} cannot {wanted.verb} resource "{wanted.resource_path}" '
        f'in API group "{wanted.group}" {where}'
    )
    return StatusError(
        403, "Forbidden", f"{message}: {reason}" if reason else message, details(what, wanted.name)
    )


def _selected_name(info: RequestInfo) -> str:
    """The one object that a request on a collection is about, by its field selector: the name counts."""
    if info.verb not in {"list", "watch", "deletecollection"}:
        return ""
    terms = (term.partition("=") for term in info.query.get("fieldSelector", "").split(","))
    return next((value.removeprefix("=") for field, _, value in terms if field == "metadata.name"), "")
