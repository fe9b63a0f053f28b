"""One part of an application: an async context manager that lives in a task of its own."""

import asyncio
import enum
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from proa.app import logs

__all__ = ["Part", "PartState", "end"]

T = TypeVar("T")
_CANCEL_GRACE = 1.0  # seconds a part may take to end once it is cancelled

log = logs.get_logger(__name__)


class PartState(enum.Enum):
    """Where a part is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Part(Generic[T]):
    """Starts at once; `started` resolves to the context's value, or to the error of its entry.

    The context is entered and exited in the same task, as task groups and timeouts inside it require.
    An error while it runs or stops goes to `on_failure`.
    """

    def __init__(
        self,
        name: str,
        context: AbstractAsyncContextManager[T],
        stop_timeout: float,
        on_failure: Callable[[str, BaseException], None],
    ) -> None:
        self.name = name
        self.state = PartState.STARTING
        self.started: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._context = context
        self._stop_timeout = stop_timeout
        self._on_failure = on_failure
        self._stop = asyncio.Event()
        self._task = asyncio.create_task(self._live(), name=f"part {name}")
        self._task.add_done_callback(self._ended)

    async def _live(self) -> None:
        clock = asyncio.get_running_loop().time
        since = clock()
        async with self._context as value:
            log.info("part started", part=self.name, duration=round(clock() - since, 6))
            if self.state is PartState.STARTING:
                self.state = PartState.RUNNING
                self.started.set_result(value)
            await self._stop.wait()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        before, self.state = self.state, PartState.STOPPED
        error: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
        if before is PartState.STARTING:
            self._fail_start(error)
        elif before is PartState.RUNNING:
            self._on_failure(self.name, error or RuntimeError("the part ended without being asked to"))
        elif before is PartState.STOPPING and error and not task.cancelled():
            self._on_failure(self.name, error)

    def _fail_start(self, error: BaseException | None) -> None:
        if self.started.done():
            return
        if error is None or isinstance(error, asyncio.CancelledError):
            # Nobody asked it to: passed on as a cancellation it would look like an orderly stop.
            error = RuntimeError(f"{self.name} ended while it was starting")
        self.started.set_exception(error)
        self.started.exception()  # marks it as seen: of several that fail together, one is raised

    async def stop(self) -> bool:
        """Exit the context, or cancel its entry; False when it neither stopped nor let itself be cancelled.

        What goes wrong in it is `on_failure`'s business; only a cancellation of the caller is raised.
        """
        if self._task.done():
            return True
        if self.state is PartState.STARTING:
            self.started.cancel()
            self._task.cancel()
        self.state = PartState.STOPPING
        self._stop.set()
        clock = asyncio.get_running_loop().time
        since = clock()
        await asyncio.wait({self._task}, timeout=self._stop_timeout)
        if self._task.done():
            log.info("part stopped", part=self.name, duration=round(clock() - since, 6))
            return True
        log.warning(
            "part did not stop in time; going on without it", part=self.name, seconds=self._stop_timeout
        )
        return await end(self._task)


async def end(task: "asyncio.Future[Any]") -> bool:
    """Cancel a task unless it has ended; False when it has not ended soon after."""
    task.cancel()
    await asyncio.wait({task}, timeout=_CANCEL_GRACE)
    return task.done()
