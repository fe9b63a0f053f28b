"""`proxy`: HTTP requests passed on to pods, services and nodes, and their answers back.

https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
"""

from __future__ import annotations

import ipaddress
import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from proa.controlplane._errors import Qualified, StatusError, bad_request, not_found
from proa.controlplane.registry import Registry

from ._dispatcher import Answer, Call
from ._logs import kubelet_address

CONNECT_SECONDS = 10
CHUNK = 64 * 1024
PODS = ipaddress.ip_network("127.66.0.0/16")
"""Where Proa's own pods are: the one part of the loopback network that may be reached."""
_SLICES = "endpointslices.discovery.k8s.io"
_OWN = frozenset({
    "authorization",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
})  # fmt: skip
"""Headers that belong to one connection, or to us."""


@dataclass(frozen=True)
class Target:
    """What the name in a proxy's path says: `[scheme:]name[:port]`."""

    scheme: str
    name: str
    port: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """The parts of a name.

        Raises:
            StatusError: 400.
        """
        match text.split(":"):
            case [name]:
                return cls("http", name, "")
            case [name, port]:
                return cls("http", name, port)
            case [("http" | "https" | "") as scheme, name, port]:
                return cls(scheme or "http", name, port)
        raise bad_request(f'invalid proxy target "{text}": it is written [scheme:]name[:port]')


class ProxyService:
    """Answers for proxies."""

    def __init__(self, registry: Registry, kubelet: Callable[[], ssl.SSLContext]) -> None:
        self._registry = registry
        self._kubelet = kubelet

    def answers(self) -> dict[str, Answer]:
        """Who answers for which subresource."""
        return {
            "pods/proxy": self._answer(self._pod),
            "services/proxy": self._answer(self._service),
            "nodes/proxy": self._answer(self._node),
        }

    def _answer(self, place: Callable[[Call, Target], str]) -> Answer:
        async def answer(call: Call) -> web.StreamResponse:
            target = Target.parse(call.info.name)
            base = place(call, target)
            info = call.info
            path = f"/{_rest(call)}".partition("?")[0]
            await self._registry.connect(call.resource, info.namespace, target.name, "proxy", {"path": path})
            url = URL(f"{base}/{_rest(call)}", encoded=True)
            return await self._pass_on(call, url)

        return answer

    def _pod(self, call: Call, target: Target) -> str:
        pod = self._registry.latest(call.resource, call.info.namespace, target.name).document()
        containers = pod["spec"]["containers"]
        ports = [str(port["containerPort"]) for one in containers for port in one.get("ports", ())]
        return _base(target, pod.get("status", {}).get("podIP", ""), target.port or (ports or ["80"])[0])

    def _service(self, call: Call, target: Target) -> str:
        service = self._registry.latest(call.resource, call.info.namespace, target.name).document()
        ports = service["spec"].get("ports", ())
        chosen = [one for one in ports if target.port in {"", one.get("name"), str(one["port"])}]
        if not chosen or (not target.port and len(ports) > 1):
            raise bad_request(f'no service port "{target.port}" found for service "{target.name}"')
        found = list(self._endpoints(call.info.namespace, target.name, chosen[0].get("name", "")))
        if not found:
            raise StatusError(
                503, "ServiceUnavailable", f'no endpoints available for service "{target.name}"', {}
            )
        address, port = random.choice(found)  # noqa: S311 - a spread, not a secret
        return _base(target, address, str(port))

    def _endpoints(self, namespace: str, service: str, port: str) -> list[tuple[str, int]]:
        slices = [
            stored.document()
            for stored in self._registry.store.scan(_SLICES, namespace)
            if stored.labels.get("kubernetes.io/service-name") == service
        ]
        return [
            (address, one["port"])
            for each in slices
            for one in each.get("ports") or ()
            if (one.get("name") or "") == port
            for endpoint in each.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready") is not False
            for address in endpoint["addresses"]
        ]

    def _node(self, call: Call, target: Target) -> str:
        address = kubelet_address(self._registry, target.name)
        if target.port in {"", str(urlsplit(address).port)}:
            return address
        return _base(target, urlsplit(address).hostname or "", target.port)

    async def _pass_on(self, call: Call, url: URL) -> web.StreamResponse:
        request = call.request
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
                session.request(
                    request.method,
                    url,
                    headers=_headers(request),
                    data=request.content if request.can_read_body else None,
                    ssl=self._kubelet() if url.scheme == "https" else True,
                    allow_redirects=False,
                ) as answer,
            ):
                return await _returned(request, answer)
        except aiohttp.ClientConnectionError as error:
            message = f"error trying to reach {call.info.name}: {error}"
            raise StatusError(503, "ServiceUnavailable", message, {}) from error


def _rest(call: Call) -> str:
    """What follows `proxy/` in the request's path, and its query, as they were sent."""
    path, question, query = call.request.raw_path.partition("?")
    _, _, rest = path.partition(f"/{call.info.subresource}/")
    return f"{rest}{question}{query}"


def _base(target: Target, address: str, port: str) -> str:
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise bad_request(f'invalid port "{port}" of "{target.name}"')
    _check_address(target.name, address)
    host = f"[{address}]" if ":" in address else address
    return f"{target.scheme}://{host}:{port}"


def _check_address(name: str, address: str) -> None:
    """Refuses what is no address of a workload: whoever writes statuses must not reach this machine's own."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise not_found(Qualified("", "address"), name) from None
    if found.is_link_local or found.is_unspecified or (found.is_loopback and found not in PODS):
        raise bad_request(f"address {address} is not allowed")


def _headers(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = CIMultiDict(
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in _OWN and not name.lower().startswith("impersonate-")
    )
    headers["X-Forwarded-Host"] = request.headers.get("Host", "")
    headers["X-Forwarded-Uri"] = request.raw_path.partition("?")[0]
    return headers


async def _returned(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in _OWN)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    with suppress(ConnectionError):
        async for data in answer.content.iter_chunked(CHUNK):
            await response.write(data)
        await response.write_eof()
    return response
