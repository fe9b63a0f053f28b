"""The zygote's children: forked here, reaped here, each with one function that hears of its end."""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final, NamedTuple

from proa.wasm._process import Body, Child, Stdio, fork

_MAX_REPORT: Final = 65536


class End(NamedTuple):
    """How a child ended.

    Attributes:
        signal: The signal that killed it, 0 when it exited.
        report: What it delivered through its pipe; empty when it died before.
        cpu_seconds: Processor time, user and system.
        max_rss_bytes: The most physical memory it held.
    """

    signal: int
    report: bytes
    cpu_seconds: float
    max_rss_bytes: int


class Children:
    """All children that have not been reaped."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[Child, Callable[[End], None]]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def fork(self, name: str, body: Body, on_end: Callable[[End], None], stdio: Stdio | None = None) -> int:
        """Fork a child and return its process id; raises OSError when the kernel refuses."""
        child = fork(name, body, stdio)
        self._running[child.pid] = (child, on_end)
        return child.pid

    def adopt(self, pid: int, report: int, on_end: Callable[[End], None]) -> None:
        """Go on with a child of the program that this process was before."""
        self._running[pid] = (Child(pid, report), on_end)

    def report(self, pid: int) -> int | None:
        """The descriptor that a running child's report comes through."""
        return self._running[pid][0].report if pid in self._running else None

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Kill a child if it still runs. Its id cannot be another's: it is only freed by `reap`."""
        if pid in self._running:
            os.kill(pid, number)

    def kill_all(self) -> None:
        """Kill every child; `reap` hears of their ends."""
        for pid in self._running:
            self.kill(pid)

    def reap(self) -> None:
        """Take leave of every child that has ended."""
        while self._running:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            if pid not in self._running:
                continue  # It was compiling for the program that this process was before.
            child, on_end = self._running.pop(pid)
            signal_number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            on_end(
                End(signal_number, _drain(child), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024),
            )


def _drain(child: Child) -> bytes:
    with contextlib.closing(os.fdopen(child.report, "rb", buffering=0)) as pipe:
        return pipe.read(_MAX_REPORT) or b""
