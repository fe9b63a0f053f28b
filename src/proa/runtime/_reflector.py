"""The reflector: one watch, one store, any number of subscribers."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Generic, Self, TypeAlias
from weakref import WeakValueDictionary

from proa.app import Backoff
from proa.runtime._background import background
from proa.runtime._events import Apply, Delete, Event, Init, InitApply, InitDone
from proa.runtime._object import K, ObjectRef
from proa.runtime._store import Store, StoreWriter
from proa.runtime._watcher import BACKOFF, ErrorHandler, Source, Transform, watcher

BATCH = 500
"""After so many events in a row a subscriber lets others have a turn; more would stall the loop."""


_Pending: TypeAlias = tuple[ObjectRef, str | None] | None


class Subscription(Generic[K]):
    """One subscriber's view of a reflector: first everything there is, then every change.

    Changes that were not yet taken are coalesced per object: a slow subscriber misses intermediate states,
    never the last one and never a deletion, and holds back neither the watch nor other subscribers. So what
    waits is bounded by the number of objects.
    """

    def __init__(self, store: Store[K]) -> None:
        self._store = store
        self._pending: OrderedDict[_Pending, Apply[K] | Delete[K] | InitDone] = OrderedDict()
        self._changed = asyncio.Event()
        self._open = True

    def publish(self, change: Apply[K] | Delete[K] | InitDone) -> None:
        """Add a change; for the reflector only."""
        key: _Pending = None
        if not isinstance(change, InitDone):
            key = (ObjectRef.of(change.obj), change.obj.metadata.uid)
        self._pending.pop(key, None)
        self._pending[key] = change
        self._changed.set()

    def close(self) -> None:
        """End the iteration after what is pending."""
        self._open = False
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[Event[K]]:
        """Yield Init, InitApply for each object, InitDone, then Apply and Delete until the reflector ends.

        A later InitDone, without an Init, says that the objects were listed anew: what differs has been told,
        but what came and went meanwhile was never seen.
        """
        await self._store.ready()
        self._pending.clear()
        objects = iter(self._store)
        yield Init()
        for number, obj in enumerate(objects, 1):
            yield InitApply(obj)
            if number % BATCH == 0:
                await asyncio.sleep(0)
        yield InitDone()
        while self._open or self._pending:
            for _ in range(min(BATCH, len(self._pending))):
                yield self._pending.popitem(last=False)[1]
            if self._pending:
                await asyncio.sleep(0)
            elif self._open:
                self._changed.clear()
                await self._changed.wait()


class Reflector(Generic[K]):
    """Keeps a store current with the server, and tells subscribers what changes.

    Several controllers can share one, so that a process holds each object once and opens one watch for it::

        async with Reflector(Api(client, Pod)) as pods:
            await pods.store.ready()
            async for event in pods.subscribe():
                ...

    Failures are reported as `watcher` reports them; the store keeps what it has meanwhile. Where only
    metadata is needed, `Reflector(Api(client, PartialObjectMetadata.of(Pod)))` asks for no more than that.

    The arguments are those of `watcher`.
    """

    def __init__(
        self,
        source: Source[K],
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        backoff: Backoff = BACKOFF,
        on_error: ErrorHandler | None = None,
        transform: Transform[K] | None = None,
        streaming: bool = False,
    ) -> None:
        self._events = watcher(
            source,
            label_selector=label_selector,
            field_selector=field_selector,
            backoff=backoff,
            on_error=on_error,
            transform=transform,
            streaming=streaming,
        )
        self.type = source.type
        self._store: StoreWriter[K] = StoreWriter()
        self._subscriptions: WeakValueDictionary[int, Subscription[K]] = WeakValueDictionary()
        self._numbers = itertools.count()
        self._stack = AsyncExitStack()

    @property
    def store(self) -> Store[K]:
        """The objects as last seen."""
        return self._store

    def subscribe(self) -> Subscription[K]:
        """Return a new subscription; it is welcome at any time and dropped by dropping the reference."""
        subscription = Subscription(self._store)
        self._subscriptions[next(self._numbers)] = subscription
        return subscription

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(background(self._run(), f"watch {self.type.resource.plural}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _run(self) -> None:
        try:
            async for event in self._events:
                relisted = isinstance(event, InitDone) and self._store.is_ready
                if relisted:
                    await asyncio.sleep(0)  # the last page was read just now, and what follows takes long too
                await self._publish(self._store.write(event))
                if relisted:
                    await self._publish([InitDone()])
                    await self._free()
        finally:
            await self._events.aclose()
            self._store.close()
            for subscription in tuple(self._subscriptions.values()):
                subscription.close()

    async def _publish(self, changes: Sequence[Apply[K] | Delete[K] | InitDone]) -> None:
        for number, change in enumerate(changes, 1):
            for subscription in self._subscriptions.values():
                subscription.publish(change)
            if number % BATCH == 0:
                await asyncio.sleep(0)

    async def _free(self) -> None:
        """Let go of the objects that a fresh list has replaced, bit by bit."""
        replaced = self._store.replaced
        while replaced:
            for _ in range(min(BATCH, len(replaced))):
                replaced.popitem()
            await asyncio.sleep(0)
