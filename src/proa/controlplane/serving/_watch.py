"""Watches: changes as a stream of events, each encoded once however many clients watch.

A watcher's queue is bounded: a client that reads too slowly is cut off (it lists again), never buffered
for without end.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

from proa.app import Metrics
from proa.controlplane._errors import Cause, StatusError, expired, forbidden, resource_version_too_large
from proa.controlplane._json import Document, encode
from proa.controlplane.registry import Resource
from proa.controlplane.registry._options import invalid_options
from proa.controlplane.storage import CompactedError, Event, Store, Stored

from . import _responses
from ._dispatcher import Call
from ._listing import ListOptions, natural, revision_number
from ._representation import Representation, negotiate

QUEUE_BYTES = 16 * 1024 * 1024
WRITE_BYTES = 64 * 1024
BOOKMARK_SECONDS = 60.0
MIN_TIMEOUT = 1800.0
EVENTS_PER_WRITE = 64
_INITIAL_END = "k8s.io/initial-events-end"

Frames = dict[tuple[object, ...], bytes]
"""Encodings of one event, shared between the watchers that it concerns."""


@dataclass(frozen=True)
class View:
    """What a watcher sees: of which resource, where, selected how, in which form."""

    resource: Resource
    namespace: str
    options: ListOptions
    form: Representation

    def frame(self, event: Event, frames: Frames) -> bytes | None:
        """The event as the watcher sees it, encoded; None if it does not concern it."""
        if self.namespace and event.key.namespace != self.namespace:
            return None
        if event.previous is not None and event.current is not None and self.options.selects_all:
            return self._encoded("MODIFIED", event.current.tail, frames)
        before = event.previous is not None and self.options.selects(self.resource, event.previous)
        after = event.current is not None and self.options.selects(self.resource, event.current)
        if after and event.current is not None:
            return self._encoded("MODIFIED" if before else "ADDED", event.current.tail, frames)
        if before and event.previous is not None:
            last = event.last if event.current is None else None
            return self._deleted(event, last or event.previous, frames)
        return None

    def added(self, stored: Stored) -> bytes:
        """An object that was there before the watch began."""
        return frame("ADDED", self.form.one(self.resource, stored.tail))

    def _encoded(self, kind: str, tail: bytes, frames: Frames) -> bytes:
        key = (kind, self.form, self.resource.group, self.resource.version)
        encoded = frames.get(key)
        if encoded is None:
            encoded = frames[key] = frame(kind, self.form.one(self.resource, tail))
        return encoded

    def _deleted(self, event: Event, last: Stored, frames: Frames) -> bytes:
        if last.revision == event.revision:
            return self._encoded("DELETED", last.tail, frames)
        key = ("LEFT", self.form, self.resource.group, self.resource.version)
        if key not in frames:  # it left the selection: its last state within, numbered as the change
            document = last.document()
            renumbered = Stored.encode(event.key, document, event.revision)
            frames[key] = frame("DELETED", self.form.one(self.resource, renumbered.tail))
        return frames[key]

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """A bookmark at a revision."""
        metadata: Document = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {_INITIAL_END: "true"}
        return frame("BOOKMARK", self.form.bookmark(self.resource, metadata))


def frame(kind: str, encoded: bytes) -> bytes:
    """One event of a watch stream."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), encoded)


class Watcher:
    """The queue between the changes and one client."""

    def __init__(self, view: View, revision: int, request: web.BaseRequest, *, bookmarks: bool) -> None:
        self.view = view
        self.revision = revision
        self._request = request
        self._bookmarks = bookmarks
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._woken = asyncio.Event()

    def offer(self, event: Event, frames: Frames) -> None:
        """Queues an event, if it concerns the client."""
        if event.revision <= self.revision:
            return
        self.revision = event.revision
        encoded = self.view.frame(event, frames)
        if encoded is not None:
            self.push(encoded)

    def push(self, encoded: bytes) -> None:
        """Queues what is to be sent; nothing once the stream ends."""
        if self._ended:
            return
        self._size += len(encoded)
        if self._size > QUEUE_BYTES and self._queue:
            self.cut_off()
            return
        self._queue.append(encoded)
        self._woken.set()

    def refuse(self, error: StatusError) -> None:
        """Ends the stream with an error."""
        self.push(frame("ERROR", encode(error.to_document())))
        self.end()

    def cut_off(self) -> None:
        """Breaks the connection; what has queued is not sent."""
        self._queue.clear()
        self._size = 0
        self.end()
        if self._request.transport is not None:
            self._request.transport.abort()

    def mark(self, revision: int) -> None:
        """Queues a bookmark, if the client wants them and is not behind anyway."""
        if self._bookmarks and not self._queue:
            self.push(self.view.bookmark(revision))

    def end(self) -> None:
        """Lets the stream end once what has queued is sent."""
        self._ended = True
        self._woken.set()

    async def next(self) -> bytes | None:
        """What has queued, as much as is written at once, as soon as there is something; None at the end.

        What stays in the queue is shared with the other watchers; what is taken is the client's own copy.
        """
        while not self._queue:
            if self._ended:
                return None
            self._woken.clear()
            await self._woken.wait()
        taken, size = [], 0
        while self._queue and size < WRITE_BYTES:
            taken.append(self._queue.popleft())
            size += len(taken[-1])
        self._size -= size
        return b"".join(taken)


