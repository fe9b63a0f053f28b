"""A gateway behind a socket: `serve` for any number of handlers, `serve_module` for a module of one's own."""

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from proa.app import http
from proa.wagi.connections import Connections
from proa.wagi.executors import Executors, Nursery
from proa.wagi.gateway import Gateway
from proa.wagi.handlers import Handler, Limits
from proa.wagi.observers import Observer
from proa.wasm import ModuleTerms, Mount, Sandboxes

__all__ = ["serve", "serve_module"]


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
    spare: int = 1,
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
        spare: How many of them there always are beside the one at the front.
        hostname: `host` or `host:port` for clients that send no Host header; where it listens, by default.
        observer: Who hears of requests and failures; by default failures and standard error are logged.
        healthz: Answer `/healthz`, before any route.
        shutdown_timeout: See above.

    Raises:
        AddressError: The address cannot be listened on.
        WasmError: The zygote is gone.
    """
    async with Executors.open(nursery, executors, spare + bool(ssl_context)) as pool:
        gateway = Gateway(pool, observer=observer, healthz=healthz)
        if ssl_context:
            gateway.use(handlers)
            listening = http.listen(
                gateway.handle,
                host=host,
                port=port,
                listener=listener,
                ssl_context=ssl_context,
                name="wagi",
                shutdown_timeout=shutdown_timeout,
            )
        else:
            listener = listener or await http.bind("wagi", host, port)
            listening = _with_a_front(gateway, handlers, pool, listener, hostname, shutdown_timeout)
        async with listening as server:
            gateway.hostname = hostname or f"{server.host}:{server.port}"
            yield gateway, server


@contextlib.asynccontextmanager
async def _with_a_front(
    gateway: Gateway,
    handlers: Sequence[Handler],
    pool: Executors,
    listener: socket.socket,
    hostname: str | None,
    shutdown_timeout: float,
) -> AsyncIterator[http.Server]:
    """Serve over plain HTTP: at the front what can be, by the gateway what remains."""
    with listener:
        host, port = listener.getsockname()[:2]
        gateway.hostname = hostname or f"{host}:{port}"
        gateway.use(handlers)
        async with (
            http.answering(gateway.handle, shutdown_timeout=shutdown_timeout) as server,
            Connections.open(listener, pool, gateway, server),
        ):
            yield http.Server("wagi", host, port, "http")


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
