"""`KubeApi`: an API server of a test's own, with faults at hand."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from proa.controlplane._errors import expired
from proa.controlplane.security import Pki
from proa.controlplane.server import ApiServer, ApiServerSettings, certified_hosts
from proa.kube import Client, Config

from ._background import Background
from ._client import SelfOpening
from ._faults import Fault, Faults, Seen, cut, refuse

Verbs = str | Collection[str]


class KubeApi:
    """A Kubernetes API server in a thread of this process. Use as a context manager, or the fixture.

    It is a real server, on a free port of the loopback interface, with TLS, certificates, access rules and
    durable storage; scheduler and controllers are none of it. Its methods may be called from any thread;
    those that do something to the server wait until it is done, some milliseconds.

    Faults happen to all requests that they match, those of `client` too, in the order in which they were
    asked for. Verbs are Kubernetes' (get, list, watch, create, update, patch, delete, deletecollection), one
    or a collection of them; resources are written `pods`, `pods/status`, `deployments.apps`. What is left out
    matches everything; `times=None` is for ever.

    Args:
        directory: Where it keeps its state; empty or not there yet.
        background: The thread that it runs in; by default one of its own.
        pki: Certificates of another server to copy: making new ones takes some milliseconds.
    """

    def __init__(
        self, directory: Path, *, background: Background | None = None, pki: Path | None = None
    ) -> None:
        self._directory = directory
        self._own = Background() if background is None else None
        self._background = background or self._own or Background()
        self._pki = pki
        self._faults = Faults()
        self._stack = AsyncExitStack()
        self._port = 0
        self._running = False
        self._server: ApiServer
        self._transport: SelfOpening
        self.config: Config
        """How a `proa.kube.Client` reaches the server, as its administrator."""

    def __enter__(self) -> Self:
        if self._own is not None:
            self._own.__enter__()
        if self._pki is not None:
            shutil.copytree(self._pki, self._directory / "pki")
        self.start()
        self.config = Config.from_kubeconfig(self.kubeconfig)
        self._transport = SelfOpening(self.config)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._own is not None:
            self._own.__exit__(None, None, None)

    @property
    def url(self) -> str:
        """Where the server listens."""
        return self.config.server

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of the server's administrator: for kubectl, and for clients of other makes."""
        return self._directory / "kubeconfig"

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig of somebody else, who may do what roles and bindings say."""
        return self._server.kubeconfig_for(user, groups)

    @property
    def client(self) -> Client:
        """A client for any event loop; it needs no `async with`, and closes with the loop."""
        return Client(self.config, transport=self._transport)

    @property
    def requests(self) -> list[Seen]:
        """What the server was asked, oldest first; the last 10,000 requests."""
        return list(self._faults.seen)

    # The server

    def start(self) -> None:
        """Starts the server again after `stop`: on the same port, with all that was stored."""
        if not self._running:
            self._background.run(self._start())
            self._running = True

    def stop(self) -> None:
        """Ends watches, answers what is under way, and refuses connections from then on."""
        if self._running:
            self._running = False
            self._background.run(self._stop())
            self._transport.renew()

    def restart(self) -> None:
        """Stops the server and starts it again."""
        self.stop()
        self.start()

    async def _start(self) -> None:
        settings = ApiServerSettings(data_dir=self._directory, port=self._port)
        server = ApiServer(settings, intercept=self._faults.intercept)
        await self._stack.enter_async_context(server)
        self._server, self._port = server, server.port

    async def _stop(self) -> None:
        self._faults.hurry()
        await self._stack.aclose()

    # Faults

    def fail(
        self,
        code: int = 500,
        *,
        verb: Verbs = (),
        resource: str = "",
        name: str = "",
        times: int | None = 1,
        retry_after: int | None = None,
        message: str = "the test wants this to fail",
    ) -> Fault:
        """Refuses requests with a status code, and the reason that Kubernetes gives with it.

        409 is `Conflict`, 410 `Expired`, 429 `TooManyRequests`, 500 `InternalError`, 503
        `ServiceUnavailable`. `retry_after` is in whole seconds.
        """
        return self._faults.add(refuse(code, message, retry_after), verb, resource, name, times)

    def slow(
        self,
        seconds: float,
        *,
        verb: Verbs = (),
        resource: str = "",
        name: str = "",
        times: int | None = 1,
    ) -> Fault:
        """Waits before requests are looked at."""
        return self._faults.add(self._faults.slow(seconds), verb, resource, name, times)

    def cut(
        self,
        *,
        verb: Verbs = (),
        resource: str = "",
        name: str = "",
        times: int | None = 1,
        done: bool = False,
    ) -> Fault:
        """Breaks connections instead of answering; `done` says whether what was asked is done before."""
        return self._faults.add(cut(done=done), verb, resource, name, times)

    def mend(self) -> None:
        """Removes all faults."""
        self._faults.active = []

    def drop_watches(self, resource: str = "") -> int:
        """Breaks the connections of all watches, or those of one resource; returns how many there were."""
        return self._background.run(self._drop(resource))

    async def _drop(self, resource: str) -> int:
        found = [one for one in self._server.watches.watchers if resource in {"", one.view.resource.storage}]
        for watcher in found:
            watcher.cut_off()
        return len(found)

    def expire(self) -> None:
        """Forgets the past, as etcd's compaction does: open watches are told 410 `Expired` and end, and so
        are those who resume from an older resourceVersion or go on with an older list.
        """
        self._background.run(self._expire())

    async def _expire(self) -> None:
        await self._server.store.compact()
        for watcher in self._server.watches.watchers:
            watcher.refuse(expired("too old resource version: the past was forgotten"))


def make_pki(directory: Path) -> Path:
    """Certificates for servers to copy; returns the directory."""
    Pki(directory, certified_hosts(ApiServerSettings().bind))
    return directory
