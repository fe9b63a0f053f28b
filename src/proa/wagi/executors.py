"""The processes that run handlers: one guest at a time in each, started as they are needed.

An executor that hangs beyond its request's deadline, or whose client goes away, is killed; another one takes
its place in milliseconds. So whatever a guest does, a loop or a sleep in a host call, it harms nobody else,
and requests of other routes do not notice.

A busy executor has the next invocation in its socket already, so that under load it never sleeps. It can be
taken back from there: what the kernel gives us has not been started, and never will be; so an invocation
behind a slow one moves on, and no invocation is started twice or lost when a process dies.

More executors than processors help only where guests wait for something: so there are a few (`spare`), and
one more for each that has been busy with one request for a while.
"""

import array
import asyncio
import contextlib
import ctypes
import itertools
import os
import signal
import socket
import stat
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, Protocol, Self

from proa.app import Backoff, logs
from proa.wagi._messages import MAX_MESSAGE, NUMBER_BYTES, Invocation, Result, decode_result, encode
from proa.wagi.errors import HandlerError
from proa.wasm import SandboxError, WasmError, WorkerSpec

__all__ = ["Execution", "Executors", "Nursery"]

log = logs.get_logger(__name__)

_DEPTH: Final = 2
_TICK: Final = 0.01
_BUSY_SECONDS: Final = 0.02
_HOG_SECONDS: Final = 0.02
_NICENESS: Final = 19
_IDLE_SECONDS: Final = 30.0
_TARGET: Final = "proa.wagi._executor:main"
_AHEAD: Final = 8 * 1024 * 1024
"""Bytes that a guest may have printed more than the client has taken, before it is made to wait."""
_FAILING: Final = Backoff(initial=0.05, maximum=5.0)
"""How long no executor is started after one that ended before it had run anything."""
_PUNCH: Final = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
_SPACE: Final = socket.CMSG_SPACE(4)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Process(Protocol):
    """A process that `Nursery.start_worker` started."""

    @property
    def id(self) -> str: ...
    @property
    def pid(self) -> int: ...
    @property
    def stderr(self) -> int: ...
    async def wait(self) -> object:
        """Wait for its end."""
        ...


class Nursery(Protocol):
    """Starts processes as `proa.wasm.Sandboxes` does."""

    async def start_worker(self, spec: WorkerSpec, stdin: int | None = None) -> Process:
        """Start one; raises SandboxError."""
        ...

    async def forget(self, sandbox_id: str) -> None:
        """Let go of one that has ended."""
        ...


