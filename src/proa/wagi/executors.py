"""The processes that run handlers: one guest at a time in each, started as they are needed.

An executor that hangs beyond its request's deadline, or whose client goes away, is killed; another one takes
its place in milliseconds. So whatever a guest does, a loop or a sleep in a host call, it harms nobody else,
and requests of other routes do not notice.

A busy executor has the next invocation in its socket already, so that under load it never sleeps. It can be
taken back from there: what the kernel gives us has not been started, and never will be; so an invocation
behind a slow one moves on, and no invocation is started twice or lost when a process dies.

More executors than processors help only where guests wait for something: so there are a few (`spare`), and
one more for each that has been busy with one request for a while.

One of them can be engaged for other work: to serve connections by itself, see `proa.wagi.connections`.
"""

import asyncio
import contextlib
import itertools
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol, Self

from proa.app import Backoff, logs
from proa.wagi._execution import Execution
from proa.wagi._executor_process import TICK, ExecutorProcess, Process
from proa.wagi._messages import MAX_MESSAGE, NUMBER_BYTES, Invocation, encode
from proa.wagi._pace import Pace
from proa.wagi.errors import HandlerError
from proa.wagi.invocations import program
from proa.wasm import SandboxError, WasmError, WorkerSpec

__all__ = ["Execution", "Executors", "Nursery"]

log = logs.get_logger(__name__)

_DEPTH: Final = 2
_IDLE_SECONDS: Final = 30.0
_SLOW_SECONDS: Final = 0.2
_TARGET: Final = "proa.wagi._executor:main"
_FAILING: Final = Backoff(initial=0.05, maximum=5.0)
"""How long no executor is started after one that ended before it had run anything."""


class Nursery(Protocol):
    """Starts processes as `proa.wasm.Sandboxes` does."""

    async def start_worker(self, spec: WorkerSpec, stdin: int | None = None) -> Process:
        """Start one; raises SandboxError."""
        ...

    async def forget(self, sandbox_id: str) -> None:
        """Let go of one that has ended."""
        ...


Engage = Callable[[ExecutorProcess | None], None]
"""Hears of the executor that it gets, or that there is none."""


