"""The HTTP side of WAGI: a request comes, its handler is found and run, what it prints is the response.

`Gateway` is that for any number of routes in one process; `serve` puts it behind a socket; `serve_module` is
the short form for one module, for programs that are no `proa wagi`.
"""

import asyncio
import contextlib
import itertools
import os
import re
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from proa.app import http
from proa.wagi._body import INLINE, BodyCounter, feed, read_beginning
from proa.wagi._messages import Invocation
from proa.wagi._response import REQUEST_ID, refuse, request_id, respond
from proa.wagi.errors import HandlerError
from proa.wagi.executors import Execution, Executors, Nursery
from proa.wagi.handlers import Handler, Limits
from proa.wagi.observers import Logger, Observer
from proa.wagi.protocol import Matched, Request, arguments, environment
from proa.wagi.routing import RouteTable
from proa.wagi.statistics import RouteStatistics, Statistics
from proa.wasm import ModuleTerms, Mount, Sandboxes

__all__ = ["Gateway", "serve", "serve_module"]


_PATIENCE: Final = 10.0
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class _Route:
    """A handler with what belongs to its requests in this process."""

    def __init__(self, handler: Handler, statistics: RouteStatistics) -> None:
        self.handler = handler
        self.statistics = statistics
        self.turns = asyncio.Semaphore(handler.limits.concurrency)


