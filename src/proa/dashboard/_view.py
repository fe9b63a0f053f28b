"""A cluster as one identity may see it: tables of rows, and what changes in them, for all its browsers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from proa.app import logs
from proa.dashboard._summaries import KINDS, Row
from proa.dashboard._usage import SECONDS, Usage
from proa.kube import Api, Client, Config, KubeError
from proa.kube.errors import ForbiddenError, UnauthorizedError
from proa.runtime import Apply, Delete, Init, InitApply, InitDone, background, watcher

__all__ = ("Stream", "View")

MOST_EVENTS: Final = 1_000
_PAUSE: Final = 0.2

log = logs.get_logger(__name__)

Address = tuple[str, str]
"""A table and a key in it."""


class Stream:
    """What one browser has not been told yet: the newest state of each row, so a slow one costs little."""

    def __init__(self) -> None:
        self._changes: dict[Address, Row | None] = {}
        self._awake = asyncio.Event()

    def tell(self, address: Address, row: Row | None) -> None:
        """Note a change; None: the row is gone."""
        self._changes[address] = row
        self._awake.set()

    async def next(self) -> list[tuple[str, str, Row | None]]:
        """Wait for changes and take them; those of a fifth of a second come together."""
        await self._awake.wait()
        await asyncio.sleep(_PAUSE)
        changes, self._changes = self._changes, {}
        self._awake.clear()
        return [(table, key, row) for (table, key), row in changes.items()]


class View:
    """Follows a cluster while somebody looks. An async context manager.

    Attributes:
        client: speaks to the cluster as this identity.
        name: whom the identity is called.
        usage: what was used.
    """

    def __init__(self, config: Config, name: str) -> None:
        self.name = name
        self.client = Client(config, user_agent="proa-dashboard")
        self.usage = Usage(self.client, self._measured)
        self.refused = False
        self._rows: dict[Address, Row] = {}
        self._events = 0
        self._streams: set[Stream] = set()
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.client)
        await self._stack.enter_async_context(background(self.usage.run(), "usage"))
        self._stack.push_async_callback(self._rest)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def idle(self) -> bool:
        """Whether nobody looks."""
        return not self._streams

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Stream]:
        """Follow the cluster; the first changes are everything that there is."""
        stream = Stream()
        for address, row in self._rows.items():
            stream.tell(address, row)
        self._streams.add(stream)
        self._watch()
        self._measured()
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            if not self._streams:
                await self._rest()

    def _watch(self) -> None:
        """Start to follow, unless that is being done."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._follow(kind), name=f"watch {kind.__name__}") for kind in KINDS
            ]

    async def _rest(self) -> None:
        """Stop following, and forget: what nobody looks at costs nothing."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        self._rows.clear()
        self._events = 0
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, kind: type[Any]) -> None:
        table, summarise = KINDS[kind]
        own = f"{kind.__name__}/"
        listed: set[Address] = set()
        async for event in watcher(Api(self.client, kind), on_error=lambda error: self._failed(kind, error)):
            match event:
                case Init():
                    listed = set()
                case InitApply(obj) | Apply(obj):
                    address = table, own + _key(obj)
                    listed.add(address)
                    self._put(address, summarise(obj))
                case Delete(obj):
                    self._remove((table, own + _key(obj)))
                case InitDone():
                    gone = [at for at in self._rows if at[0] == table and at[1].startswith(own)]
                    for address in gone:
                        if address not in listed:
                            self._remove(address)
                    self._remove(("problems", kind.__name__))
                    self._put(("ready", kind.__name__), {})

    def _failed(self, kind: type[Any], error: KubeError) -> None:
        if isinstance(error, UnauthorizedError):
            self.refused = True
        if isinstance(error, ForbiddenError):
            self._put(("ready", kind.__name__), {})
        self._put(
            ("problems", kind.__name__),
            {
                "why": str(error),
                "level": "busy" if isinstance(error, ForbiddenError) else "bad",
                "at": time.time(),
            },
        )

    def _put(self, address: Address, row: Row) -> None:
        before = self._rows.get(address)
        if before == row:
            return
        self._rows[address] = row
        self._tell(address, row)
        if address[0] == "events" and before is None:
            self._events += 1
            if self._events > MOST_EVENTS * 1.2:
                self._forget_old_events()

    def _forget_old_events(self) -> None:
        events = [address for address in self._rows if address[0] == "events"]
        events.sort(key=lambda address: self._rows[address]["at"] or 0.0)
        for address in events[:-MOST_EVENTS]:
            self._remove(address)
        self._events = MOST_EVENTS

    def _remove(self, address: Address) -> None:
        if self._rows.pop(address, None) is not None:
            self._tell(address, None)

    def _tell(self, address: Address, row: Row | None) -> None:
        for stream in self._streams:
            stream.tell(address, row)

    def _measured(self) -> None:
        usage = self.usage
        row = {
            "at": usage.sampled_at or time.time(),
            "problem": usage.problem,
            "seconds": SECONDS,
            "now": usage.history.latest(),
            "nodes": {
                key: usage.history.of(key) for key in usage.history.latest() if key.startswith("nodes/")
            },
        }
        self._tell(("usage", ""), row)


def _key(obj: Any) -> str:
    return f"{obj.metadata.namespace or ''}/{obj.metadata.name}"


def encode(changes: list[tuple[str, str, Row | None]]) -> bytes:
    """Write changes as a line of JSON."""
    return msgspec.json.encode(changes) + b"\n"
