"""A small registry server by the OCI distribution specification 1.1: push, pull, content management,
referrers.

`Registry` is all there is to use. Behind it: `_application` puts the server together; `_blobs` and
`_manifests` handle requests, which `_requests` reads and checks; `_uploads` are those under way; `_state`
keeps everything, blobs in a `BlobStore` and their names in `_catalog`.

There is no authentication: it is made for loopback, where `proa up` runs it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp.typedefs import Middleware

from proa.app import Health, Metrics, http, logs
from proa.app.threads import in_thread
from proa.oci.registry._application import make_application
from proa.oci.registry._state import State
from proa.oci.registry._uploads import Uploads

__all__ = ("Registry",)

_MAX_IDLE: Final = 3600.0

log = logs.get_logger(__name__)


class Registry:
    """A registry that listens while its context is open.

    What it has acknowledged is on the disk and survives a crash, except the beginnings of blobs: an upload
    ends with the process, and its client begins again. One process serves a directory at a time.

    Args:
        data_dir: where blobs and catalog are kept; made if need be.
        host: address to listen on. Anyone who reaches it may push and delete.
        port: port to listen on; 0 picks a free one.
        health: gets a readiness check; one of its own by default.
        metrics: gets a histogram of requests; one of its own by default.
        middlewares: aiohttp middlewares around everything, the outermost first.

    Attributes:
        url: where it is, as `http://127.0.0.1:5050`.
        port: the port that it listens on.
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        host: str = "127.0.0.1",
        port: int = 5050,
        health: Health | None = None,
        metrics: Metrics | None = None,
        middlewares: Sequence[Middleware] = (),
    ) -> None:
        self._data_dir = data_dir
        self._host = host
        self._port = port
        self._health = health or Health()
        self._metrics = metrics or Metrics()
        self._middlewares = middlewares
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the state and listen.

        Raises:
            StorageError: the state can't be opened; says why and what to do.
            PortInUseError: another program has the port.
        """
        async with self._stack:
            state = State(self._data_dir)
            self._stack.push_async_callback(state.close)
            await state.open()
            uploads = Uploads(state.blobs, _MAX_IDLE)
            self._stack.push_async_callback(uploads.close)
            await self._stack.enter_async_context(_running(uploads.expire_forever()))
            application = await in_thread(
                make_application, state, uploads, self._health, self._metrics, self._middlewares
            )
            self._server = await self._stack.enter_async_context(
                http.listen(application, host=self._host, port=self._port, name="registry")
            )
            self._stack = self._stack.pop_all()
        log.info("registry listens", url=self.url, data_dir=str(self._data_dir))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where the registry is."""
        return self._server.url

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.port


@contextlib.asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
