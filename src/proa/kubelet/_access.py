"""Who may ask the kubelet what: client certificates and tokens, and the API server's word on the rest.

As Kubernetes' kubelet does it: a client certificate of the cluster's CA says who asks, or a bearer token
does, of which the API server knows the owner (TokenReview). Administrators and the API server may do all;
whether others may do what they ask is the API server's to say (SubjectAccessReview on the node's
subresources). Its answers are kept for a short while. Nobody is anonymous, but for `/healthz`.
"""

import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from aiohttp import web

from proa.kube import Client, KubeError, decode, encode
from proa.kube.core.request import Place, Request
from proa.kube.models.authentication_v1 import TokenReview, TokenReviewSpec
from proa.kube.models.authorization_v1 import (
    ResourceAttributes,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)

GROUPS: Final = frozenset({"system:masters", "kubeadm:cluster-admins"})
USERS: Final = frozenset({"kube-apiserver-kubelet-client"})
_OPEN: Final = frozenset({"/healthz"})
_KEPT_SECONDS: Final = {True: 120.0, False: 30.0}
_MOST_KEPT: Final = 1000
_VERBS: Final = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "DELETE": "delete"}
_SUBRESOURCES: Final = {"logs": "log"} | {name: name for name in ("stats", "metrics", "pods", "configz")}

T = TypeVar("T")
R = TypeVar("R", TokenReview, SubjectAccessReview)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    name: str
    groups: tuple[str, ...]

    @property
    def is_trusted(self) -> bool:
        """Whether nobody need be asked about it."""
        return self.name in USERS or not GROUPS.isdisjoint(self.groups)


class Access:
    """Decides about requests.

    Args:
        client: The API server.
        node: The node's name.
    """

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node
        self._kept: dict[Hashable, tuple[float, Any]] = {}

    async def check(self, request: web.Request) -> None:
        """Let a request pass.

        Raises:
            aiohttp.web.HTTPUnauthorized: Nobody knows who asks.
            aiohttp.web.HTTPForbidden: They may not.
            aiohttp.web.HTTPServiceUnavailable: The API server, which knows, is away.
        """
        if request.path in _OPEN:
            return
        try:
            caller = await self._caller(request)
            if caller is None:
                raise web.HTTPUnauthorized(
                    text="Unauthorized: show a client certificate of the cluster's CA, or a token\n"
                )
            allowed = caller.is_trusted or await self._may(caller, *asked(request.method, request.path))
        except KubeError as error:
            raise web.HTTPServiceUnavailable(text=f"cannot ask the API server: {error}\n") from error
        if not allowed:
            verb, subresource = asked(request.method, request.path)
            what = f"verb={verb}, resource=nodes, subresource={subresource}"
            raise web.HTTPForbidden(text=f"Forbidden (user={caller.name}, {what})\n")

    async def _caller(self, request: web.Request) -> Caller | None:
        if certificate := request.get_extra_info("peercert"):
            names = subject(certificate)
            return Caller(names.get("commonName", [""])[0], tuple(names.get("organizationName", [])))
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            return None
        return await self._remembered(("token", token), lambda: self._owner(token.strip()))

    async def _owner(self, token: str) -> Caller | None:
        review = await self._review(TokenReview(spec=TokenReviewSpec(token=token)))
        user = review.status.user
        if not review.status.authenticated or not user.username:
            return None
        return Caller(user.username, tuple(user.groups))

    async def _may(self, caller: Caller, verb: str, subresource: str) -> bool:
        async def ask() -> bool:
            wanted = ResourceAttributes(
                verb=verb, resource="nodes", subresource=subresource, name=self._node, version="v1"
            )
            spec = SubjectAccessReviewSpec(
                user=caller.name, groups=[*caller.groups], resource_attributes=wanted
            )
            return bool((await self._review(SubjectAccessReview(spec=spec))).status.allowed)

        return await self._remembered((caller, verb, subresource), ask)

    async def _review(self, review: R) -> R:
        # Not by `Api.create`: a review has no name, and real API servers refuse one that has.
        request = Request("POST", Place(review.resource).collection(), body=encode(review))
        return decode((await self._client.request(request)).body, type(review))

    async def _remembered(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        until, answer = self._kept.get(key, (0.0, None))
        if until < time.monotonic():
            answer = await ask()
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = time.monotonic() + _KEPT_SECONDS[bool(answer)], answer
        return answer  # type: ignore[no-any-return]


def asked(method: str, path: str) -> tuple[str, str]:
    """What right a request needs: a verb, and a subresource of the node. Pure."""
    first = path.strip("/").partition("/")[0]
    return _VERBS.get(method, method.lower()), _SUBRESOURCES.get(first, "proxy")


def subject(certificate: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names in the subject of a certificate, as `ssl` gives it, by their kind."""
    names: dict[str, list[str]] = {}
    for relative in certificate.get("subject", ()):
        for kind, value in relative:
            names.setdefault(kind, []).append(value)
    return names
