"""Worker processes as their supervisor sees them: started, asked, ended."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Final

from proa.wagi._control import Control, Report, Start, Tell, Use
from proa.wagi.handlers import Handler
from proa.wagi.settings import WagiSettings

__all__ = ["SHUTDOWN_SECONDS", "WorkerPlace"]

SHUTDOWN_SECONDS: Final = 8.0
"""What requests under way may still take when a worker is to end."""
_ANSWER_SECONDS: Final = 30.0


class WorkerPlace:
    """The place of one worker: a socket, and the process that serves on it now."""

    def __init__(self, number: int, listener: socket.socket) -> None:
        self.number = number
        self.pid = 0
        self.is_serving = asyncio.Event()
        self._listener = listener
        self._control: Control | None = None
        self._turn = asyncio.Lock()

    async def run(self, start: Start, handlers: Callable[[], list[Handler]], settings: WagiSettings) -> int:
        """Start a process and wait for its end; return its exit code. Cancelled, it ends it gracefully."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *_command(theirs, self._listener, settings),
                pass_fds=(theirs.fileno(), self._listener.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the supervisor: it ends workers in its own time.
            )
        control = await Control.open(ours)
        try:
            self.pid = process.pid
            await self._begin(control, start, handlers)
            return await process.wait()
        finally:
            self.is_serving.clear()
            self._control = None
            await control.close()
            await _end(process)
            self.pid = 0

    async def _begin(self, control: Control, start: Start, handlers: Callable[[], list[Handler]]) -> None:
        with contextlib.suppress(ConnectionError):
            await control.send(start)
            self._control = control
            if await self.ask(Use(handlers())):
                self.is_serving.set()

    async def ask(self, message: Use | Tell) -> Report | None:
        """Send a message and return the answer; None when the worker is not there, or stuck."""
        async with self._turn:
            control = self._control
            if control is None:
                return None
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await control.send(message)
                    answer = await control.receive()
            except (ConnectionError, TimeoutError):
                answer = None
            return answer if isinstance(answer, Report) else None


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process: politely, then by force."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(SHUTDOWN_SECONDS + 10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _command(control: socket.socket, listener: socket.socket, settings: WagiSettings) -> list[str]:
    options = ["--control", str(control.fileno()), "--listener", str(listener.fileno())]
    options += ["--log-level", settings.log_level, "--log-format", settings.log_format]
    return [sys.executable, "-P", "-m", "proa.wagi.worker", *options]
