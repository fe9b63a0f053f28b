"""Events go an hour after they were last written, as in Kubernetes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proa.app import logs

from ._housekeeping import Housekeeper
from .storage import Event, Key, Store
from .storage._store import StorageError

TTL_SECONDS = 3600.0
SWEEP_SECONDS = 30.0
_RESOURCE = "events"


class EventExpiry(Housekeeper):
    """Removes events that nobody has written for a while. Use as an async context manager: it runs within.

    What is there when the server starts gets the whole time again: when it was written is not recorded.

    Args:
        store: Where the events are.
        ttl: How long they stay, in seconds.
        clock: Seconds that only grow; the event loop's by default.
    """

    def __init__(
        self, store: Store, ttl: float = TTL_SECONDS, clock: Callable[[], float] | None = None
    ) -> None:
        super().__init__()
        self._store = store
        self._ttl = ttl
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._until: dict[Key, float] = {}
        self._log = logs.get_logger(__name__)

    def begin(self) -> None:
        for stored in self._store.scan(_RESOURCE):
            self._until[stored.key] = self._clock() + self._ttl
        self.ends.append(self._store.subscribe(_RESOURCE, self._on_event))

    def _on_event(self, event: Event) -> None:
        self._until.pop(event.key, None)  # the dictionary stays in the order of the deadlines
        if event.current is not None:
            self._until[event.key] = self._clock() + self._ttl

    async def run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except StorageError as error:
                self._log.warning("old events cannot be removed yet", error=str(error))

    async def sweep(self) -> None:
        """Removes what is old enough now.

        Raises:
            StorageError: The disk did not take it; the rest goes with a later sweep.
        """
        now = self._clock()
        while self._until:
            key, until = next(iter(self._until.items()))
            if until > now:
                return
            stored = self._store.latest(key)
            if stored is not None:
                await self._store.remove(key, stored.document())
            self._until.pop(key, None)
