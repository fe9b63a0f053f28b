"""The store: durable writes with optimistic locking, reads from memory, changes told in the order of
their commits.

Everything here runs in one event loop. A write is numbered and encoded at once, on top of the newest
version, committed or still on its way; its caller goes on when it is on disk. Readers see committed
versions only. Should a commit fail, every write behind it fails too, for they may build on it, and the
store goes on from what is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from proa.controlplane._json import Document

from ._database import Database, Row, Write
from ._history import Event, History
from ._index import Index
from ._objects import COMPACTED, Key, Stored

MAX_OBJECT = 4 * 1024 * 1024
"""Bytes of an object, with its defaults and its managed fields; etcd takes 1.5 MB."""
Listener = Callable[[Event], None]


class StorageError(Exception):
    """A write did not reach the disk; nothing of it is kept. Retryable once the cause (a full disk) is
    gone.
    """


class TooLargeError(Exception):
    """An object has more bytes than `MAX_OBJECT`; nothing is written."""


class _Pending:
    """A change that is on its way to the disk."""

    __slots__ = ("event", "future")

    def __init__(self, event: Event, future: asyncio.Future[Stored]) -> None:
        self.event = event
        self.future = future


class Store:
    """All objects of the cluster, kept in `directory`. Use as an async context manager.

    `get` and `scan` show what is committed; `latest` what the next write builds on.

    Raises (on entering):
        ControlPlaneError: The directory or the file in it is unusable, or another server has it open.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._database: Database
        self._loop: asyncio.AbstractEventLoop
        self._index = Index()
        self._overlay: dict[Key, _Pending] = {}
        self._outgoing: list[Write] = []
        self._assigned = 1
        self._listeners: dict[str, list[Listener]] = {}
        self._epoch = 0
        self.revision = 1
        self.history = History()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._database = await asyncio.to_thread(self._open)
        self._database.start(self._committed_in_thread)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._send()
        await asyncio.to_thread(self._database.close)

    def _open(self) -> Database:
        database = Database(self._directory)
        try:
            self._load(database)
        except BaseException:
            database.close()
            raise
        return database

    def _load(self, database: Database) -> None:
        newest: dict[str, int] = {}
        for key, revision, stored in database.load():
            self.revision = max(self.revision, revision)
            newest[key.resource] = max(newest.get(key.resource, 0), revision)
            if stored is not None:
                self._index.put(stored)
        self._assigned = self.revision
        self.history = History(started=newest)
        self.history.forget(newest.get(COMPACTED.resource, 0))

    def __len__(self) -> int:
        return len(self._index)

    def get(self, key: Key) -> Stored | None:
        """The committed version of an object."""
        return self._index.get(key)

    def latest(self, key: Key) -> Stored | None:
        """The newest version of an object, even when its commit is still under way."""
        pending = self._overlay.get(key)
        return pending.event.current if pending else self._index.get(key)

    def scan(
        self, resource: str, namespace: str | None = None, after: tuple[str, str] | None = None
    ) -> Iterator[Stored]:
        """The committed objects of a resource by namespace and name; read it without giving up control."""
        return self._index.scan(resource, namespace, after)

    def scan_latest(self, resource: str, namespace: str | None = None) -> Iterator[Stored]:
        """The newest versions of a resource's objects, also those whose commit is still under way."""
        pending = {
            key: change.event.current
            for key, change in self._overlay.items()
            if key.resource == resource and namespace in {None, key.namespace}
        }
        yield from (stored for stored in self._index.scan(resource, namespace) if stored.key not in pending)
        yield from (stored for stored in pending.values() if stored is not None)

    def count(self, resource: str, namespace: str | None = None) -> int:
        """How many objects of a resource are committed."""
        return self._index.count(resource, namespace)

    def scan_at(self, revision: int, resource: str, namespace: str | None = None) -> Iterator[Stored]:
        """The objects of a resource as they were at a revision.

        Raises:
            CompactedError: That is too long ago.
        """
        past = self.history.rewind(resource, revision, self._index.scan(resource))
        return (stored for stored in past if namespace in {None, stored.key.namespace})

    def resources(self) -> list[str]:
        """The storage resources that have had an object."""
        return self._index.resources()

    async def put(self, key: Key, document: Document) -> Stored:
        """Creates or replaces an object; returns once that is durable.

        The caller has compared versions with `latest`, and must not have awaited anything since.
        Cancelling does not undo the write.

        Raises:
            StorageError: The disk did not take it.
            TooLargeError: The object is too large.
        """
        return await self.submit(key, document)

    def submit(self, key: Key, document: Document) -> asyncio.Future[Stored]:
        """As `put`, but at once: what is returned is done when the write is durable, and need not be
        awaited.
        """
        stored = Stored.encode(key, document, self._next_revision())
        if len(stored.tail) > MAX_OBJECT:
            raise TooLargeError
        return self._submit(Event(key, stored.revision, self.latest(key), stored, stored))

    async def remove(self, key: Key, document: Document) -> Stored:
        """Removes an object, whose last state the document is; returns that, numbered with the removal's
        revision.

        Raises:
            StorageError: The disk did not take it.
        """
        last = Stored.encode(key, document, self._next_revision())
        return await self._submit(Event(key, last.revision, self.latest(key), None, last))

    async def compact(self) -> None:
        """Forgets the past, for good: whoever resumes from any version seen so far has to list again.

        Raises:
            StorageError: The disk did not take it.
        """
        mark = await self.remove(COMPACTED, {"metadata": {"uid": ""}})
        self.history.forget(mark.revision)

    def subscribe(self, resource: str, listener: Listener) -> Callable[[], None]:
        """Calls `listener` for every change of a resource from now on, in order; returns what ends that."""
        listeners = self._listeners.setdefault(resource, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def _next_revision(self) -> int:
        self._assigned += 1
        return self._assigned

    def _submit(self, event: Event) -> asyncio.Future[Stored]:
        pending = _Pending(event, self._loop.create_future())
        self._overlay[event.key] = pending
        body = event.current.tail if event.current else None
        if not self._outgoing:  # all that this turn of the loop brings goes out together
            self._loop.call_soon(self._send)
        self._outgoing.append(
            Write(Row(*event.key, event.last.uid, event.revision, body), pending, self._epoch)
        )
        return pending.future

    def _send(self) -> None:
        writes, self._outgoing = self._outgoing, []
        self._database.submit(writes)

    def _committed_in_thread(self, writes: list[Write], error: Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._committed, writes, error)
        except RuntimeError:  # the loop is gone; so is everybody who waited
            return

    def _committed(self, writes: list[Write], error: Exception | None) -> None:
        if error is not None and writes[-1].epoch == self._epoch:
            self._epoch += 1
            self._overlay.clear()
        for write in writes:
            pending = write.token
            assert isinstance(pending, _Pending)
            self._settle(pending, error)

    def _settle(self, pending: _Pending, error: Exception | None) -> None:
        event = pending.event
        if self._overlay.get(event.key) is pending:
            del self._overlay[event.key]
        if error is not None:
            if not pending.future.done():
                pending.future.set_exception(StorageError(str(error)))
                pending.future.exception()  # it counts as seen: a caller may be gone when the commit fails
            return
        self.revision = event.revision
        if event.current is not None:
            self._index.put(event.current)
        else:
            self._index.remove(event.key)
        self.history.add(event)
        for listener in list(self._listeners.get(event.key.resource, ())):
            listener(event)
        if not pending.future.done():
            pending.future.set_result(event.last)