class Gateway:
    """Answers requests by running handlers. Not bound to a socket: `handle` is an aiohttp handler.

    Args:
        executors: What runs them.
        observer: Who hears of everything.
        healthz: Answer `/healthz` here rather than by a route, as WAGI does.

    Attributes:
        hostname: `host` or `host:port` for clients that send no Host header.
        leaving: Set it before the end: each answer then ends its connection, so that clients ask elsewhere.
    """

    def __init__(
        self,
        executors: Executors,
        *,
        observer: Observer | None = None,
        healthz: bool = True,
    ) -> None:
        self.hostname = "localhost"
        self.leaving = False
        self._executors = executors
        self._observer = observer or Logger()
        self._healthz = healthz
        self._routes: RouteTable[_Route] = RouteTable([])
        self._statistics: dict[str, RouteStatistics] = {}
        self._name = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def use(self, handlers: Sequence[Handler]) -> None:
        """Serve these from now on. Requests under way end as they began; counts of a route go on."""
        self._routes = RouteTable(
            [(handler.route, _Route(handler, self._counts(handler.route))) for handler in handlers]
        )

    def statistics(self) -> Statistics:
        """Return what has been counted so far."""
        return Statistics(
            routes=self._statistics, executors=len(self._executors), waiting=self._executors.waiting
        )

    def _counts(self, route: str) -> RouteStatistics:
        return self._statistics.setdefault(route, RouteStatistics())

    def _identify(self, received: web.BaseRequest) -> str:
        """The client's own id for a request, or a new one."""
        given = received.headers.get("X-Request-Id")
        if given and _IDENTIFIER.fullmatch(given):
            return given
        return f"{self._name}-{next(self._numbers)}"

    async def handle(self, received: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; never raises for what a handler or a client does."""
        began = asyncio.get_running_loop().time()
        received[REQUEST_ID] = self._identify(received)
        path, _, query = _target(received.raw_path).partition("?")
        if self._healthz and path == "/healthz":
            return web.Response(text="OK")
        found = self._routes.find(path)
        request = _request(received, path, query)
        if found is None:
            response: web.StreamResponse = web.Response(status=404)
            route, statistics, counter = "", self._counts(""), BodyCounter(None)
        else:
            matched, target = found
            route, statistics = matched.pattern, target.statistics
            counter = BodyCounter(target.handler.limits.body)
            statistics.running += 1
            try:
                response = await self._answer(received, request, matched, target, counter)
            finally:
                statistics.running -= 1
        if self.leaving:
            response.force_close()
        seconds = asyncio.get_running_loop().time() - began
        sent = response.body_length
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            sent = len(response.body)
        statistics.record(response.status, seconds, counter.received, sent)
        self._observer.answered(request, route, response.status, sent, seconds)
        return response

    async def _answer(
        self,
        received: web.BaseRequest,
        request: Request,
        matched: Matched,
        route: _Route,
        counter: BodyCounter,
    ) -> web.StreamResponse:
        handler, turns = route.handler, route.turns
        try:
            counter.expect(request.content_length)
            await _take_turn(turns)
            try:
                return await self._run(received, request, matched, handler, counter)
            finally:
                turns.release()
        except HandlerError as error:
            counts = route.statistics.failures
            counts[error.reason] = counts.get(error.reason, 0) + 1
            self._observer.failed(matched.pattern, request_id(received), error)
            return refuse(received, error)

    async def _run(
        self,
        received: web.BaseRequest,
        request: Request,
        matched: Matched,
        handler: Handler,
        counter: BodyCounter,
    ) -> web.StreamResponse:
        beginning, is_all = b"", True
        if received.body_exists:
            beginning, is_all = await read_beginning(received.content, counter)
        if is_all:
            request.content_length = len(beginning)
        if len(beginning) > INLINE or not is_all:
            return await self._run_with_long_body(received, request, matched, handler, counter, beginning)
        invocation = _invocation(request, matched, handler, self.hostname, beginning)
        execution = self._executors.run(invocation, seconds=handler.limits.seconds, patience=_PATIENCE)
        return await self._respond(received, matched, execution)

    async def _run_with_long_body(
        self,
        received: web.BaseRequest,
        request: Request,
        matched: Matched,
        handler: Handler,
        counter: BodyCounter,
        beginning: bytes,
    ) -> web.StreamResponse:
        invocation = _invocation(request, matched, handler, self.hostname, None)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        with os.fdopen(reader, "rb", 0), os.fdopen(writer, "wb", 0) as pipe:
            execution = self._executors.run(
                invocation, stdin=reader, seconds=handler.limits.seconds, patience=_PATIENCE
            )
            feeding = asyncio.create_task(feed(pipe, beginning, received.content, counter))
            feeding.add_done_callback(lambda task: _on_fed(task, execution))
            try:
                return await self._respond(received, matched, execution)
            finally:
                feeding.cancel()
                await asyncio.wait({feeding})

    async def _respond(
        self, received: web.BaseRequest, matched: Matched, execution: Execution
    ) -> web.StreamResponse:
        with execution:
            try:
                return await respond(received, execution)
            finally:
                if execution.result and execution.result.errors:
                    self._observer.printed(matched.pattern, request_id(received), execution.result.errors)


def _on_fed(feeding: asyncio.Task[None], execution: Execution) -> None:
    """A body that breaks off, or is too long, ends the handler that reads it."""
    error = None if feeding.cancelled() else feeding.exception()
    if isinstance(error, HandlerError):
        execution.fail(error)
    elif error:
        execution.fail(HandlerError(400, "body", f"the request's body broke off: {error}"))


async def _take_turn(turns: asyncio.Semaphore) -> None:
    if not turns.locked():
        await turns.acquire()
        return
    try:
        async with asyncio.timeout(_PATIENCE):
            await turns.acquire()
    except TimeoutError:
        message = f"the route's other requests took all turns for {_PATIENCE:g} s"
        raise HandlerError(503, "overload", message) from None


def _target(raw: str) -> str:
    """Reduce a request's target to path and query: proxies' clients send a whole URL."""
    if not raw.startswith("/") and "://" in raw:
        _, _, rest = raw.partition("://")
        raw = "/" + rest.partition("/")[2]
    return raw.partition("#")[0]


def _request(received: web.BaseRequest, path: str, query: str) -> Request:
    version = received.version
    return Request(
        method=received.method,
        path=path,
        query=query,
        headers=received.raw_headers,
        remote=received.remote or "",
        scheme=received.scheme,
        version=f"HTTP/{version.major}.{version.minor}",
        content_length=received.content_length if received.body_exists else 0,
    )


def _invocation(
    request: Request, matched: Matched, handler: Handler, hostname: str, body: bytes | None
) -> Invocation:
    variables = environment(request, matched, hostname=hostname, base=handler.environment)
    return Invocation(
        str(handler.module.path),
        handler.module.is_component,
        handler.entrypoint,
        _encode("".join(f"{argument}\0" for argument in arguments(request, handler.argv))),
        _encode("\0".join(variables)),
        _encode("\0".join(variables.values())),
        body or b"",
        body is None,
        handler.limits.memory,
        tuple((str(mount.source), mount.target, mount.read_only) for mount in handler.mounts),
        handler.outbound,
    )


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


@contextlib.asynccontextmanager
async def serve(
    handlers: Sequence[Handler],
    nursery: Nursery,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    listener: socket.socket | None = None,
    ssl_context: ssl.SSLContext | None = None,
    executors: int = 64,
    spare: int = 2,
    hostname: str | None = None,
    observer: Observer | None = None,
    healthz: bool = True,
    shutdown_timeout: float = 10.0,
) -> AsyncIterator[tuple[Gateway, http.Server]]:
    """Serve handlers while the context is open.

    On exit the port closes first; requests under way have `shutdown_timeout` seconds to end.

    Args:
        handlers: The routes, in order of precedence; `Gateway.use` replaces them.
        nursery: Where executors are started: `Sandboxes`, for instance.
        host: An address or name of this machine.
        port: 0 picks a free one.
        listener: A socket that listens already, instead of host and port.
        ssl_context: Serve HTTPS with it.
        executors: The most processes that run handlers.
        spare: How many of them there always are.
        hostname: `host` or `host:port` for clients that send no Host header; where it listens, by default.
        observer: Who hears of requests and failures; by default failures and standard error are logged.
        healthz: Answer `/healthz`, before any route.
        shutdown_timeout: See above.

    Raises:
        AddressError: The address cannot be listened on.
        WasmError: The zygote is gone.
    """
    async with Executors.open(nursery, executors, spare) as pool:
        gateway = Gateway(pool, observer=observer, healthz=healthz)
        gateway.use(handlers)
        async with http.listen(
            gateway.handle,
            host=host,
            port=port,
            listener=listener,
            ssl_context=ssl_context,
            name="wagi",
            shutdown_timeout=shutdown_timeout,
        ) as listening:
            gateway.hostname = hostname or f"{listening.host}:{listening.port}"
            yield gateway, listening


@contextlib.asynccontextmanager
async def serve_module(
    path: Path,
    sandboxes: Sandboxes,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    sha256: str | None = None,
    environment: Mapping[str, str] | None = None,
    mounts: Sequence[Mount] = (),
    limits: Limits | None = None,
    executors: int = 16,
    observer: Observer | None = None,
) -> AsyncIterator[http.Server]:
    """Serve one module for every path of an address; the route is `/...`.

    Args:
        path: The module or component.
        sandboxes: Where it is compiled and run.
        host: An address of this machine.
        port: 0 picks a free one.
        sha256: The module's digest, if known.
        environment: Variables for every request.
        mounts: Directories that it sees.
        limits: What a request may use.
        executors: The most processes, and so the most requests at once.
        observer: Who hears of requests, failures and what is printed to standard error.

    Raises:
        AddressError: The address cannot be listened on.
        InvalidModuleError: It is no module, or none that can be served.
        WasmError: The zygote is gone.
    """
    module = await sandboxes.compile(path, sha256, ModuleTerms(http=True))
    handler = Handler(
        route="/...",
        module=module,
        environment=dict(environment or {}),
        mounts=tuple(mounts),
        limits=limits or Limits(concurrency=executors),
    )
    async with serve(
        [handler], sandboxes, host=host, port=port, executors=executors, observer=observer, healthz=False
    ) as (_, server):
        yield server
