"""`Client`: a connection to one API server, shared by all `Api`s."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib import import_module
from typing import Self, TypeVar

from proa.kube.codec import decode
from proa.kube.config import Config
from proa.kube.core.request import JSON, Request
from proa.kube.core.response import Response, failure
from proa.kube.core.retrying import Retry
from proa.kube.core.undecodable import Report
from proa.kube.errors import InvalidRequestError, KubeError, TransportError
from proa.kube.models.meta_v1 import VersionInfo
from proa.kube.transport import Socket, Stream, Timeouts, Transport

__all__ = ["Client"]

T = TypeVar("T")
LARGEST_ERROR = 2**20
MOST_REMEMBERED = 1000
_RETRY = Retry()


class Client:
    """Sends requests to an API server and raises what it answers as errors.

    Use it as an async context manager; it holds connections. One client serves any number of tasks, all of
    the event loop in which it was entered. What may be repeated is, as `Retry` says.

    Any request may raise TransportError or ApiError.
    """

    def __init__(
        self,
        config: Config,
        *,
        timeouts: Timeouts | None = None,
        retry: Retry | None = _RETRY,
        user_agent: str = "proa",
        on_warning: Callable[[str], None] | None = None,
        on_undecodable: Report | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Prepare a client; nothing is opened before it is entered.

        Args:
            config: where the server is.
            timeouts: how long requests may take.
            retry: what is sent again by itself; None for nothing.
            user_agent: what the server's audit log shows, and the default name of the manager of fields.
            on_warning: called with what servers warn of: unknown fields, deprecated versions. By default each
                warning is logged once.
            on_undecodable: called for every object that a list or watch passes over, as it is not what its
                type says. By default each is logged once.
            transport: what carries the requests instead of the network; it is closed with the client.
        """
        self.config = config
        self.timeouts = timeouts or Timeouts()
        self.retry = retry
        log_once = OnceLog()
        self._on_warning = on_warning or log_once
        self.on_undecodable: Report = on_undecodable or log_once
        self._user_agent = user_agent
        self._transport = transport

    @classmethod
    def from_env(cls, context: str | None = None) -> Client:
        """Return a client of the cluster that kubectl would talk to; see `Config.from_env`."""
        return cls(Config.from_env(context))

    async def __aenter__(self) -> Self:
        """Load the credentials; raises ConfigError if a certificate or key cannot be used."""
        if self._transport is None:
            self._transport = await self._connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def request(self, request: Request) -> Response:
        """Send a request and return the answer; one of 300 or more is raised as ApiError."""
        return await self._retried(request, self._once)

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float | None = None) -> AsyncIterator[Stream]:
        """Send a request and read the answer as it comes. Only opening it is retried.

        Args:
            request: what to send.
            silence: seconds without a byte after which RequestTimeoutError is raised; None waits while the
                connection lives.
        """
        async with AsyncExitStack() as opened:

            async def open_(request: Request) -> Stream:
                async with AsyncExitStack() as attempt:
                    stream = await attempt.enter_async_context(
                        self._opened().stream(request, silence=silence)
                    )
                    self._judge(request, Response(stream.status, stream.headers, await _error_body(stream)))
                    await opened.enter_async_context(attempt.pop_all())
                    return stream
                raise AssertionError  # for mypy, which takes the stack for one that swallows exceptions

            yield await self._retried(request, open_)

    async def _once(self, request: Request) -> Response:
        return self._judge(request, await self._opened().request(request))

    def _judge(self, request: Request, response: Response) -> Response:
        for text in response.warnings():
            self._on_warning(text)
        if error := failure(request, response):
            raise error
        return response

    async def _retried(self, request: Request, attempt: Callable[[Request], Awaitable[T]]) -> T:
        failures = 0
        while True:
            try:
                return await attempt(request)
            except KubeError as error:
                delay = self.retry.delay(request, error, failures) if self.retry else None
                if delay is None:
                    raise
            import asyncio

            failures += 1
            await asyncio.sleep(delay)

    @asynccontextmanager
    async def connect(self, request: Request, protocols: Sequence[str]) -> AsyncIterator[Socket]:
        """Open a WebSocket; raises ApiError where the server refuses. Only opening it is retried."""
        async with AsyncExitStack() as opened:

            async def open_(request: Request) -> Socket:
                async with AsyncExitStack() as attempt:
                    answer = await attempt.enter_async_context(self._opened().connect(request, protocols))
                    if isinstance(answer, Response):
                        self._judge(request, answer)
                        raise TransportError(f"{request.path}: the server opened no WebSocket")
                    await opened.enter_async_context(attempt.pop_all())
                    return answer
                raise AssertionError  # for mypy, which takes the stack for one that swallows exceptions

            # A command that was sent may have begun: that is no read, whatever the method says.
            yield await self._retried(replace(request, method="POST"), lambda _: open_(request))

    async def request_raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = "*/*",
    ) -> Response:
        """Send any request, such as `GET /healthz`; an answer of 300 or more is raised as ApiError."""
        if not path.startswith("/"):
            raise InvalidRequestError(f"the path {path!r} does not begin with '/'")
        return await self.request(Request(method, path, query or {}, body, content_type, accept))

    async def server_version(self) -> VersionInfo:
        """Return the version of the API server."""
        return decode((await self.request_raw("GET", "/version")).body, VersionInfo)

    async def _connected(self) -> Transport:
        import asyncio

        # Loading aiohttp takes hundreds of milliseconds: in a thread, the event loop goes on meanwhile.
        await asyncio.to_thread(import_module, "proa.kube._aiohttp")
        from proa.kube._aiohttp import AiohttpTransport

        return await AiohttpTransport.open(self.config, self.timeouts, self._user_agent)

    def _opened(self) -> Transport:
        if self._transport is None:
            raise InvalidRequestError("the client is not open: use it inside 'async with client:'")
        return self._transport


async def _error_body(stream: Stream) -> bytes:
    """Read the Status of a stream that is an error; one that is not is left alone."""
    body = b""
    if stream.status >= 300:
        async for chunk in stream.chunks():
            body += chunk
            if len(body) > LARGEST_ERROR:
                break
    return body


class OnceLog:
    """Logs each text once; a server says the same with every answer. Remembers 1,000 of them."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, what: object) -> None:
        text = str(what)
        if text in self._seen:
            return
        if len(self._seen) < MOST_REMEMBERED:
            self._seen.add(text)
        from proa.app.logs import get_logger

        get_logger("proa.kube").warning(text)
