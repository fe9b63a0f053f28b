"""`kubectl exec`, `attach` and `port-forward`: WebSockets passed between client and kubelet.

What flows is the kubelet's and the client's affair: messages are passed on as they come, both ways.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
from aiohttp import web

from proa.controlplane._errors import StatusError, bad_request
from proa.controlplane._json import Document
from proa.controlplane.registry import Registry

from ._dispatcher import Answer, Call
from ._logs import choose_container, kubelet_address

CONNECT_SECONDS = 10
_LARGEST_MESSAGE = 4 * 1024 * 1024
_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io", "SPDY/3.1+portforward.k8s.io")


_FLAGS = ("stdin", "stdout", "stderr", "tty")


class StreamService:
    """Answers for streams; `answer("exec")` is the answer for `pods/exec`."""

    def __init__(self, registry: Registry, context: Callable[[], ssl.SSLContext]) -> None:
        self._registry = registry
        self._context = context

    def answer(self, kind: str) -> Answer:
        """The answer for one kind of stream, by the name that it has in the API and at the kubelet."""

        async def answer(call: Call) -> web.StreamResponse:
            return await self._answer(call, kind)

        return answer

    async def _answer(self, call: Call, kind: str) -> web.StreamResponse:
        info = call.info
        pod = self._registry.latest(call.resource, info.namespace, info.name).document()
        is_about_pod = kind == "portForward"
        container = "" if is_about_pod else choose_container(pod, info.query.get("container", ""))
        node = pod["spec"].get("nodeName")
        if not node:
            raise bad_request(f"pod {info.name} does not have a host assigned")
        if not is_about_pod:
            _check_running(pod, container)
        query = urlsplit(call.request.raw_path).query
        options = _options(query, kind)
        await self._registry.connect(call.resource, info.namespace, info.name, info.subresource, options)
        socket = web.WebSocketResponse(protocols=_PROTOCOLS, max_msg_size=_LARGEST_MESSAGE)
        if not socket.can_prepare(call.request):
            raise bad_request("you must upgrade to a WebSocket: Proa does not speak SPDY")
        address = kubelet_address(self._registry, node)
        place = f"{info.namespace}/{info.name}" + (f"/{quote(container)}" if container else "")
        url = f"{address}/{kind}/{place}?{query}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.ws_connect(
                    url, ssl=self._context(), protocols=_asked(call), max_msg_size=_LARGEST_MESSAGE
                ) as kubelet,
            ):
                await socket.prepare(call.request)
                await _join(socket, kubelet)
        except aiohttp.WSServerHandshakeError as error:
            raise StatusError(error.status, "BadRequest", f"the kubelet refuses: {error.message}") from error
        except aiohttp.ClientConnectionError as error:
            raise StatusError(502, "", f"the kubelet of node {node} does not answer: {error}") from error
        return socket


def _options(text: str, kind: str) -> Document:
    """What a connection is to be, as those see it who may refuse it."""
    query = parse_qs(text)
    if kind == "portForward":
        ports = [port for value in query.get("ports", ()) for port in value.split(",")]
        return {"ports": [int(port) for port in ports if port.isdecimal()]} if ports else {}
    flags = {name: True for name in _FLAGS if query.get(name, [""])[0] in {"1", "true"}}
    container = {"container": query["container"][0]} if "container" in query else {}
    return {**flags, **container, **({"command": query["command"]} if "command" in query else {})}


def _check_running(pod: Document, container: str) -> None:
    # Said here as the kubelet says it: kubectl takes its refusal of a WebSocket for a lack of WebSockets.
    status = pod.get("status", {})
    known = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    if not any(one["name"] == container and "running" in (one.get("state") or {}) for one in known):
        raise bad_request(f"container {container} is not running")


def _asked(call: Call) -> list[str]:
    asked = call.request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    return [name.strip() for name in asked if name.strip() in _PROTOCOLS]


async def _join(client: web.WebSocketResponse, kubelet: aiohttp.ClientWebSocketResponse) -> None:
    """Pass messages on both ways until either end leaves."""

    async def upwards() -> None:
        async for message in client:
            if message.type is aiohttp.WSMsgType.BINARY:
                await kubelet.send_bytes(message.data)

    async def downwards() -> None:
        async for message in kubelet:
            if message.type is aiohttp.WSMsgType.BINARY:
                await client.send_bytes(message.data)

    tasks = [asyncio.create_task(upwards()), asyncio.create_task(downwards())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