class Executors:
    """All executors of a process; made by `open`.

    Attributes:
        limit: The most processes.
        pace: Which programs are slow.
        hogs: Programs that computed so long last time that they get less of the processors at once, and
            whether they came to an end.
    """

    def __init__(self, nursery: Nursery, limit: int, spare: int) -> None:
        self.limit = limit
        self.now = asyncio.get_running_loop().time
        self._spare = min(spare, limit)
        self._nursery = nursery
        self._all: list[ExecutorProcess] = []
        self._dying: set[ExecutorProcess] = set()
        self._idle: list[ExecutorProcess] = []
        self._waiting: deque[Execution] = deque()
        self._work = asyncio.Event()
        self._slow: set[str] = set()
        self._engagements: deque[Engage] = deque()
        self.pace = Pace()
        self.hogs: dict[str, bool] = {}
        self._failures = _FAILING.start()
        self._not_before = 0.0
        self._starting: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup
        self._numbers = itertools.count(1)
        self._ids = itertools.count()
        self._prefix = f"executor-{os.getpid()}-{id(self):x}"

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, nursery: Nursery, limit: int, spare: int = 2) -> AsyncIterator[Self]:
        """Keep up to `limit` executors, the first `spare` of them at once; leaving kills all.

        Raises:
            WasmError: The zygote cannot start any, or is lost on the way.
        """
        executors = cls(nursery, limit, spare)
        try:
            async with asyncio.TaskGroup() as tasks:
                executors._tasks = tasks
                ticker = tasks.create_task(executors._tick())
                try:
                    for _ in range(executors._spare):
                        await executors._start()
                    yield executors
                finally:
                    ticker.cancel()
                    executors._close()
        except* WasmError as errors:
            raise errors.exceptions[0] from None

    @property
    def waiting(self) -> int:
        """How many requests wait for an executor."""
        return len(self._waiting)

    @property
    def pids(self) -> list[int]:
        """The process ids of all."""
        return [executor.sandbox.pid for executor in self._all]

    @property
    def at_the_front(self) -> list[int]:
        """The process ids of those that serve connections."""
        return [executor.sandbox.pid for executor in self._all if executor.front]

    def __len__(self) -> int:
        return len(self._all)

    def run(
        self, invocation: Invocation, *, stdin: int | None = None, seconds: float | None, patience: float
    ) -> Execution:
        """Begin a run; use the execution as a context manager.

        It fails with 503 when no executor is free in time.

        Args:
            invocation: What to run.
            stdin: A descriptor that becomes its standard input; the caller's to close, after the run.
            seconds: The deadline, counted from when it starts; None is none.
            patience: Seconds that it may wait to be started.

        Raises:
            HandlerError: 431 when the request's headers are too long.
        """
        message = next(self._numbers).to_bytes(NUMBER_BYTES) + encode(invocation)
        if len(message) > MAX_MESSAGE:
            raise HandlerError(431, "failed", f"the request's headers make {len(message)} bytes")
        execution = Execution(self, program(invocation), message, stdin, seconds, patience)
        self._waiting.append(execution)
        self._work.set()
        self._dispatch()
        if self._waiting and not self._starting and not self._at_work():
            self._grow()
        return execution

    def begun(self, program: str, seconds: float | None, began: float) -> Execution:
        """Return a run that an executor has begun by itself, and that goes on, is over, or has failed.

        Whoever gets it makes it one of the executor's if it goes on.
        """
        execution = Execution(self, program, b"", None, seconds, 0.0)
        execution.started = began
        self._work.set()
        return execution

    def engage(self, engage: Engage) -> bool:
        """Have an executor for other work, until its `be_free`, as soon as there is one.

        False if there is none to be expected; else `engage` is called once, perhaps at once.
        """
        self._engagements.append(engage)
        self._work.set()
        self._dispatch()
        if not self._engagements:
            return True
        self._grow()
        if self._starting:
            return True
        self._engagements.pop()
        return False

    def _at_work(self) -> list[ExecutorProcess]:
        """All that run invocations."""
        return [executor for executor in self._all if not executor.front]

    def run_elsewhere(self, execution: Execution) -> None:
        """Run first what has been waiting behind a slow run."""
        if not execution.is_over:
            self._waiting.appendleft(execution)
            self._dispatch()

    def on_free(self, executor: ExecutorProcess) -> None:
        """An executor has finished a run."""
        if not executor.is_alive:
            return
        if (executor.is_slow or executor.is_stopped) and not executor.pending:
            executor.kill()
        elif not executor.pending:
            self._idle.append(executor)
        self._dispatch()

    def learn(self, program: str, seconds: float) -> None:
        """Hear how long a run took. What was slow is taken to be so next time: nothing waits behind it."""
        if seconds > _SLOW_SECONDS:
            self._slow.add(program)
        else:
            self._slow.discard(program)

    def is_slow(self, program: str) -> bool:
        """Whether the last run of it was slow."""
        return program in self._slow

    def on_death(self, executor: ExecutorProcess, *, in_vain: bool = False) -> None:
        """An executor ends, or has ended: `in_vain` if by itself and before it had run anything."""
        self._all.remove(executor)
        if executor in self._idle:
            self._idle.remove(executor)
        self._tasks.create_task(self._forget(executor))
        if in_vain:
            self._not_before = self.now() + self._failures.next()
        elif executor.is_proven:
            self._failures.reset()
        if len(self._at_work()) + len(self._starting) < self._spare:
            self._grow()

    def _dispatch(self) -> None:
        while self._engagements and self._idle:
            self._engagements.popleft()(self._idle.pop())
            self._replenish()
        while self._waiting:
            if self._waiting[0].is_over:
                self._waiting.popleft()
            elif executor := self._next_executor():
                execution = self._waiting.popleft()
                executor.send(execution)
                if self.is_slow(execution.program):
                    self._replenish()
            else:
                return

    def _next_executor(self) -> ExecutorProcess | None:
        if self._idle:
            return self._idle.pop()
        now = self.now()
        for executor in self._at_work():
            if len(executor.pending) < _DEPTH and not executor.is_slow and not executor.is_busy(now):
                return executor
        return None

    def _replenish(self) -> None:
        """See to it that there are enough executors that are not busy for long."""
        now = self.now()
        wanted = max(self._spare, min(1, len(self._waiting)))
        if sum(not executor.is_busy(now) for executor in self._at_work()) + len(self._starting) < wanted:
            self._grow()

    def _grow(self) -> None:
        if len(self._all) + len(self._starting) < self.limit and self.now() >= self._not_before:
            starting = self._tasks.create_task(self._start_another())
            self._starting.add(starting)
            starting.add_done_callback(self._starting.discard)

    async def _start_another(self) -> None:
        try:
            await self._start()
        except SandboxError as error:
            log.warning("no further executor could be started", error=str(error))
            while self._engagements:
                self._engagements.popleft()(None)

    async def _start(self) -> None:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        try:
            spec = WorkerSpec(id=f"{self._prefix}-{next(self._ids)}", target=_TARGET)
            sandbox = await self._nursery.start_worker(spec, theirs.fileno())
            executor = ExecutorProcess(sandbox, control, theirs, self)
        except BaseException:
            control.close()
            theirs.close()
            raise
        self._all.append(executor)
        self._idle.append(executor)
        self._dispatch()

    async def _forget(self, executor: ExecutorProcess) -> None:
        sandbox = executor.sandbox
        with contextlib.suppress(WasmError):
            await sandbox.wait()
            executor.on_exit()  # If the kernel has not told yet.
            with contextlib.suppress(BlockingIOError):
                if complaint := os.read(sandbox.stderr, 65536):
                    log.error("an executor broke off", error=complaint.decode(errors="replace"))
            await self._nursery.forget(sandbox.id)

    async def _tick(self) -> None:
        """Look after everything that takes longer than a moment; sleep while there is nothing to run."""
        while True:
            if not self._waiting and not any(executor.pending for executor in self._all):
                self._work.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_SECONDS if len(self._idle) > self._spare else None):
                        await self._work.wait()
            await asyncio.sleep(TICK)
            now = self.now()
            for executor in [*self._all]:
                executor.look_after(now)
            while self._waiting and now > self._waiting[0].latest:
                late = self._waiting.popleft()
                late.fail(HandlerError(503, "overload", "no executor was free in time"))
            if self._waiting:
                self._replenish()
            if len(self._idle) > self._spare and now - self._idle[0].idle_since > _IDLE_SECONDS:
                self._idle[0].kill()

    def _close(self) -> None:
        for starting in self._starting:
            starting.cancel()
        self._spare = 0
        for execution in self._waiting:
            execution.fail(HandlerError(503, "overload", "the server is going down"))
        self._waiting.clear()
        self._engagements.clear()
        for executor in [*self._all]:
            executor.kill()