class WatchService:
    """Answers watches, and knows all watchers. Use as an async context manager: it looks after them
    meanwhile.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watchers: dict[str, set[Watcher]] = {}
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_after())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_all()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(BOOKMARK_SECONDS)
            for watcher in self.watchers:
                watcher.mark(self._store.revision)

    @property
    def watchers(self) -> list[Watcher]:
        """All that are watching now."""
        return [watcher for watchers in self._watchers.values() for watcher in watchers]

    def measure(self, metrics: Metrics) -> None:
        """Lets the metrics show how many clients are watching."""
        gauge = metrics.gauge("apiserver_longrunning_requests", "Requests that stay open.", ("verb",))
        gauge.labels("WATCH").set_function(lambda: len(self.watchers))

    def end_all(self) -> None:
        """Ends every watch: the server is stopping."""
        for watcher in self.watchers:
            watcher.end()

    def end_of(self, storage: str) -> None:
        """Ends the watches of one resource: it is gone."""
        for watcher in self._watchers.get(storage, ()):
            watcher.end()

    def _publish(self, event: Event) -> None:
        frames: Frames = {}
        for watcher in self._watchers.get(event.key.resource, ()):
            watcher.offer(event, frames)

    def _join(self, watcher: Watcher) -> None:
        storage = watcher.view.resource.storage
        if storage not in self._watchers:
            self._watchers[storage] = set()
            self._store.subscribe(storage, self._publish)
        self._watchers[storage].add(watcher)

    async def watch(self, call: Call) -> web.StreamResponse:
        """A stream of changes."""
        info, resource = call.info, call.resource
        form = negotiate(call.request.headers.get("Accept", ""), info.query.get("includeObject", ""))
        options = ListOptions.parse({**info.query, "limit": ""}, resource)
        sends_initial = _sends_initial_events(info.query, options)
        view = View(resource, info.namespace, options, form)
        start = self._start(options)
        timeout = natural(info.query, "timeoutSeconds") or MIN_TIMEOUT * random.uniform(1, 2)  # noqa: S311
        bookmarks = info.query.get("allowWatchBookmarks") in {"1", "true"}
        watcher = Watcher(view, self._store.revision, call.request, bookmarks=bookmarks)
        first = self._first(watcher, start, sends_initial=sends_initial)
        self._join(watcher)
        try:
            return await self._stream(call, watcher, first, timeout)
        finally:
            self._watchers[resource.storage].discard(watcher)

    def _start(self, options: ListOptions) -> int | None:
        """The revision to go on from; None to begin with what there is."""
        revision = revision_number(options.resource_version)
        if revision > self._store.revision:
            raise resource_version_too_large(revision, self._store.revision)
        return revision or None

    def _first(self, watcher: Watcher, start: int | None, *, sends_initial: bool) -> list[bytes]:
        """What the stream begins with: computed at once, so that nothing falls between it and what
        follows.
        """
        view = watcher.view
        storage = view.resource.storage
        if start is None or sends_initial:
            frames = [
                view.added(stored)
                for stored in self._store.scan(storage, view.namespace or None)
                if view.options.selects(view.resource, stored)
            ]
            if sends_initial:
                frames.append(view.bookmark(self._store.revision, initial_end=True))
            return frames
        try:
            events = self._store.history.since(storage, start)
        except CompactedError:
            watcher.refuse(expired(f"too old resource version: {start} ({self._store.revision})"))
            return []
        found = [view.frame(event, {}) for event in events]
        return [encoded for encoded in found if encoded is not None]

    async def _stream(
        self,
        call: Call,
        watcher: Watcher,
        first: list[bytes],
        timeout: float,
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        _responses.warn(response, [call.resource.deprecation])
        request = call.request
        await response.prepare(request)
        if request.transport is not None:  # by default half a megabyte may wait, encrypted for each client
            request.transport.set_write_buffer_limits(WRITE_BYTES)
        for index in range(0, len(first), EVENTS_PER_WRITE):
            await response.write(b"".join(first[index : index + EVENTS_PER_WRITE]))
        ending = asyncio.get_running_loop().call_later(timeout, watcher.end)
        try:
            with suppress(ConnectionError):  # the client is gone: nothing is left to do
                while (data := await watcher.next()) is not None:
                    await response.write(data)
                await response.write_eof()
        finally:
            ending.cancel()
        return response


def _sends_initial_events(query: Mapping[str, str], options: ListOptions) -> bool:
    wanted = query.get("sendInitialEvents")
    causes: list[Cause] = []
    if wanted is None:
        if options.match:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            causes.append(forbidden("resourceVersionMatch", why))
    elif options.match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(forbidden("resourceVersionMatch", why))
    if causes:
        raise invalid_options("ListOptions", causes)
    return wanted in {"1", "true"}
