"""The work queue with a clock and hands: works on each key at its time, on a bounded number at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias

from proa.app import Backoff
from proa.runtime._queue import Key, WorkQueue

Work: TypeAlias = Callable[[Key], Awaitable[float | None]]
"""Works on a key; returns the seconds after which it is wanted again, or raises to be tried again."""


class Dispatcher(Generic[Key]):
    """Runs `work` for the keys of a `WorkQueue`, by the running event loop's clock."""

    def __init__(
        self, work: Work[Key], *, concurrency: int, backoff: Backoff, grace: float, debounce: float = 0.0
    ) -> None:
        self._work = work
        self._concurrency = concurrency
        self._grace = grace
        self._queue: WorkQueue[Key] = WorkQueue(backoff, debounce)
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._stopping = False

    @property
    def waiting(self) -> int:
        """The number of keys whose turn has not come."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """The number of keys that are worked on."""
        return self._queue.running

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Ask for work on `key` in `delay` seconds."""
        self._queue.add(key, _now(), delay)
        self._changed.set()

    def stop(self) -> None:
        """Begin no new work."""
        self._stopping = True
        self._changed.set()

    async def run(self) -> None:
        """Work until stopped; what is then under way has its grace, and is cancelled after that.

        Cancelling this cancels the work under way.
        """
        try:
            while not self._stopping:
                self._begin_due()
                await self._something_new()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._grace)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin_due(self) -> None:
        while self._queue.running < self._concurrency:
            key = self._queue.take(_now())
            if key is None:
                return
            task = asyncio.create_task(self._do(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _something_new(self) -> None:
        alarm = self._alarm()
        try:
            await self._changed.wait()
        finally:
            if alarm is not None:
                alarm.cancel()
        self._changed.clear()

    def _alarm(self) -> asyncio.TimerHandle | None:
        due = self._queue.next_due()
        if due is None or self._queue.running >= self._concurrency:
            return None
        return asyncio.get_running_loop().call_at(due, self._changed.set)

    async def _do(self, key: Key) -> None:
        try:
            again_after = await self._work(key)
        except Exception:  # noqa: BLE001 - whatever it is, the key is tried again; `work` has told of it
            self._queue.failed(key, _now())
        else:
            self._queue.done(key, _now(), again_after)
        self._changed.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
