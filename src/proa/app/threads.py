"""Blocking work beside the event loop, and work that several callers wait for together."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Generic, TypeVar, TypeVarTuple, Unpack

__all__ = ("SharedWork", "in_thread")

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


async def in_thread(function: Callable[[Unpack[Arguments]], T], *arguments: *Arguments) -> T:
    """Run `function` in a thread, as `asyncio.to_thread`, but never return before it has.

    A thread can't be cancelled. A caller that is waits for it, so that what the function works on can then be
    closed.
    """
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _settle(task)
        raise


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiters: int = 0


class SharedWork(Generic[T]):
    """Work identified by a key, done once for all who ask for it while it runs.

    It is cancelled when the last caller who waits for it is, not before; that caller waits until it has
    ended.
    """

    def __init__(self) -> None:
        self._flights: dict[object, _Flight[T]] = {}

    async def run(self, key: object, work: Callable[[], Coroutine[None, None, T]]) -> T:
        """Return what `work()` returns, or raise what it raises; join it where it already runs under
        `key`.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(work()))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiters -= 1
            if not flight.waiters:
                del self._flights[key]
                flight.task.cancel()
                await _settle(flight.task)


async def _settle(task: "asyncio.Task[T] | asyncio.Future[T]") -> None:
    """Wait until `task` has ended, however often the caller is cancelled meanwhile; take no notice of its
    outcome.
    """
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()
