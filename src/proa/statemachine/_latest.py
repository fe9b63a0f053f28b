"""The newest value of something that changes, and a way to wait for the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """The newest value of something that changes, for reading.

    It holds one value, never a queue: whoever reads slowly misses values in between, but never the last one.
    """

    def __init__(self, value: T) -> None:
        self._value = value
        self._version = 0
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        """The value as it is now."""
        return self._value

    async def changed(self) -> T:
        """Wait until a new value is set, and return it."""
        await self._changed.wait()
        return self._value

    async def until(self, condition: Callable[[T], object]) -> T:
        """Wait until the value fulfils `condition`, which it may do already, and return it."""
        while not condition(self._value):
            await self._changed.wait()
        return self._value

    async def __aiter__(self) -> AsyncIterator[T]:
        """Yield the value as it is now, then each newer one, for ever."""
        while True:
            version = self._version
            yield self._value
            if version == self._version:
                await self._changed.wait()


class Cell(Latest[T]):
    """A `Latest` that can be set.

    It is also how machines share state: `update` takes a plain function, so that nothing can be awaited
    between reading and writing. No lock is needed, and none can be held too long.
    """

    def set(self, value: T) -> None:
        """Replace the value and wake all who wait for it."""
        self._value = value
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def update(self, change: Callable[[T], T]) -> T:
        """Replace the value by what `change` makes of it, in one step; return the new one."""
        self.set(change(self._value))
        return self._value