class Execution:
    """One run of a guest. Use it as a context manager: leaving it early ends the guest.

    Attributes:
        size: Bytes that are known to have been printed.
        taken: Bytes of these that `take` has returned.
        result: How it ended; None while it runs.
        failure: Why it was given up, if it was.
    """

    def __init__(
        self,
        pool: "Executors",
        message: bytes,
        stdin: int | None,
        seconds: float | None,
        patience: float,
    ) -> None:
        self.size = 0
        self.taken = 0
        self.result: Result | None = None
        self.failure: HandlerError | None = None
        self.message = message
        self.stdin = stdin
        self.seconds = seconds
        self.latest = pool.now() + patience
        self.started = 0.0
        self.executor: _Executor | None = None
        self._pool = pool
        self._file: int | None = None
        self._changed: asyncio.Future[None] | None = None
        self._freed = 0

    @property
    def is_over(self) -> bool:
        """Whether it prints no more."""
        return self.result is not None or self.failure is not None

    async def wait(self, seen: int = 0) -> None:
        """Wait until it is over, or is known to have printed more than `seen` bytes and goes on."""
        while not self.is_over and self.size <= seen:
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed

    def peek(self, length: int) -> bytes:
        """Return the first bytes that it printed."""
        return self._read(0, min(length, self.size))

    def skip(self, length: int) -> None:
        """Count the first bytes as taken, and no others."""
        self.taken = length

    def take(self, length: int) -> bytes:
        """Return the next bytes that it printed, empty when there are none yet."""
        chunk = self._read(self.taken, min(length, self.size - self.taken))
        self.taken += len(chunk)
        if self._file is not None and self.taken - self._freed > _AHEAD:
            _libc.fallocate(self._file, _PUNCH, self._freed, self.taken - self._freed)
            self._freed = self.taken
        return chunk

    def _read(self, start: int, length: int) -> bytes:
        if self._file is None:
            return self.result.output[start : start + length] if self.result else b""
        was_over = self.is_over
        chunk = os.pread(self._file, length, start)
        if not was_over and self.executor:
            # The executor uses the file again as soon as it has sent the result: what was read before that
            # has been is this run's.
            self.executor.collect()
            if self.result:
                return self._read(start, length)
        return chunk

    def watch(self, executor: "_Executor") -> None:
        """See what has been printed so far by a guest that runs for a while already."""
        if self._file is None:
            self._file = _open_output(executor.sandbox.pid)
        if self._file is not None:
            size = os.fstat(self._file).st_size
            executor.collect()
            if self.result is None and size > self.size:
                self.size = size
                self._notify()

    def finish(self, result: Result, file: int | None) -> None:
        """Hear how it ended; `file` has what it printed if the result has not."""
        self.forget_output()
        self._file = file
        self.size = result.size
        self.result = result
        self._notify()

    def fail(self, failure: HandlerError) -> None:
        """Give it up."""
        if not self.is_over:
            self.failure = failure
        self._notify()

    def _notify(self) -> None:
        if self._changed and not self._changed.done():
            self._changed.set_result(None)

    def forget_output(self) -> None:
        """Close the file with the output, if there is one."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_over:
            self.failure = HandlerError(499, "client", "nobody waits for it any more")
            if self.executor:
                self.executor.abandon(self)
        self.forget_output()


def _open_output(pid: int) -> int | None:
    try:
        descriptor = os.open(f"/proc/{pid}/fd/1", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)  # It is only just starting.
    return None


class _Executor:
    """One process, as the event loop sees it.

    Attributes:
        pending: What it has been given, the one that runs first.
    """

    def __init__(
        self, sandbox: Process, control: socket.socket, theirs: socket.socket, pool: "Executors"
    ) -> None:
        self.sandbox = sandbox
        self.pending: deque[Execution] = deque()
        self.is_alive = True
        self.is_slow = False
        self.is_stopped = False
        self.is_proven = False
        self.idle_since = pool.now()
        self._used: float | None = None
        self._next_look = 0.0
        self._pidfd = os.pidfd_open(sandbox.pid)
        self._control = control
        self._theirs = theirs
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(control.fileno(), self.collect)
        self._loop.add_reader(self._pidfd, self._on_exit)

    def is_busy(self, now: float) -> bool:
        """Whether it has been at one request for so long that the next should not wait for it."""
        return bool(self.pending) and now - self.pending[0].started > _BUSY_SECONDS

    def send(self, execution: Execution) -> None:
        """Give it something to run."""
        if execution.stdin is None:
            self._control.send(execution.message)
        else:
            rights = array.array("i", [execution.stdin])
            self._control.sendmsg([execution.message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        execution.executor = self
        execution.started = self._pool.now()  # Or later: see collect.
        self.pending.append(execution)

    def take_back(self) -> Execution | None:
        """Take one back that has not been started, if there is any."""
        if len(self.pending) < 2 and self.is_alive:
            return None  # What is alone is started in no time.
        try:
            message, ancillary, _, _ = self._theirs.recvmsg(
                MAX_MESSAGE, _SPACE, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        _close_all(ancillary)
        number = message[:NUMBER_BYTES]
        execution = next(each for each in self.pending if each.message.startswith(number))
        self.pending.remove(execution)
        execution.executor = None
        return execution

    def collect(self) -> None:
        """Take in the results that have come."""
        while self.pending:
            try:
                message, ancillary, _, _ = self._control.recvmsg(MAX_MESSAGE, _SPACE, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            execution = self.pending.popleft()
            self.is_proven = True
            self._used, self._next_look = None, 0.0
            now = self._pool.now()
            if self.pending:
                self.pending[0].started = now
            self.idle_since = now
            result = decode_result(message)
            if execution.is_over:
                _close_all(ancillary)
            else:
                execution.finish(result, next(iter(_descriptors(ancillary)), None))
            if result.end == "memory":
                self.kill()  # It is about to end by itself: it must not be given another.
            self._pool.on_free(self)

    def abandon(self, execution: Execution) -> None:
        """End a run that nobody wants any more."""
        self.collect()
        if execution in self.pending and self._rescue() is not execution:
            self.kill()

    def _rescue(self) -> Execution | None:
        """Take back what waits behind the run and let it be run elsewhere."""
        rescued = self.take_back()
        if rescued:
            self._pool.run_elsewhere(rescued)
        return rescued

    def look_after(self, now: float) -> None:
        """Keep the run to its deadline and its share of the machine, and show what it prints."""
        if not self.is_busy(now):
            return
        self.collect()
        self._rescue()
        if not self.is_busy(now):
            return
        execution = self.pending[0]
        elapsed = now - execution.started
        if execution.seconds is not None and elapsed > execution.seconds:
            execution.fail(HandlerError(504, "deadline", f"not finished after {execution.seconds:g} s"))
            self.kill()
            return
        execution.watch(self)
        self._pace(execution)
        if elapsed > self._next_look:
            self._next_look = 2 * elapsed
            self._demote_hog()

    def _demote_hog(self) -> None:
        """Let what computes for long not keep quick handlers waiting for a processor.

        There is no way back without privileges: the process ends with this run.
        """
        used = _processor_seconds(self.sandbox.pid)
        if self._used is None:
            self._used = used
        elif used - self._used > _HOG_SECONDS and not self.is_slow:
            self.is_slow = True
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.sandbox.pid, _NICENESS)

    def _pace(self, execution: Execution) -> None:
        """Stop a guest that prints faster than its client reads; time while stopped does not count."""
        too_far = execution.size - execution.taken > _AHEAD and not execution.is_over
        if too_far != self.is_stopped:
            self.is_stopped = too_far
            self._signal(signal.SIGSTOP if too_far else signal.SIGCONT)
        if self.is_stopped:
            execution.started += _TICK

    def kill(self) -> None:
        """End the process; what it runs fails."""
        if self.is_alive:
            self.is_alive = False
            self._signal(signal.SIGKILL)
            self._pool.on_death(self)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def _on_exit(self) -> None:
        """The process is gone: hear its last words, and save what it has not started."""
        self.collect()
        self.close()
        if self.is_alive:
            self.is_alive = False
            self._pool.on_death(self)

    def close(self) -> None:
        """Let go of what belongs to the process; whatever it still had to run is saved or fails."""
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self._control.fileno())
        while self._rescue():
            pass
        for execution in self.pending:
            execution.fail(HandlerError(500, "failed", "the executor ended by itself"))
        self.pending.clear()
        os.close(self._pidfd)
        self._control.close()
        self._theirs.close()


def _processor_seconds(pid: int) -> float:
    try:
        descriptor = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.pread(descriptor, 100, 0).split()[0]) / 1e9
        finally:
            os.close(descriptor)
    except (OSError, IndexError):
        return 0.0


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> "array.array[int]":
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    return descriptors


def _close_all(ancillary: list[tuple[int, int, bytes]]) -> None:
    for descriptor in _descriptors(ancillary):
        os.close(descriptor)


class Executors:
    """All executors of a process; made by `open`.

    Attributes:
        limit: The most processes.
    """

    def __init__(self, nursery: Nursery, limit: int, spare: int) -> None:
        self.limit = limit
        self.now = asyncio.get_running_loop().time
        self._spare = min(spare, limit)
        self._nursery = nursery
        self._all: list[_Executor] = []
        self._dying: set[_Executor] = set()
        self._idle: list[_Executor] = []
        self._waiting: deque[Execution] = deque()
        self._work = asyncio.Event()
        self._failures = _FAILING.start()
        self._not_before = 0.0
        self._starting: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup
        self._numbers = itertools.count()
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
        execution = Execution(self, message, stdin, seconds, patience)
        self._waiting.append(execution)
        self._work.set()
        self._dispatch()
        return execution

    def run_elsewhere(self, execution: Execution) -> None:
        """Run first what has been waiting behind a slow run."""
        if not execution.is_over:
            self._waiting.appendleft(execution)
            self._dispatch()

    def on_free(self, executor: _Executor) -> None:
        """An executor has finished a run."""
        if not executor.is_alive:
            return
        if (executor.is_slow or executor.is_stopped) and not executor.pending:
            executor.kill()
        elif not executor.pending:
            self._idle.append(executor)
        self._dispatch()

    def on_death(self, executor: _Executor) -> None:
        """An executor ends, or has ended."""
        self._all.remove(executor)
        if executor in self._idle:
            self._idle.remove(executor)
        self._tasks.create_task(self._forget(executor))
        if executor.is_proven:
            self._failures.reset()
        else:
            self._not_before = self.now() + self._failures.next()
        if len(self._all) + len(self._starting) < self._spare:
            self._grow()

    def _dispatch(self) -> None:
        while self._waiting:
            if self._waiting[0].is_over:
                self._waiting.popleft()
            elif executor := self._next_executor():
                executor.send(self._waiting.popleft())
            else:
                return

    def _next_executor(self) -> _Executor | None:
        if self._idle:
            return self._idle.pop()
        now = self.now()
        for executor in self._all:
            if len(executor.pending) < _DEPTH and not executor.is_slow and not executor.is_busy(now):
                return executor
        return None

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

    async def _start(self) -> None:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        try:
            spec = WorkerSpec(id=f"{self._prefix}-{next(self._ids)}", target=_TARGET)
            sandbox = await self._nursery.start_worker(spec, theirs.fileno())
            executor = _Executor(sandbox, control, theirs, self)
        except BaseException:
            control.close()
            theirs.close()
            raise
        self._all.append(executor)
        self._idle.append(executor)
        self._dispatch()

    async def _forget(self, executor: _Executor) -> None:
        sandbox = executor.sandbox
        with contextlib.suppress(WasmError):
            await sandbox.wait()
            with contextlib.suppress(BlockingIOError):
                if complaint := os.read(sandbox.stderr, 65536):
                    log.error("an executor broke off", error=complaint.decode(errors="replace"))
            await self._nursery.forget(sandbox.id)

    async def _tick(self) -> None:
        """Look after everything that takes longer than a moment; sleep while there is nothing to run."""
        while True:
            if not self._waiting and len(self._idle) == len(self._all):
                self._work.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_SECONDS if len(self._idle) > self._spare else None):
                        await self._work.wait()
            await asyncio.sleep(_TICK)
            now = self.now()
            for executor in [*self._all]:
                executor.look_after(now)
            while self._waiting and now > self._waiting[0].latest:
                late = self._waiting.popleft()
                late.fail(HandlerError(503, "overload", "no executor was free in time"))
            if self._waiting and sum(not executor.is_busy(now) for executor in self._all) < self._spare:
                self._grow()
            if len(self._idle) > self._spare and now - self._idle[0].idle_since > _IDLE_SECONDS:
                self._idle[0].kill()

    def _close(self) -> None:
        for starting in self._starting:
            starting.cancel()
        self._spare = 0
        for execution in self._waiting:
            execution.fail(HandlerError(503, "overload", "the server is going down"))
        self._waiting.clear()
        for executor in [*self._all]:
            executor.kill()
