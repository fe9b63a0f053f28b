"""What is to go wrong with which requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

from proa.controlplane._errors import StatusError
from proa.controlplane.serving._dispatcher import Proceed
from proa.controlplane.serving._request_info import RequestInfo

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
REMEMBERED = 10_000
"""How many requests a server remembers."""

Effect = Callable[[web.BaseRequest, Proceed], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Seen:
    """A request that the server was sent.

    Attributes:
        verb: Kubernetes' word: get, list, watch, create, update, patch, delete or deletecollection.
        resource: `pods`, `pods/status`, `deployments.apps`, `deployments.apps/scale`; empty for other paths.
        namespace: Empty where there is none.
        name: Empty for a collection.
        path: As it was sent, without the query.
    """

    verb: str
    resource: str
    namespace: str
    name: str
    path: str

    @classmethod
    def of(cls, info: RequestInfo) -> Self:
        """A request as tests name it."""
        resource = f"{info.plural}.{info.group}" if info.group else info.plural
        if info.subresource:
            resource += f"/{info.subresource}"
        return cls(info.verb, resource, info.namespace, info.name, info.path)


class Fault:
    """Something that goes wrong with requests, until it has happened so often or is removed.

    Use it as a context manager to remove it at the end of a block.
    """

    def __init__(
        self,
        faults: Faults,
        effect: Effect,
        verbs: Collection[str],
        resource: str,
        name: str,
        times: int | None,
    ) -> None:
        self.hits = 0
        """How often it has happened."""
        self._faults = faults
        self._effect = effect
        self._verbs = verbs
        self._resource = resource
        self._name = name
        self._times = times

    def remove(self) -> None:
        """From now on it does not happen any more."""
        self._faults.active = [fault for fault in self._faults.active if fault is not self]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def takes(self, seen: Seen) -> bool:
        """Whether it happens to a request."""
        return (
            self._resource in {"", seen.resource}
            and self._name in {"", seen.name}
            and (not self._verbs or seen.verb in self._verbs)
        )

    async def happen(self, request: web.BaseRequest, proceed: Proceed) -> web.StreamResponse:
        """The answer to a request that it takes."""
        self.hits += 1
        if self.hits == self._times:
            self.remove()
        return await self._effect(request, proceed)


class Faults:
    """All faults of a server, and what it was asked. Stands before its requests."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self.seen: deque[Seen] = deque(maxlen=REMEMBERED)
        self._waiting: set[asyncio.Task[None]] = set()

    def add(
        self, effect: Effect, verb: str | Collection[str], resource: str, name: str, times: int | None
    ) -> Fault:
        """A fault for requests with one of some verbs (or any), on a resource (or any), with a name (or any).

        It happens to so many of them, or to all if `times` is None.
        """
        verbs = {verb} - {""} if isinstance(verb, str) else set(verb)
        fault = Fault(self, effect, verbs, resource, name, times)
        self.active = [*self.active, fault]
        return fault

    async def intercept(
        self, request: web.BaseRequest, info: RequestInfo, proceed: Proceed
    ) -> web.StreamResponse:
        """The answer to a request: of the oldest fault that takes it, or else the server's."""
        seen = Seen.of(info)
        self.seen.append(seen)
        for fault in self.active:
            if fault.takes(seen):
                return await fault.happen(request, proceed)
        return await proceed()

    def slow(self, seconds: float) -> Effect:
        """Has the server answer later."""

        async def effect(_request: web.BaseRequest, proceed: Proceed) -> web.StreamResponse:
            waiting = asyncio.create_task(asyncio.sleep(seconds))
            self._waiting.add(waiting)
            try:
                await asyncio.wait([waiting])
            finally:
                waiting.cancel()
                self._waiting.discard(waiting)
            return await proceed()

        return effect

    def hurry(self) -> None:
        """Ends all waiting: the server is to stop."""
        for waiting in self._waiting:
            waiting.cancel()


def refuse(code: int, message: str, retry_after: int | None) -> Effect:
    """Answers with a Status instead of doing what was asked."""
    details = {} if retry_after is None else {"retryAfterSeconds": retry_after}

    async def effect(_request: web.BaseRequest, _proceed: Proceed) -> web.StreamResponse:
        raise StatusError(code, REASONS.get(code, ""), message, details)

    return effect


def cut(*, done: bool) -> Effect:
    """Breaks the connection without an answer, before the request is carried out or after."""

    async def effect(request: web.BaseRequest, proceed: Proceed) -> web.StreamResponse:
        if done:
            await proceed()
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the connection was cut, as the test wished")

    return effect
