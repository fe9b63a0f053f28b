"""From a guest's pipes into its log file: bounded memory, back-pressure, nothing lost.

A guest that prints faster than the disk takes it waits in its own write call, and one that floods its
log gets a thread for a bounded piece at a time, so that others get theirs. When the disk is full, what
was read waits in memory and is tried again: the guest stands still, its output is not cut.

A log that has grown to its limit is moved aside and another is begun; the oldest of those moved are removed.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proa.app import logs
from proa.app.backoff import Backoff
from proa.kubelet import _cri

_log = logs.get_logger(__name__)
_READS_A_TURN: Final = 32
_DISK_TROUBLE: Final = Backoff(initial=0.5, maximum=15.0, jitter=0.0)


@dataclass(frozen=True)
class LogLimits:
    """How much is kept of one container instance's log.

    Attributes:
        max_bytes: A file this large, or larger by what is written at a time, is moved aside.
        max_files: How many files there are at most, with the one that is being written.
    """

    max_bytes: int = 10 * 1024 * 1024
    max_files: int = 5


_LIMITS: Final = LogLimits()


class LogFile:
    """The log of one container instance while it is being written.

    Readers that follow wait on `next_change` and stop once `closed` is true and all is read.
    """

    def __init__(self, path: Path, limits: LogLimits = _LIMITS) -> None:
        self.path = path
        self._limits = limits
        self.closed = False
        self._changed = asyncio.Event()

    @property
    def next_change(self) -> asyncio.Event:
        """Set at the next write or at the close. Take it before reading, then nothing is missed."""
        return self._changed

    async def copy(self, stdout: int, stderr: int) -> None:
        """Append what comes from both pipes until both are at their end.

        A log that exists is continued: a restarted kubelet adopts the pipes of running guests. If
        cancelled, what was read has been written, and the rest stays in the pipes.

        Args:
            stdout: Non-blocking read end; stays open.
            stderr: The same for standard error.
        """
        file = await asyncio.to_thread(_RotatedFile, self.path, self._limits)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(_Pipe(stdout, "stdout", file)))
                group.create_task(self._pump(_Pipe(stderr, "stderr", file)))
        finally:
            file.close()

    def close(self) -> None:
        """Nothing more will be written: tell the readers."""
        self.closed = True
        self._announce()

    async def _pump(self, pipe: "_Pipe") -> None:
        trouble = _DISK_TROUBLE.start()
        while not pipe.at_end:
            if pipe.drained:
                await readable(pipe.fd)
            try:
                await _to_end(pipe.copy_some)
            except OSError as error:
                _log.warning("cannot write a log; the guest waits", path=str(self.path), error=str(error))
                await asyncio.sleep(trouble.next())
            else:
                trouble.reset()
                self._announce()

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class _Pipe:
    """One stream on its way into the file. `copy_some` blocks for a bounded piece of work only."""

    def __init__(self, fd: int, stream: str, file: "_RotatedFile") -> None:
        self.fd = fd
        self.at_end = False
        self.drained = True
        self._stream = stream
        self._file = file
        self._unwritten = b""

    def copy_some(self) -> None:
        self._flush()
        for _ in range(_READS_A_TURN):
            try:
                chunk = os.read(self.fd, _cri.MAX_PART)
            except BlockingIOError:
                self.drained = True
                return
            if not chunk:
                self.at_end = True
                return
            self._unwritten = _cri.encode(chunk, self._stream, time.time_ns())
            self._flush()
        self.drained = False

    def _flush(self) -> None:
        while self._unwritten:
            written = self._file.write(self._unwritten)
            self._unwritten = self._unwritten[written:]


class _RotatedFile:
    """A file that both streams append to, from threads of their own."""

    def __init__(self, path: Path, limits: LogLimits) -> None:
        self._path = path
        self._limits = limits
        self._lock = threading.Lock()
        self._between_records = True
        self._begin()

    def write(self, records: bytes) -> int:
        """Append; return how many bytes were taken, which are fewer on a disk that is full."""
        with self._lock:
            if self._size >= self._limits.max_bytes and self._between_records:
                self._rotate()
            written = os.write(self._file, records)
            self._size += written
            self._between_records = written == len(records)
            return written

    def close(self) -> None:
        os.close(self._file)

    def _begin(self) -> None:
        self._file = _open(self._path)
        self._size = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        kept = self._limits.max_files - 1
        for number in range(kept, 0, -1):
            newer = rotated(self._path, number - 1)
            if newer.exists():
                newer.replace(rotated(self._path, number))
        previous = self._file
        self._begin()
        os.close(previous)


def rotated(path: Path, number: int) -> Path:
    """The name of a log after so many rotations."""
    return path.with_name(f"{path.name}.{number}") if number else path


def rotated_files(path: Path) -> list[Path]:
    """The files that there are of a log, the newest first. Blocks."""
    found: list[Path] = []
    while (name := rotated(path, len(found))).exists():
        found.append(name)
    return found


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def duplicates(*descriptors: int) -> Iterator[list[int]]:
    """Duplicates of descriptors that somebody else may close, open for the length of the block."""
    opened: list[int] = []
    try:
        opened.extend(os.dup(descriptor) for descriptor in descriptors)
        yield opened
    finally:
        for duplicate in opened:
            os.close(duplicate)


async def readable(fd: int) -> None:
    """Wait until a descriptor can be read without waiting, or is at its end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


async def _to_end(work: Callable[[], None]) -> None:
    """Run in a thread and stay until it has ended, even if cancelled: it uses descriptors of its caller."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
