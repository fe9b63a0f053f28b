"""What the kubelet serves over HTTPS: logs for the API server, its pods, health and metrics.

`_access` says who may ask what. Without saying who asks, only `/healthz` answers.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Middleware
from msgspec.structs import replace

from proa import kube
from proa.app import Health, Metrics
from proa.app.http import add_operations
from proa.kube.models.core_v1 import ContainerStatus, PodList
from proa.kubelet import _exec, _host_facts, _kubelet_configuration, _log_reader, _port_forward, _usage
from proa.kubelet._access import Access, Handler
from proa.kubelet._channels import wants
from proa.kubelet._container import Container
from proa.kubelet._log_options import LogOptions
from proa.kubelet._pod import PodWorker
from proa.kubelet._pods import Pods
from proa.kubelet._racing import first_of
from proa.kubelet._settings import KubeletSettings
from proa.kubelet.errors import LogQueryError

_LOOK_EVERY: Final = 5.0
"""Seconds between looks whether a client is still there."""


def application(
    pods: Pods, access: Access, health: Health, metrics: Metrics, settings: KubeletSettings
) -> web.Application:
    """The server's routes."""

    async def resource_metrics(_request: web.Request) -> web.Response:
        node, each = await asyncio.to_thread(lambda: (_usage.of_node(), _usage.of_pods(pods.workers())))
        return web.Response(text=_usage.resource_metrics(node, each))

    async def summary(_request: web.Request) -> web.Response:
        def look() -> dict[str, Any]:
            machine = _host_facts.observe(settings.data_dir)
            return _usage.summary(
                settings.name, machine, _usage.of_node(), _usage.with_storage(pods.workers())
            )

        return web.json_response(await asyncio.to_thread(look))

    async def configuration(_request: web.Request) -> web.Response:
        return web.json_response({"kubeletconfig": _kubelet_configuration.describe(settings)})

    async def container_logs(request: web.Request) -> web.StreamResponse:
        return await _container_logs(request, pods)

    async def list_pods(_request: web.Request) -> web.Response:
        items = [replace(worker.context.pod, status=worker.status) for worker in pods.workers()]
        return web.Response(body=kube.encode(PodList(items=items)), content_type="application/json")

    async def execute(request: web.Request) -> web.StreamResponse:
        container = _running(_container(request, pods))
        command = request.query.getall("command", [])
        if not command:
            raise web.HTTPBadRequest(text="you must specify at least one command for the container\n")
        stdin = wants(request.query, "stdin", "input")
        return await _exec.execute(request, container, command, stdin=stdin)

    async def attach(request: web.Request) -> web.StreamResponse:
        stdin = wants(request.query, "stdin", "input")
        return await _exec.attach(request, _running(_container(request, pods)), stdin=stdin)

    async def port_forward(request: web.Request) -> web.StreamResponse:
        return await _port_forward.forward(request, _pod(request, pods).context.ip)

    site = web.Application(middlewares=[_guard(access)])
    for method in ("GET", "POST"):  # SPDY comes by POST.
        site.router.add_route(method, "/exec/{namespace}/{pod}/{container}", execute)
        site.router.add_route(method, "/attach/{namespace}/{pod}/{container}", attach)
        site.router.add_route(method, "/portForward/{namespace}/{pod}", port_forward)
    site.router.add_get("/containerLogs/{namespace}/{pod}/{container}", container_logs)
    site.router.add_get("/pods", list_pods)
    site.router.add_get("/metrics/resource", resource_metrics)
    site.router.add_get("/stats/summary", summary)
    site.router.add_get("/configz", configuration)
    add_operations(site, health, metrics)
    return site


def _guard(access: Access) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        await access.check(request)
        return await handler(request)

    return guard


def _container(request: web.Request, pods: Pods) -> Container:
    pod, name = _pod(request, pods), request.match_info["container"]
    container = pod.container(name)
    if container is None:
        raise web.HTTPNotFound(text=f'container "{name}" not found in pod "{request.match_info["pod"]}"\n')
    return container


def _pod(request: web.Request, pods: Pods) -> PodWorker:
    namespace, name = request.match_info["namespace"], request.match_info["pod"]
    pod = pods.find(namespace, name)
    if pod is None:
        raise web.HTTPNotFound(text=f'pod "{name}" in namespace "{namespace}" is not on this node\n')
    return pod


def _running(container: Container) -> Container:
    if container.status.state.running is None:
        raise web.HTTPBadRequest(text=f"container {container.name} is not running\n")
    return container


async def _container_logs(request: web.Request, pods: Pods) -> web.StreamResponse:
    container = _container(request, pods)
    pod_name = request.match_info["pod"]
    try:
        options = LogOptions.parse(request.query, time.time_ns())
        restart = instance(container.status, pod_name, previous=options.previous)
    except LogQueryError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error
    return await _stream(request, container, restart, options)


async def _stream(
    request: web.Request, container: Container, restart: int, options: LogOptions
) -> web.StreamResponse:
    path = container.context.directory.log(container.name, restart)
    live = container.log if container.log is not None and container.log.path == path else None
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    await response.prepare(request)

    async def send() -> None:
        async for piece in _log_reader.read(path, options, live):
            await response.write(piece)
        await response.write_eof()

    await while_connected(request, send())
    return response


async def while_connected(request: web.BaseRequest, work: Coroutine[None, None, None]) -> None:
    """Do some work, but only as long as the client is there: it may follow a log that stays silent."""

    async def connected() -> None:
        while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110 - no event
            await asyncio.sleep(_LOOK_EVERY)

    done = await first_of(work, connected())
    with contextlib.suppress(ConnectionError):
        for task in done:
            task.result()


def instance(status: ContainerStatus, pod: str, *, previous: bool) -> int:
    """The number of the container instance whose log is asked for.

    Raises:
        LogQueryError: There is no such instance, and why.
    """
    state = status.state
    if previous:
        if status.last_state.terminated is None:
            raise LogQueryError(f'previous terminated container "{status.name}" in pod "{pod}" not found')
        return status.restart_count if state.waiting is not None else status.restart_count - 1
    if state.waiting is not None and status.last_state.terminated is None:
        message = f'container "{status.name}" in pod "{pod}" is waiting to start: {state.waiting.reason}'
        raise LogQueryError(message)
    return status.restart_count
