"""What a program uses: `Sandboxes`, all sandboxes of a state directory, and `Sandbox`, one guest."""

import asyncio
import contextlib
import hashlib
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from msgspec.structs import replace

from proa.wasm import _protocol as protocol
from proa.wasm._link import ANSWER_SECONDS, Event, Link, close_all, open_link
from proa.wasm.errors import InvalidModuleError, SandboxError, ZygoteLostError
from proa.wasm.spec import CompiledModule, ModuleTerms, SandboxExit, SandboxSpec, WorkerSpec

_COMPILE_SECONDS: Final = 1800.0


class Sandbox:
    """A guest in a process of its own.

    Attributes:
        id: Its name.
        pid: Its process id.
        started_at: When it was forked.
        stdout: The read end of the guest's standard output, non-blocking; at its end once the guest has
            ended. `Sandboxes` closes it when the sandbox is forgotten or the context is left: stop watching
            it before. What is not read waits in the pipe, and the guest waits while that is full.
        stderr: The same for standard error.
    """

    def __init__(
        self,
        event: protocol.Adopted | protocol.Started,
        output: Sequence[int],
        ended: asyncio.Future[SandboxExit],
        kill: Callable[[str, int], None],
    ) -> None:
        self.id: Final = event.id
        self.pid: Final = event.pid
        self.started_at: Final[datetime] = event.started_at
        self.stdout, self.stderr = output
        self._ended = ended
        self._kill = kill

    @property
    def exit(self) -> SandboxExit | None:
        """How it ended; None while it runs, or when nobody knows."""
        return self._ended.result() if self._ended.done() and not self._ended.exception() else None

    async def wait(self) -> SandboxExit:
        """Wait for the end. Any number of waiters may come, early or late, and may be cancelled.

        Raises:
            ZygoteLostError: The zygote is gone: nobody learns how the sandbox ended.
        """
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """Kill the process at once (SIGKILL); `wait` tells when it is gone. Repeating it does no harm."""
        self._kill(self.id, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask a server (`SandboxSpec.server`) to end in its own time (SIGTERM); a plain guest is killed."""
        self._kill(self.id, signal.SIGTERM)


class Sandboxes:
    """All sandboxes of a state directory. Made by `open`; one program at a time can have it open."""

    def __init__(self, link: Link, cache_dir: Path, working_dir: Path) -> None:
        self._link = link
        self._working_dir = working_dir
        self._cache_dir = working_dir / cache_dir
        self._sandboxes: dict[str, Sandbox] = {}
        self._families: defaultdict[str, dict[str, Sandbox]] = defaultdict(dict)
        self._ends: dict[str, asyncio.Future[SandboxExit]] = {}
        self._starting: set[str] = set()
        link.listen(self._hear)
        link.gone.add_done_callback(lambda gone: self._lose(gone.result()))

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, state_dir: Path, cache_dir: Path) -> AsyncIterator[Self]:
        """Connect to the zygote of `state_dir`, starting one if there is none.

        The sandboxes that are there already are in `list()`. Leaving the context leaves all of them running,
        to be found again by the next to open the same directory; only `shutdown` ends them.

        Both directories are made if need be, for this user alone. `cache_dir` can be shared.

        Raises:
            ZygoteLostError: The zygote cannot be started, does not answer, or serves another program.
        """
        async with contextlib.AsyncExitStack() as stack:
            link = await open_link(state_dir)
            stack.callback(link.close)
            sandboxes = cls(link, cache_dir, await asyncio.to_thread(Path.cwd))
            try:
                yield sandboxes
            finally:
                for sandbox in sandboxes.list():
                    close_all((sandbox.stdout, sandbox.stderr))

    async def compile(
        self, path: Path, sha256: str | None = None, terms: ModuleTerms | None = None
    ) -> CompiledModule:
        """Compile a module, or find it in the cache.

        Compiling happens in a process of its own; programs that ask for the same module at the same time
        share the work. When this is cancelled, the work goes on for the cache's sake.

        Args:
            path: The module.
            sha256: Its digest, if known, as 64 hexadecimal digits; calculated otherwise.
            terms: What it must be; what `start` can run by default.

        Raises:
            InvalidModuleError: It cannot be read, or is no module. The message holds the engine's reason.
            UnsupportedModuleError: It does not meet the terms: a component, no command, or imports what is
                not offered, for instance.
            ZygoteLostError: The zygote is gone.
        """
        source, digest = await asyncio.to_thread(_identify, path, sha256)
        request = protocol.Compile(
            self._link.next_seq(), source, digest, self._cache_dir, terms or ModuleTerms()
        )
        return (await self._link.request(request, protocol.Compiled, _COMPILE_SECONDS)).module

    async def start(self, spec: SandboxSpec, stdin: int | None = None) -> Sandbox:
        """Start a sandbox. When this is cancelled, no sandbox is left behind.

        Args:
            spec: What to run.
            stdin: A descriptor that the guest reads as its standard input; it stays the caller's to close.
                None is an empty input.

        Raises:
            SandboxError: The specification is impossible, the id is taken, or the kernel has no room.
            ZygoteLostError: The zygote is gone.
        """
        # The zygote has another working directory.
        mounts = tuple(replace(mount, source=self._working_dir / mount.source) for mount in spec.mounts)
        spec = replace(spec, mounts=mounts)
        return await self._start(protocol.Start(self._link.next_seq(), spec), stdin)

    async def start_worker(self, spec: WorkerSpec, stdin: int | None = None) -> Sandbox:
        """Start a worker. As `start`, but the worker is killed when this program's connection ends."""
        return await self._start(protocol.StartWorker(self._link.next_seq(), spec), stdin)

    async def _start(self, request: protocol.Start | protocol.StartWorker, stdin: int | None) -> Sandbox:
        spec = request.spec
        if problem := spec.problem():
            raise SandboxError(f"cannot start sandbox {spec.id!r}: {problem}")
        if spec.id in self._sandboxes or spec.id in self._starting:
            raise SandboxError(f"a sandbox {spec.id!r} exists already")
        self._starting.add(spec.id)
        try:
            await self._link.request(request, protocol.Started, descriptors=() if stdin is None else (stdin,))
        except asyncio.CancelledError:
            self._remove(spec.id)
            with contextlib.suppress(ZygoteLostError):
                self._link.send(protocol.Discard(spec.id))
            raise
        finally:
            self._starting.remove(spec.id)
        return self._sandboxes[spec.id]

    def list(self) -> list[Sandbox]:
        """List the sandboxes that run, and those that have ended and are not yet forgotten."""
        return [*self._sandboxes.values()]

    def find(self, sandbox_id: str) -> Sandbox | None:
        """The one of them that has this id."""
        return self._sandboxes.get(sandbox_id)

    def family(self, name: str) -> Sequence[Sandbox]:
        """Those of them whose ids begin with this name and a slash."""
        return tuple(self._families[name].values()) if name in self._families else ()

    async def forget(self, sandbox_id: str) -> None:
        """Let go of a sandbox that has ended, and of what is still unread of its output.

        Until then its exit is kept for whoever opens the state directory next. An unknown id is no error.

        Raises:
            SandboxError: It still runs.
            ZygoteLostError: The zygote is gone.
        """
        request = protocol.Forget(self._link.next_seq(), sandbox_id)
        await self._link.request(request, protocol.Done)
        self._remove(sandbox_id)

    async def shutdown(self) -> None:
        """Kill all sandboxes and end the zygote; return when all are gone. Who waits learns of the exits."""
        with contextlib.suppress(ZygoteLostError):
            self._link.send(protocol.Shutdown())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.shield(self._link.gone)
        except TimeoutError:
            raise ZygoteLostError(f"the zygote did not end within {ANSWER_SECONDS:.0f} s") from None

    def _hear(self, event: Event, output: Sequence[int]) -> None:
        if isinstance(event, protocol.Exited):
            if ended := self._ends.get(event.id):
                ended.set_result(event.exit)
            return
        ended = self._ends[event.id] = asyncio.get_running_loop().create_future()
        sandbox = self._sandboxes[event.id] = Sandbox(event, output, ended, self._kill)
        self._families[_family(event.id)][event.id] = sandbox
        if isinstance(event, protocol.Adopted) and event.exit:
            ended.set_result(event.exit)

    def _kill(self, sandbox_id: str, number: int) -> None:
        with contextlib.suppress(ZygoteLostError):
            self._link.send(protocol.Kill(sandbox_id, number))

    def _remove(self, sandbox_id: str) -> None:
        self._ends.pop(sandbox_id, None)
        if sandbox := self._sandboxes.pop(sandbox_id, None):
            close_all((sandbox.stdout, sandbox.stderr))
            family = self._families[_family(sandbox_id)]
            del family[sandbox_id]
            if not family:
                del self._families[_family(sandbox_id)]

    def _lose(self, error: ZygoteLostError) -> None:
        for ended in self._ends.values():
            if not ended.done():
                ended.set_exception(error)
                ended.exception()  # It is no mistake if nobody waits.


def _family(sandbox_id: str) -> str:
    return sandbox_id.partition("/")[0]


def _identify(path: Path, digest: str | None) -> tuple[Path, str]:
    try:
        if digest is None:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        return path.absolute(), digest
    except OSError as error:
        raise InvalidModuleError(f"cannot read {path}: {error.strerror}") from None
