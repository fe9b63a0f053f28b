"""One executor, as the event loop sees it: what it has been given, and how it is kept to its limits."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from proa.wagi._execution import AHEAD, Execution
from proa.wagi._front_messages import ORDER, Order, decode_word, encode_order
from proa.wagi._messages import NUMBER_BYTES, Result, close_all, receive, send
from proa.wagi.errors import HandlerError

if TYPE_CHECKING:
    from proa.wagi._front_desk import FrontDesk
    from proa.wagi.executors import Executors

__all__ = ["TICK", "ExecutorProcess", "Process"]

TICK: Final = 0.01
"""Seconds between two looks at what runs."""

_BUSY_SECONDS: Final = 0.02
_HOG_SECONDS: Final = 0.02
_NICENESS: Final = 19


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


class ExecutorProcess:
    """One process, as the event loop sees it.

    Attributes:
        pending: What it has been given, the one that runs first.
        pool: The executors that it is one of.
        front: What it serves by itself, if it is at the front.
    """

    def __init__(
        self, sandbox: Process, control: socket.socket, theirs: socket.socket, pool: "Executors"
    ) -> None:
        self.sandbox = sandbox
        self.pending: deque[Execution] = deque()
        self.pool = pool
        self.front: FrontDesk | None = None
        self._outbox: deque[tuple[bytes, list[int]]] = deque()
        self.is_alive = True
        self.is_slow = False
        self.is_stopped = False
        self.is_proven = False
        self._is_closed = False
        self.idle_since = pool.now()
        self._used: float | None = None
        self._next_look = 0.0
        self._has_group_to_lower = False
        self._pidfd = os.pidfd_open(sandbox.pid)
        self._control = control
        self._theirs = theirs
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(control.fileno(), self.collect)
        self._loop.add_reader(self._pidfd, self.on_exit)

    def is_busy(self, now: float) -> bool:
        """Whether it is at one request for so long, or surely will be, that the next should not wait."""
        return self._is_long(now) or bool(self.pending and self.pool.is_slow(self.pending[0].program))

    def _is_long(self, now: float) -> bool:
        return bool(self.pending) and now - self.pending[0].started > _BUSY_SECONDS

    def send(self, execution: Execution) -> None:
        """Give it something to run."""
        send(self._control, execution.message, execution.stdin)
        self.adopt(execution)
        execution.started = self.pool.now()  # Or later: see finish.
        if (comes_to_an_end := self.pool.hogs.get(execution.program)) is not None:
            self._demote(comes_to_an_end=comes_to_an_end)

    def adopt(self, execution: Execution) -> None:
        """Take something for its next run, or for one that it has begun already."""
        execution.executor = self
        self.pending.append(execution)

    def order(self, order: Order, *descriptors: int) -> None:
        """Say something to the front; it is said later if there is no room for it now."""
        if not self._outbox:
            with contextlib.suppress(BlockingIOError):
                send(self._control, encode_order(order), *descriptors)
                return
            self._loop.add_writer(self._control.fileno(), self._say_the_rest)
        self._outbox.append((encode_order(order), [os.dup(descriptor) for descriptor in descriptors]))

    def _say_the_rest(self) -> None:
        while self._outbox:
            message, descriptors = self._outbox[0]
            try:
                send(self._control, message, *descriptors)
            except BlockingIOError:
                return
            self._outbox.popleft()
            close_all(descriptors)
        self._loop.remove_writer(self._control.fileno())

    def take_back(self) -> Execution | None:
        """Take one back that has not been started, if there is any."""
        if len(self.pending) < 2 and self.is_alive:
            return None  # What is alone is started in no time.
        message = ORDER
        while message.startswith(ORDER):  # Orders are nothing that could be taken back.
            try:
                message, descriptors = receive(self._theirs, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            close_all(descriptors)
        number = message[:NUMBER_BYTES]
        execution = next(each for each in self.pending if each.message.startswith(number))
        self.pending.remove(execution)
        execution.executor = None
        return execution

    def collect(self) -> None:
        """Take in the results that have come, and other words."""
        while self.pending or self.front:
            try:
                message, descriptors = receive(self._control)
            except BlockingIOError:
                return
            word = decode_word(message)
            if isinstance(word, Result):
                self.finish(word, descriptors)
            elif self.front:
                self.front.hear(word, descriptors)

    def finish(self, result: Result, descriptors: Sequence[int]) -> None:
        """Take in how the first run has ended."""
        execution = self.pending.popleft()
        self.is_proven = True
        self._used, self._next_look = None, 0.0
        now = self.pool.now()
        self._let_go(execution)
        self.pool.pace.ran(execution.program, is_slow=result.is_slow)
        self.pool.learn(execution.program, now - execution.started)
        if not result.is_slow:
            self.pool.hogs.pop(execution.program, None)
        elif execution.program in self.pool.hogs:
            self.pool.hogs[execution.program] = True
        if self.pending:
            self.pending[0].started = now
        if execution.is_over:
            close_all(descriptors)
        else:
            execution.finish(result, next(iter(descriptors), None))
        if result.end == "memory":
            self.kill()  # It is about to end by itself: it must not be given another.
        self.be_free()

    def _let_go(self, execution: Execution) -> None:
        if execution.is_adopted:
            self.pool.pace.let_go(execution.program)

    def be_free(self) -> None:
        """Be there for whatever comes next."""
        if self.front:
            self.front.close()
            self.front = None
        self.idle_since = self.pool.now()
        self.pool.on_free(self)

    def abandon(self, execution: Execution) -> None:
        """End a run that nobody wants any more."""
        self.collect()
        if execution in self.pending and self._rescue() is not execution:
            self.kill()

    def _rescue(self) -> Execution | None:
        """Take back what waits behind the run and let it be run elsewhere."""
        rescued = self.take_back()
        if rescued:
            self.pool.run_elsewhere(rescued)
        return rescued

    def look_after(self, now: float) -> None:
        """Keep the run to its deadline and its share of the machine, and show what it prints."""
        if not self._is_long(now):
            return
        self.collect()
        self._rescue()
        if not self._is_long(now):
            return
        execution = self.pending[0]
        elapsed = now - execution.started
        if execution.seconds is not None and elapsed > execution.seconds:
            self.pool.learn(execution.program, elapsed)
            if self.is_slow:
                self.pool.hogs[execution.program] = False
            execution.fail(HandlerError(504, "deadline", f"not finished after {execution.seconds:g} s"))
            self.kill()
            return
        execution.watch(self)
        self._pace(execution)
        if self._has_group_to_lower:
            self._lower_group()
        if elapsed > self._next_look:
            self._next_look = 2 * elapsed
            self._demote_hog()

    def _demote_hog(self) -> None:
        """Let what computes for long not keep quick handlers waiting for a processor."""
        used = _processor_seconds(self.sandbox.pid)
        if self._used is None:
            self._used = used
        elif used - self._used > _HOG_SECONDS and not self.is_slow:
            self.pool.hogs.setdefault(self.pending[0].program, True)
            self._demote(comes_to_an_end=True)

    def _demote(self, *, comes_to_an_end: bool) -> None:
        """Leave it little of the processors, or what nobody else wants if it hardly comes to an end.

        There is no way back without privileges: the process ends with this run.
        """
        self.is_slow = True
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.sandbox.pid, _NICENESS)
            if not comes_to_an_end:
                os.sched_setscheduler(self.sandbox.pid, os.SCHED_IDLE, os.sched_param(0))
        self._lower_group()

    def _lower_group(self) -> None:
        """Do the same for the session, within which alone that counts on kernels that group by sessions."""
        try:
            descriptor = os.open(f"/proc/{self.sandbox.pid}/autogroup", os.O_WRONLY | os.O_CLOEXEC)
            os.set_blocking(descriptor, False)  # It never does, and says so.
        except OSError:
            return  # A kernel that does not.
        try:
            os.write(descriptor, str(_NICENESS).encode())
            self._has_group_to_lower = False
        except OSError as error:
            self._has_group_to_lower = error.errno == errno.EAGAIN  # It has had too many such wishes lately.
        finally:
            os.close(descriptor)

    def _pace(self, execution: Execution) -> None:
        """Stop a guest that prints faster than its client reads; time while stopped does not count."""
        too_far = execution.size - execution.taken > AHEAD and not execution.is_over
        if too_far != self.is_stopped:
            self.is_stopped = too_far
            self._signal(signal.SIGSTOP if too_far else signal.SIGCONT)
        if self.is_stopped:
            execution.started += TICK

    def kill(self) -> None:
        """End the process; what it runs fails."""
        if self.is_alive:
            self.is_alive = False
            self._signal(signal.SIGKILL)
            self.pool.on_death(self)

    def position(self, descriptor: int) -> int:
        """Return where in one of its files it is; 0 if that cannot be told."""
        try:
            return int(_read(self.sandbox.pid, f"fdinfo/{descriptor}").split()[1])
        except (OSError, IndexError, ValueError):
            return 0

    def used(self) -> int:
        """Return how many nanoseconds of processor time it has had."""
        return int(_processor_seconds(self.sandbox.pid) * 1e9)

    def is_runnable(self) -> bool:
        """Whether it computes, or would if it had a processor, rather than waits for something."""
        return _state(self.sandbox.pid) == b"R"

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def on_exit(self) -> None:
        """The process is gone: hear its last words, and save what it has not started."""
        if self._is_closed:
            return
        self._is_closed = True
        self.collect()
        self._close()
        if self.is_alive:
            self.is_alive = False
            self.pool.on_death(self, in_vain=not self.is_proven)

    def _close(self) -> None:
        """Let go of what belongs to the process; whatever it still had to run is saved or fails."""
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self._control.fileno())
        self._loop.remove_writer(self._control.fileno())
        while self._rescue():
            pass
        for execution in self.pending:
            self._let_go(execution)
            execution.fail(HandlerError(500, "failed", "the executor ended by itself"))
        self.pending.clear()
        for _, descriptors in self._outbox:
            close_all(descriptors)
        if self.front:
            self.front.on_death()
            self.front.close()
            self.front = None
        os.close(self._pidfd)
        self._control.close()
        self._theirs.close()


def _processor_seconds(pid: int) -> float:
    try:
        return int(_read(pid, "schedstat").split()[0]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _state(pid: int) -> bytes:
    try:
        return _read(pid, "stat").rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return b""


def _read(pid: int, name: str) -> bytes:
    descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, 1024, 0)
    finally:
        os.close(descriptor)
