"""Writes log lines on a thread of its own: a slow terminal or a full pipe never stalls the program."""

import contextlib
import io
import os
import queue
import select
import threading
from collections.abc import Callable
from typing import Final, TextIO

__all__ = ["Writer"]

_STOP: Final = None


class Writer:
    """A bounded queue of lines and the thread that empties it into a stream.

    When the queue is full, lines are dropped and counted; as soon as there is room a line says how many.
    A stream that is closed or broken loses lines silently: there is nowhere left to complain.
    """

    def __init__(self, stream: TextIO, dropped_line: Callable[[int], str], capacity: int = 10_000) -> None:
        self._stream = stream
        self._dropped_line = dropped_line
        self._capacity = capacity
        self._dropped = 0
        # SimpleQueue because its put() is reentrant: a finalizer or signal handler that logs while this very
        # thread is inside put() would deadlock on the lock of a queue.Queue.
        self._lines: queue.SimpleQueue[str | threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue a line, newline included; never blocks and never raises."""
        if self._lines.qsize() >= self._capacity:
            self._dropped += 1
            return
        self._report_dropped()
        self._lines.put(line)

    def flush(self, timeout: float) -> bool:
        """Wait until all that is queued is written; False when that took longer than `timeout` seconds."""
        self._report_dropped()
        written = threading.Event()
        self._lines.put(written)
        return written.wait(timeout) if self._thread.is_alive() else False

    def close(self, timeout: float = 2.0) -> None:
        """Flush and end the thread; a thread stuck in a write is left to die with the process."""
        self.flush(timeout)
        self._lines.put(_STOP)
        self._thread.join(timeout)

    def _report_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._lines.put(self._dropped_line(dropped))

    def _run(self) -> None:
        while True:
            item = self._lines.get()
            if item is _STOP:
                return
            if isinstance(item, threading.Event):
                item.set()
            else:
                self._write_out(item)

    def _write_out(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            try:
                descriptor = self._stream.fileno()
            except io.UnsupportedOperation:
                self._stream.write(line)
                self._stream.flush()
                return
            _write_all(descriptor, line.encode("utf-8", "backslashreplace"))


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes, also to a descriptor that someone else has made non-blocking."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
