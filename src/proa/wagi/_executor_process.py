"""One executor, as the event loop sees it: what it has been given, and how it is kept to its limits."""

import array
import asyncio
import contextlib
import os
import signal
import socket
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from proa.wagi._execution import AHEAD, Execution
from proa.wagi._messages import MAX_MESSAGE, NUMBER_BYTES, decode_result
from proa.wagi.errors import HandlerError

if TYPE_CHECKING:
    from proa.wagi.executors import Executors

__all__ = ["TICK", "ExecutorProcess", "Process"]

TICK: Final = 0.01
"""Seconds between two looks at what runs."""

_BUSY_SECONDS: Final = 0.02
_HOG_SECONDS: Final = 0.02
_NICENESS: Final = 19
_SPACE: Final = socket.CMSG_SPACE(4)


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
        self._is_closed = False
        self.idle_since = pool.now()
        self._used: float | None = None
        self._next_look = 0.0
        self._pidfd = os.pidfd_open(sandbox.pid)
        self._control = control
        self._theirs = theirs
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(control.fileno(), self.collect)
        self._loop.add_reader(self._pidfd, self.on_exit)

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
            self._pool.on_death(self)

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
            self._pool.on_death(self, in_vain=not self.is_proven)

    def _close(self) -> None:
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
