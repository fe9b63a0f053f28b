"""What acts beside the server's requests: it follows the store, and one task does what is due."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ["Housekeeper"]


class Housekeeper(ABC):
    """Follows the store while its context is open. `ends` holds what undoes its subscriptions."""

    def __init__(self) -> None:
        self.ends: list[Callable[[], None]] = []
        self._task: asyncio.Task[None]

    @abstractmethod
    def begin(self) -> None:
        """Look at what there is, and subscribe to what comes."""

    @abstractmethod
    async def run(self) -> None:
        """Do what is due, until cancelled."""

    async def __aenter__(self) -> Self:
        self.begin()
        self._task = asyncio.create_task(self.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in self.ends:
            end()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
