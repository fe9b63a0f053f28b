"""The edge where HTTP servers listen: a known address, errors that teach, and a bounded, graceful end."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proa.app.errors import ProaError
from proa.app.health import Health, Report
from proa.app.metrics import Metrics

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["AddressError", "PortInUseError", "Server", "add_operations", "answering", "bind", "listen"]

_BACKLOG = 1024
_DRAIN_SECONDS = 0.02
_LOOPBACK_FOR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised here, not bound


class AddressError(ProaError):
    """The address cannot be listened on: it is not this machine's, does not resolve, or is not permitted."""


class PortInUseError(AddressError):
    """Another program listens on the port. Retrying helps only when that program ends."""


@dataclass(frozen=True)
class Server:
    """A server that accepts connections.

    Attributes:
        name: What messages call it.
        host: The numeric address that is bound.
        port: The port that is bound, also when 0 was asked for.
        scheme: `http` or `https`.
    """

    name: str
    host: str
    port: int
    scheme: str

    @property
    def url(self) -> str:
        """Where a client on this machine reaches the server; no trailing slash."""
        host = _LOOPBACK_FOR.get(self.host, self.host)
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"


Handler = Callable[["web.BaseRequest"], Awaitable["web.StreamResponse"]]
"""Answers every request itself: for those who do their own routing."""


@contextlib.asynccontextmanager
async def listen(
    application: "web.Application | Handler",
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    listener: socket.socket | None = None,
    ssl_context: ssl.SSLContext | None = None,
    name: str = "http",
    shutdown_timeout: float = 5.0,
    max_body: int = 1024**2,
    on_shutdown: Callable[[], None] | None = None,
) -> AsyncIterator[Server]:
    """Serve an aiohttp application, or a plain handler, while the context is open.

    A plain handler saves the 25 µs that aiohttp's routing takes of every request, and is cancelled when its
    client goes away. An application has its own `client_max_size` and `on_shutdown`; `max_body` and the
    `on_shutdown` here are the handler's.

    On exit the port closes first, then the application's `on_shutdown` runs (end long-lived responses such as
    watches there), then requests under way get `shutdown_timeout` seconds before they are cancelled.

    Args:
        application: The application, which can be listened on once, or the handler.
        host: An address or name of this machine. Of a name with several addresses one is used, IPv4 first.
        port: 0 picks a free one.
        listener: A socket that listens already, instead of host and port; it is closed on exit.
        ssl_context: Serve HTTPS with it.
        name: What error messages call the server.
        shutdown_timeout: Seconds that the bodies of requests under way may still take on exit, and then again
            their answers.
        max_body: Bytes that a request to a handler may have; more raises `HTTPRequestEntityTooLarge` there.
        on_shutdown: Called on exit once the port is closed: ends a handler's long-lived responses.

    Raises:
        PortInUseError: The port is taken.
        AddressError: The address cannot be listened on for another reason.
    """
    from aiohttp import web

    listener = listener or await bind(name, host, port)
    try:
        async with _running(application, max_body, shutdown_timeout, on_shutdown) as runner:
            await web.SockSite(runner, listener, ssl_context=ssl_context, backlog=_BACKLOG).start()
            bound_host, bound_port = listener.getsockname()[:2]
            yield Server(name, bound_host, bound_port, "https" if ssl_context else "http")
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def answering(
    handler: Handler, *, shutdown_timeout: float = 5.0, max_body: int = 1024**2
) -> AsyncIterator["web.Server"]:
    """Yield what makes the protocol of each connection, for those who accept connections themselves.

    It is the same server as that of `listen`; on exit requests under way are given time as there.
    """
    async with _running(handler, max_body, shutdown_timeout, None) as runner:
        assert runner.server
        yield runner.server


@contextlib.asynccontextmanager
async def _running(
    application: "web.Application | Handler",
    max_body: int,
    shutdown_timeout: float,
    on_shutdown: Callable[[], None] | None,
) -> AsyncIterator["web.BaseRunner"]:
    from aiohttp import web

    runner: web.BaseRunner
    if isinstance(application, web.Application):
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=shutdown_timeout)
    else:
        runner = _handler_runner(application, max_body, shutdown_timeout)
    try:
        await runner.setup()
        yield runner
    finally:
        for site in runner.sites:
            await site.stop()
        if on_shutdown is not None:
            on_shutdown()
        if runner.server is not None:
            await _bodies_arrived(runner.server, shutdown_timeout)
        await runner.cleanup()


async def _bodies_arrived(server: "web.Server", timeout: float) -> None:
    """Wait, but not for ever, for bodies of requests: once aiohttp shuts down it drops what still comes."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while any(map(_is_receiving, server.connections)):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(_DRAIN_SECONDS)


def _is_receiving(connection: "web.RequestHandler") -> bool:
    request = connection._current_request  # noqa: SLF001 - aiohttp tells nobody
    return request is not None and "Upgrade" not in request.headers and not request.content.is_eof()


def _handler_runner(handler: Handler, max_body: int, shutdown_timeout: float) -> "web.ServerRunner":
    from aiohttp import web

    def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=max_body)

    loop = asyncio.get_running_loop()
    server = web.Server(handler, request_factory=request, handler_cancellation=True, access_log=None)
    return web.ServerRunner(server, shutdown_timeout=shutdown_timeout)


async def bind(name: str, host: str, port: int) -> socket.socket:
    """Return a socket that listens, as `listen` makes it; raises as that does."""
    if not 0 <= port <= 65535:
        raise AddressError(f"{name}: {port} is not a port: choose one from 0 to 65535 (0 picks a free one)")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise AddressError(f"{name}: cannot listen on {host!r}: no such host or address") from error
    # Clients try 127.0.0.1 for "localhost" more often than ::1.
    family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        # As every Unix server does: a port in TIME_WAIT after a restart is free. It never steals a live one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _explain(name, host, port, error) from error
    return listener


def _explain(name: str, host: str, port: int, error: OSError) -> AddressError:
    where = f"{name}: cannot listen on {host} port {port}"
    match error.errno:
        case errno.EADDRINUSE:
            return PortInUseError(
                f"{where}: another program has it; stop it or choose another port (0 picks a free one)"
            )
        case errno.EADDRNOTAVAIL:
            return AddressError(f"{where}: this machine has no such address")
        case errno.EACCES | errno.EPERM:
            return AddressError(
                f"{where}: not permitted; ports below 1024 need privileges, choose a higher one"
            )
        case _:
            return AddressError(f"{where}: {error.strerror or error}")


def add_operations(application: "web.Application", health: Health, metrics: Metrics) -> None:
    """Add what operators and Kubernetes' probes ask for, all unauthenticated and without secrets.

    `/livez` runs the liveness checks, `/readyz` and `/healthz` all of them: 200 `ok`, or 500 with the failed
    checks named; `?verbose` names every check. `/metrics` is the Prometheus exposition.
    """
    from aiohttp import web

    def answer(request: web.Request, report: Report) -> web.Response:
        text = report.text(verbose="verbose" in request.query)
        return web.Response(
            status=200 if report.ok else 500, text=text, headers={"Cache-Control": "no-store"}
        )

    async def livez(request: web.Request) -> web.Response:
        return answer(request, await health.live("livez"))

    async def readyz(request: web.Request) -> web.Response:
        return answer(request, await health.ready("readyz"))

    async def healthz(request: web.Request) -> web.Response:
        return answer(request, await health.ready("healthz"))

    async def render_metrics(request: web.Request) -> web.Response:
        body, content_type = await asyncio.to_thread(metrics.render, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/metrics", render_metrics)
