"""The HTTP side of WAGI: a request comes, its handler is found and run, what it prints is the response.

`Gateway` is that for any number of routes in one process. Plain and quick requests do not get here: they are
answered at the front (`proa.wagi.connections`), and only told of.
"""

import asyncio
import itertools
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from aiohttp import web

from proa.wagi import _plain
from proa.wagi._body import INLINE, BodyCounter, feed, read_beginning
from proa.wagi._front import is_for_the_front
from proa.wagi._front_desk import Adopted
from proa.wagi._front_messages import Record
from proa.wagi._response import REQUEST_ID, refuse, request_id, respond
from proa.wagi.errors import HandlerError
from proa.wagi.executors import Execution, Executors
from proa.wagi.handlers import Handler
from proa.wagi.invocations import invocation
from proa.wagi.observers import Logger, Observer
from proa.wagi.protocol import Matched, Request
from proa.wagi.routing import RouteTable
from proa.wagi.statistics import RouteStatistics, Statistics

__all__ = ["Follower", "Gateway"]


_PATIENCE: Final = 10.0
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_GENERATIONS: Final = 64
_UNCLAIMED_SECONDS: Final = 5.0


class Follower(Protocol):
    """Serves what the gateway serves, elsewhere."""

    def use(self, handlers: Sequence[Handler]) -> None:
        """Serve these from now on."""

    def leave(self) -> None:
        """Leave everything to the gateway."""

    def catch_up(self) -> None:
        """Tell the gateway of everything that has been answered so far."""


class _Route:
    """A handler with what belongs to its requests in this process."""

    def __init__(self, handler: Handler, statistics: RouteStatistics, *, is_shared: bool) -> None:
        self.handler = handler
        self.statistics = statistics
        # The front, which serves one request at a time, is not asked how many are under way there.
        self.turns = asyncio.Semaphore(handler.limits.concurrency - is_shared)


class Gateway:
    """Answers requests by running handlers. Not bound to a socket: `handle` is an aiohttp handler.

    Args:
        executors: What runs them.
        observer: Who hears of everything.
        healthz: Answer `/healthz` here rather than by a route, as WAGI does.

    Attributes:
        executors: What runs them.
        hostname: `host` or `host:port` for clients that send no Host header.
        healthz: Whether it answers `/healthz`.
        generation: Counts how often there were new routes.
    """

    def __init__(
        self,
        executors: Executors,
        *,
        observer: Observer | None = None,
        healthz: bool = True,
    ) -> None:
        self.hostname = "localhost"
        self.executors = executors
        self._observer = observer or Logger()
        self.healthz = healthz
        self.generation = 0
        self._is_leaving = False
        self._follower: Follower | None = None
        self._routes: RouteTable[_Route] = RouteTable([])
        self._generations = OrderedDict({0: self._routes})
        self._adopted: dict[asyncio.BaseTransport, Adopted] = {}
        self._statistics: dict[str, RouteStatistics] = {}
        self._name = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def use(self, handlers: Sequence[Handler]) -> None:
        """Serve these from now on. Requests under way end as they began; counts of a route go on."""
        has_front = self._follower is not None
        self._routes = RouteTable(
            [
                (
                    handler.route,
                    _Route(
                        handler,
                        self._counts(handler.route),
                        is_shared=has_front and is_for_the_front(handler),
                    ),
                )
                for handler in handlers
            ]
        )
        self.generation += 1
        self._generations[self.generation] = self._routes
        if len(self._generations) > _GENERATIONS:
            self._generations.popitem(last=False)
        if self._follower:
            self._follower.use(handlers)

    def leave(self) -> None:
        """Have each answer from now on end its connection, so that clients ask elsewhere."""
        self._is_leaving = True
        if self._follower:
            self._follower.leave()

    def statistics(self) -> Statistics:
        """Return what has been counted so far."""
        self.catch_up()
        return Statistics(
            routes=self._statistics, executors=len(self.executors), waiting=self.executors.waiting
        )

    # The front

    def follow(self, follower: Follower) -> None:
        """Have requests answered elsewhere, too."""
        self._follower = follower
        self.use([route.handler for _, route in self._routes.routes])

    def catch_up(self) -> None:
        """Hear of everything that has been answered at the front."""
        if self._follower:
            self._follower.catch_up()

    def hear(self, record: Record) -> None:
        """Count a request that has been answered at the front, and tell of it."""
        self._counts(record.route).record(record.status, record.seconds, record.received, record.sent)
        if record.errors:
            self._observer.printed(record.route, record.request_id, record.errors)
        if record.request and (plain := _plain.read_request(record.request, record.remote)):
            request = plain.request
            self._observer.answered(request, record.route, record.status, record.sent, record.seconds)

    @property
    def needs_requests(self) -> bool:
        """Whether records have to hold requests."""
        return self._observer.follows_answers

    def next_prefix(self) -> str:
        """Return what no other ids of requests begin with."""
        return f"{self._name}{next(self._numbers)}"

    def handler(self, generation: int, place: int) -> Handler:
        """Return a handler by its place in a generation of routes."""
        return self._generations[generation].routes[place][1].handler

    def adopt(self, transport: asyncio.BaseTransport, adopted: Adopted) -> None:
        """Take a run for that of the first request which comes over a connection."""
        self._adopted[transport] = adopted
        asyncio.get_running_loop().call_later(_UNCLAIMED_SECONDS, self._abandon, transport)

    def _abandon(self, transport: asyncio.BaseTransport) -> None:
        """End a run whose client has gone before its request was seen here."""
        if adopted := self._adopted.pop(transport, None):
            with adopted.execution:
                pass

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
        began = time.monotonic()
        adopted = self._adopted.pop(received.transport, None) if received.transport else None
        received[REQUEST_ID] = self._identify(received)
        path, _, query = _target(received.raw_path).partition("?")
        if self.healthz and path == "/healthz":
            return web.Response(text="OK")
        routes = self._generations[adopted.generation] if adopted else self._routes
        found = routes.find(path)
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
                response = await self._answer(received, request, matched, target, counter, adopted)
            finally:
                statistics.running -= 1
        if self._is_leaving:
            response.force_close()
        seconds = time.monotonic() - (adopted.began if adopted else began)
        self.catch_up()  # What was answered before is told of before.
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
        adopted: Adopted | None,
    ) -> web.StreamResponse:
        handler, turns = route.handler, route.turns
        try:
            counter.expect(request.content_length)
            if adopted:  # It has had its turn at the front, where its program does not get another meanwhile.
                counter.received = request.content_length or 0
                return await self._respond(received, matched, adopted.execution)
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
        invoked = invocation(request, matched, handler, self.hostname, beginning)
        execution = self.executors.run(invoked, seconds=handler.limits.seconds, patience=_PATIENCE)
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
        invoked = invocation(request, matched, handler, self.hostname, None)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        with os.fdopen(reader, "rb", 0), os.fdopen(writer, "wb", 0) as pipe:
            execution = self.executors.run(
                invoked, stdin=reader, seconds=handler.limits.seconds, patience=_PATIENCE
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
