"""One run of a guest, from the request's side: what it has printed so far, and how it ended."""

import asyncio
import ctypes
import os
import stat
from typing import TYPE_CHECKING, Final, Self

from proa.wagi._messages import Result
from proa.wagi.errors import HandlerError

if TYPE_CHECKING:
    from proa.wagi._executor_process import ExecutorProcess
    from proa.wagi.executors import Executors

__all__ = ["AHEAD", "Execution"]

AHEAD: Final = 8 * 1024 * 1024
"""Bytes that a guest may have printed more than the client has taken, before it is made to wait."""

_PUNCH: Final = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE

_STDOUT: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Execution:
    """One run of a guest. Use it as a context manager: leaving it early ends the guest.

    Attributes:
        size: Bytes that are known to have been printed.
        taken: Bytes of these that `take` has returned.
        result: How it ended; None while it runs.
        failure: Why it was given up, if it was.
        program: What is run, for those who learn how long that takes.
        is_adopted: Whether it was begun at the front.
    """

    def __init__(
        self,
        pool: "Executors",
        program: str,
        message: bytes,
        stdin: int | None,
        seconds: float | None,
        patience: float,
    ) -> None:
        self.size = 0
        self.taken = 0
        self.result: Result | None = None
        self.failure: HandlerError | None = None
        self.program = program
        self.is_adopted = False
        self.message = message
        self.stdin = stdin
        self.seconds = seconds
        self.latest = pool.now() + patience
        self.started = 0.0
        self.executor: ExecutorProcess | None = None
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
        if self._file is not None and self.taken - self._freed > AHEAD:
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

    def watch(self, executor: "ExecutorProcess") -> None:
        """See what has been printed so far by a guest that runs for a while already."""
        if self._file is None:
            self._file = _open_output(executor.sandbox.pid)
        if self._file is not None:
            size = executor.position(_STDOUT)  # The file may be longer, from runs before.
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
