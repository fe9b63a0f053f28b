"""A container's log, passed on from the kubelet of the pod's node."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

import aiohttp
from aiohttp import web

from proa.controlplane._errors import (
    Qualified,
    StatusError,
    bad_request,
    forbidden,
    internal,
    invalid,
    invalid_value,
    not_found,
)
from proa.controlplane._json import Document
from proa.controlplane.registry import Registry
from proa.controlplane.registry._options import integer
from proa.controlplane.storage import Key

from ._dispatcher import Call
from ._request_info import RequestInfo

CONNECT_SECONDS = 10
CHUNK = 64 * 1024
_PASSED_ON = frozenset(
    {"follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"}
)


class LogService:
    """Answers for logs. Use as an async context manager: it holds connections to kubelets."""

    def __init__(self, registry: Registry, context: Callable[[], ssl.SSLContext]) -> None:
        self._registry = registry
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Ends the connections to kubelets."""
        if self._session is not None:
            await self._session.close()

    def _kubelets(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._context(), limit=0)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._session

    async def answer(self, call: Call) -> web.StreamResponse:
        """A container's log, as it comes."""
        info = call.info
        _check_options(info)
        pod = self._registry.latest(call.resource, info.namespace, info.name).document()
        container = choose_container(pod, info.query.get("container", ""))
        node = pod["spec"].get("nodeName")
        if not node:
            return web.Response(text="")
        _check_started(pod, container)
        address = kubelet_address(self._registry, node)
        url = f"{address}/containerLogs/{info.namespace}/{info.name}/{quote(container)}"
        query = {key: value for key, value in info.query.items() if key in _PASSED_ON}
        try:
            async with self._kubelets().get(url, params=query) as answer:
                return await self._pass_on(call, answer)
        except aiohttp.ClientConnectionError as error:
            message = f"the kubelet of node {node} does not answer at {address}: {error}"
            raise StatusError(502, "", message) from error

    async def _pass_on(self, call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        if answer.status != 200:
            said = (await answer.content.read(CHUNK)).decode(errors="replace").strip()
            if answer.status >= 500:
                raise StatusError(answer.status, "InternalError", said or internal().message)
            raise StatusError(answer.status, "BadRequest" if answer.status == 400 else "NotFound", said)
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        response.enable_chunked_encoding()
        await response.prepare(call.request)
        with suppress(ConnectionError):
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
        return response


def kubelet_address(registry: Registry, name: str) -> str:
    """Where the kubelet of a node listens.

    Raises:
        StatusError: 404 there is no such node, 503 it does not say.
    """
    stored = registry.store.get(Key("nodes", "", name))
    if stored is None:
        raise not_found(Qualified("", "nodes"), name)
    status = stored.document().get("status", {})
    addresses = {one["type"]: one["address"] for one in status.get("addresses") or []}
    host = addresses.get("InternalIP") or addresses.get("Hostname")
    port = status.get("daemonEndpoints", {}).get("kubeletEndpoint", {}).get("Port")
    if not host or not port:
        message = f'the node "{name}" does not say where its kubelet listens'
        raise StatusError(503, "ServiceUnavailable", message)
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def choose_container(pod: Document, wanted: str) -> str:
    """The container whose log is meant.

    Raises:
        StatusError: 400, there is no such container, or several and none is named.
    """
    spec, name = pod["spec"], pod["metadata"]["name"]
    groups = [spec.get(key) or [] for key in ("containers", "initContainers", "ephemeralContainers")]
    names = [container["name"] for group in groups for container in group]
    if wanted:
        if wanted not in names:
            raise bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    annotated = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    if annotated in names:
        return str(annotated)
    if len(spec["containers"]) > 1:
        listed = " ".join(names)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return str(names[0])


def _check_options(info: RequestInfo) -> None:
    """Refuses a part of a log that cannot be.

    Raises:
        StatusError: 400 what should be a number is none, 422 it is not one that it may be.
    """
    wrong = []
    for name, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        value = integer(info.query, name)
        if value is not None and value < least:
            why = "must be greater than 0" if least else "must be greater than or equal to 0"
            wrong.append(invalid_value(name, value, why))
    if info.query.get("sinceSeconds") and info.query.get("sinceTime"):
        wrong.append(forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if wrong:
        raise invalid(Qualified("", "PodLogOptions"), info.name, wrong)


def _check_started(pod: Document, container: str) -> None:
    status = pod.get("status", {})
    lists = [
        status.get(key) or []
        for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    ]
    known = {one["name"]: one for statuses in lists for one in statuses}
    one = known.get(container)
    if one is None:
        return
    waiting = (one.get("state") or {}).get("waiting")
    if waiting is None or (one.get("lastState") or {}).get("terminated"):
        return
    why = waiting.get("reason", "")
    said = f": {why}" if why else ""
    if why in {"ContainerCreating", "PodInitializing", ""}:
        said = f": {why or 'ContainerCreating'}"
    message = f'container "{container}" in pod "{pod["metadata"]["name"]}" is waiting to start{said}'
    raise bad_request(message)
