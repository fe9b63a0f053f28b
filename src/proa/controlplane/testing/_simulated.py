"""The embedded API server without sockets, threads and TLS: for simulations in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from sqlite3 import Connection as Sqlite
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import urlencode

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proa.controlplane.admission import WebhookClient
from proa.controlplane.customresources import Conversions, CustomResources
from proa.controlplane.registry import Registry, catalogue
from proa.controlplane.security import Authoriser, User
from proa.controlplane.server import ApiServer, ApiServerSettings
from proa.controlplane.serving import Dispatcher
from proa.controlplane.serving._responses import Plain
from proa.controlplane.serving._watch import WatchService
from proa.controlplane.storage import Database, Key, Store
from proa.controlplane.storage._database import Write
from proa.kube.core.request import Request
from proa.kube.core.response import Response
from proa.runtime import background
from proa.runtime.testing import Faults, MemoryServer

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own is made there
TOKEN = "simulation"  # noqa: S105 - good for nothing outside of the process
ADMIN = User("simulation", groups=("system:masters", "system:authenticated"))


class SimulatedServer(MemoryServer):
    """The embedded API server behind a `MemoryServer`'s faults: for `proa.runtime.testing.simulate`.

    It answers requests with all that the real one does, admission and defaults included, and keeps its
    objects in a SQLite file, from which it starts anew after each `stop`. Namespaces are made when they are
    first used.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self._directory = TemporaryDirectory(
            prefix="proa-simulation-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None
        )
        self._running: _Core | None = None
        self._stale = False
        self._starting: asyncio.Task[_Core] | None = None

    def documents(self, resource: str, namespace: str = "") -> list[dict[str, Any]]:
        """Return the objects of a storage resource, such as "configmaps" or "deployments.apps"."""
        assert self._running is not None
        found = self._running.store.scan(resource, namespace or None)
        return [stored.document() for stored in found]

    def forget(self) -> None:
        """Forget the past: watches that resume at a version before this are told 410."""
        if self._running is not None:
            self._running.store.history.forget(self._running.store.revision)

    def stop(self) -> None:
        """End all watches and refuse connections until `start`; whoever asks then finds a new server."""
        super().stop()
        self._stale = True
        if self._running is not None:
            self._running.watches.end_all()

    async def close(self) -> None:
        """End the server, and remove what it kept."""
        if self._running is not None:
            await self._running.__aexit__(None, None, None)
            self._running = None
        self._directory.cleanup()

    async def _core(self) -> _Core:
        if self._running is not None and not self._stale:
            return self._running
        if self._starting is None:
            self._starting = asyncio.create_task(self._start_anew())
            self._starting.add_done_callback(self._started)
        # Whoever asked may be killed meanwhile; the server starts all the same.
        return await asyncio.shield(self._starting)

    def _started(self, _: object) -> None:
        self._starting = None

    async def _start_anew(self) -> _Core:
        if self._running is not None:
            await self._running.__aexit__(None, None, None)
            self._running = None
        settings = ApiServerSettings(data_dir=Path(self._directory.name))
        self._running = await _Core(settings).__aenter__()
        self._stale = False
        return self._running

    async def _respond(self, request: Request) -> Response:
        core = await self._core()
        if request.method == "POST":
            await self._make_namespace(core, request)
        return await core.answer(request)

    async def _make_namespace(self, core: _Core, request: Request) -> None:
        _, found, rest = request.path.partition("/namespaces/")
        name = rest.partition("/")[0]
        if found and core.store.get(Key("namespaces", "", name)) is None:
            body = b'{"metadata":{"name":"%b"}}' % name.encode()
            await core.answer(Request("POST", "/api/v1/namespaces", body=body))

    async def _interfere(self, request: Request) -> None:
        note = b'{"metadata":{"annotations":{"testing.proa.dev/touched":"%d"}}}' % len(self.requests)
        path = request.path.removesuffix("/status")
        core = await self._core()
        await core.answer(Request("PATCH", path, body=note, content_type="application/merge-patch+json"))

    async def watch(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch, until it ends or breaks."""
        life, told = self._lives, None
        if request.query.get("resourceVersion") and self.faults.happens(self.faults.rates.expired):
            yield self._expired()
            return
        core = await self._core()
        async with aclosing(core.lines(request)) as lines:
            async for line in lines:
                await self._trouble(life)
                if told is not None and self.faults.happens(self.faults.rates.twice):
                    yield told
                yield line
                told = line if b'"BOOKMARK"' not in line[:30] else told
        self._alive(life)


class _Core(ApiServer):
    """The server without what only a network needs."""

    async def _start(self, stack: AsyncExitStack) -> None:
        self.store = store = await stack.enter_async_context(_InlineStore(self.settings.data_dir))
        self._pki = _NoPki()  # type: ignore[assignment]
        authoriser, known = Authoriser(store), catalogue()
        client = WebhookClient(store)
        stack.push_async_callback(client.close)
        conversions = Conversions(client, known)
        chain = self._admission(store, known, authoriser, client, conversions)
        registry = Registry(store, chain)
        await stack.enter_async_context(CustomResources(registry, known, conversions))
        self.watches = await stack.enter_async_context(WatchService(store))
        self._dispatching = self._dispatcher(
            stack, known, registry, authoriser, self.watches, {TOKEN: ADMIN}, None
        )

    _dispatching: Dispatcher

    async def answer(self, request: Request) -> Response:
        answer = await self._dispatching.handle(_http(request, _Lines()))
        if isinstance(answer, Plain):
            answer = answer.full()
        assert isinstance(answer, web.Response)
        body = answer.body if isinstance(answer.body, bytes) else b""
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)

    async def lines(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch."""
        written = _Lines()

        async def respond() -> None:
            answer = await self._dispatching.handle(_http(request, written))
            if isinstance(answer, web.Response) and isinstance(answer.body, bytes):
                await written.write(b'{"type":"ERROR","object":%b}\n' % answer.body.strip())
            await written.write_eof()

        async with background(respond(), "watch"):
            while (chunk := await written.queue.get()) is not None:
                for line in chunk.splitlines(keepends=True):
                    yield line


class _NoPki:
    service_account_key = b""
    kubelet_context = None


class _InlineStore(Store):
    """A store that opens and commits in the event loop: no thread decides what happens first."""

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._database = self._open()
        self._database.start(self._committed_in_thread)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._send()
        self._database.close()

    def _open(self) -> _InlineDatabase:
        database = _InlineDatabase(self._directory)
        self._load(database)
        return database


class _InlineDatabase(Database):
    def _prepare(self, connection: Sqlite) -> None:
        connection.execute("PRAGMA synchronous=OFF")  # what is simulated is no loss of power
        super()._prepare(connection)
        connection.execute("PRAGMA synchronous=OFF")

    def start(self, committed: Any) -> None:
        self._committed = committed

    def submit(self, writes: list[Write]) -> None:
        if writes:
            self._committed(writes, self._commit(writes))


def _http(request: Request, writer: AbstractStreamWriter) -> web.BaseRequest:
    """Return the request as aiohttp's server would have made it of bytes."""
    loop = asyncio.get_running_loop()
    headers = CIMultiDict(
        {"Authorization": f"Bearer {TOKEN}", "Accept": request.accept, "Content-Type": request.content_type}
    )
    if request.body is not None:
        headers["Content-Length"] = str(len(request.body))
    target = f"{request.path}?{urlencode(request.pairs())}"
    message = RawRequestMessage(
        method=request.method,
        path=target,
        version=HttpVersion11,
        headers=CIMultiDictProxy(headers),
        raw_headers=(),
        should_close=False,
        compression=None,
        upgrade=False,
        chunked=False,
        url=URL(target, encoded=True),
    )
    protocol: Any = _Protocol(loop)
    payload = StreamReader(protocol, 2**16, loop=loop)
    payload.feed_data(request.body or b"")
    payload.feed_eof()
    task: Any = asyncio.current_task()
    return web.BaseRequest(
        message, payload, protocol, writer, task, loop, client_max_size=2**24, scheme="https", host="memory"
    )


class _Protocol(BaseProtocol):
    ssl_context = sockname = None
    peername = None


class _Lines(AbstractStreamWriter):
    """Takes what a streamed answer writes."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        if chunk:
            self.queue.put_nowait(bytes(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        await self.write(chunk)
        self.queue.put_nowait(None)

    async def drain(self) -> None:
        pass

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        pass

    def enable_chunking(self) -> None:
        pass

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        pass
