"""The node's sandboxes, through the loss of the process that owns them.

Sandboxes are named `<pod uid>/<container>/<restart>`: what a restarted kubelet finds running says by its
name whose it is and which attempt.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeVar

from proa.app import logs
from proa.app.backoff import Backoff
from proa.wasm import (
    CompiledModule,
    ModuleTerms,
    Sandbox,
    Sandboxes,
    SandboxSpec,
    ZygoteLostError,
    remove_modules,
)

T = TypeVar("T")
_log = logs.get_logger(__name__)
_REOPENING: Final = Backoff(initial=0.1, maximum=10.0)


class SandboxName(NamedTuple):
    """Whose sandbox it is."""

    pod_uid: str
    container: str
    restart: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a sandbox's id; None when it is not one of a kubelet's."""
        uid, _, rest = text.partition("/")
        container, _, restart = rest.partition("/")
        return cls(uid, container, int(restart)) if container and restart.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.pod_uid}/{self.container}/{self.restart}"


class SandboxHost:
    """Compiles, starts and finds sandboxes; starts another zygote when the one before is gone."""

    def __init__(self, state_dir: Path, cache_dir: Path) -> None:
        self._state_dir = state_dir
        self._cache_dir = cache_dir
        self._context = contextlib.AsyncExitStack()
        self._sandboxes: Sandboxes | None = None
        self._switching = asyncio.Lock()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, state_dir: Path, cache_dir: Path) -> AsyncIterator[Self]:
        """Connect to the zygote, or start it. Leaving the context leaves sandboxes running.

        Raises:
            ZygoteLostError: There can be none; another program may have the directory open.
        """
        host = cls(state_dir, cache_dir)
        async with host._context:
            await host._opened()
            yield host

    async def compile(self, path: Path, sha256: str, terms: ModuleTerms | None = None) -> CompiledModule:
        """Compile a module or find it in the cache; errors as of `Sandboxes.compile`."""
        return await self._insist(lambda sandboxes: sandboxes.compile(path, sha256, terms))

    async def remove_modules(self, kept: Collection[str], least_age: float) -> int:
        """Remove compiled modules but for those of these digests; those that run, run on."""
        names = {digest.rpartition(":")[2] for digest in kept}
        return await asyncio.to_thread(remove_modules, self._cache_dir, names, least_age)

    async def start(self, spec: SandboxSpec, stdin: int | None = None) -> Sandbox:
        """Start a sandbox, or give the one that has this id already; errors as of `Sandboxes.start`."""

        async def start(sandboxes: Sandboxes) -> Sandbox:
            return sandboxes.find(spec.id) or await sandboxes.start(spec, stdin)

        return await self._insist(start)

    async def forget(self, sandbox_id: str) -> None:
        """Let go of a sandbox that has ended."""
        await self._insist(lambda sandboxes: sandboxes.forget(sandbox_id))

    def all(self) -> list[Sandbox]:
        """Every sandbox there is, those that have ended included."""
        return self._sandboxes.list() if self._sandboxes else []

    def of_pod(self, uid: str) -> Sequence[Sandbox]:
        """The same of one pod."""
        return self._sandboxes.family(uid) if self._sandboxes else ()

    async def find_again(self, lost: Sandbox) -> Sandbox | None:
        """Look for a sandbox after the connection to it was lost; None when it went with its zygote."""
        if self._sandboxes and any(sandbox is lost for sandbox in self.all()):
            await self._drop(self._sandboxes)
        backoff = _REOPENING.start()
        while True:
            try:
                return (await self._opened()).find(lost.id)
            except ZygoteLostError as error:
                _log.warning("no zygote", error=str(error))
                await asyncio.sleep(backoff.next())

    async def shutdown(self) -> None:
        """Kill all sandboxes and end the zygote."""
        if self._sandboxes:
            await self._sandboxes.shutdown()

    async def _insist(self, ask: Callable[[Sandboxes], Awaitable[T]]) -> T:
        sandboxes = await self._opened()
        try:
            return await ask(sandboxes)
        except ZygoteLostError as error:
            _log.warning("the zygote is gone; starting another", error=str(error))
            await self._drop(sandboxes)
            return await ask(await self._opened())

    async def _opened(self) -> Sandboxes:
        async with self._switching:
            if self._sandboxes is None:
                opening = Sandboxes.open(self._state_dir, self._cache_dir)
                self._sandboxes = await self._context.enter_async_context(opening)
            return self._sandboxes

    async def _drop(self, lost: Sandboxes) -> None:
        # The connection is closed before another is made: the directory can be open only once.
        async with self._switching:
            if self._sandboxes is lost:
                self._sandboxes = None
                await self._context.aclose()
