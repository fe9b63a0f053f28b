"""Watches: changes as a stream of events, each encoded once however many clients watch.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from aiohttp import web

from proa.app import Metrics
from proa.controlplane._errors import Cause, expired, forbidden, resource_version_too_large
from proa.controlplane.registry._options import integer, invalid_options, is_set
from proa.controlplane.storage import CompactedError, Event, Store, Stored

from . import _responses
from ._channel import LEAST_BYTES, Channel, Crowd, Watcher
from ._dispatcher import Call
from ._listing import ListOptions, revision_number
from ._representation import negotiate
from ._view import Frames, View

if TYPE_CHECKING:
    from prometheus_client import Metric

BOOKMARK_SECONDS = 60.0
MIN_TIMEOUT = 1800.0


class WatchService:
    """Answers watches, and knows all watchers. Use as an async context manager: it looks after them
    meanwhile.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._channels: dict[str, dict[tuple[object, ...], Channel]] = {}
        self._crowd = Crowd()
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
        return [watcher for storage in self._channels for watcher in self._watchers_of(storage)]

    def _watchers_of(self, storage: str) -> list[Watcher]:
        channels = self._channels.get(storage, {})
        return [watcher for channel in channels.values() for watcher in channel.watchers]

    def measure(self, metrics: Metrics) -> None:
        """Lets the metrics show how many clients are watching."""
        metrics.add(self)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus sees. Called in a thread."""
        from prometheus_client.core import GaugeMetricFamily

        gauge = GaugeMetricFamily(
            "apiserver_longrunning_requests", "Requests that stay open.", labels=["verb"]
        )
        gauge.add_metric(["WATCH"], self._crowd.count)
        yield gauge

    def end_all(self) -> None:
        """Ends every watch: the server is stopping."""
        for watcher in self.watchers:
            watcher.end()

    def end_of(self, storage: str) -> None:
        """Ends the watches of one resource: it is gone."""
        for watcher in self._watchers_of(storage):
            watcher.end()

    def _publish(self, event: Event) -> None:
        frames: Frames = {}
        for channel in self._channels[event.key.resource].values():
            channel.publish(event, frames)

    def _channel(self, view: View) -> Channel:
        """The channel of a view; new, if nobody has the same."""
        storage = view.resource.storage
        if storage not in self._channels:
            self._channels[storage] = {}
            self._store.subscribe(storage, self._publish)
        return self._channels[storage].setdefault(view.key, Channel(view, self._crowd))

    def _leave(self, watcher: Watcher) -> None:
        watcher.leave()
        channels, key = self._channels[watcher.view.resource.storage], watcher.view.key
        if key in channels and not channels[key].watchers:
            del channels[key]

    async def watch(self, call: Call) -> web.StreamResponse:
        """A stream of changes."""
        info, resource = call.info, call.resource
        form = negotiate(call.request.headers.get("Accept", ""), info.query.get("includeObject", ""))
        options = ListOptions.parse({**info.query, "limit": ""}, resource, watches=True)
        sends_initial = _sends_initial_events(info.query, options)
        start = self._start(options)
        timeout = integer(info.query, "timeoutSeconds") or MIN_TIMEOUT * random.uniform(1, 2)  # noqa: S311
        selectors = info.query.get("labelSelector", ""), info.query.get("fieldSelector", "")
        channel = self._channel(View(resource, info.namespace, options, form, selectors))
        bookmarks = is_set(info.query, "allowWatchBookmarks")
        watcher = Watcher(channel, call.request, bookmarks=bookmarks)
        try:
            first = self._first(watcher, start, sends_initial=sends_initial)
            return await self._stream(call, watcher, first, timeout)
        finally:
            self._leave(watcher)

    def _start(self, options: ListOptions) -> int | None:
        """The revision to go on from; None to begin with what there is."""
        revision = revision_number(options.resource_version)
        if revision > self._store.revision:
            raise resource_version_too_large(revision, self._store.revision)
        return revision or None

    def _first(self, watcher: Watcher, start: int | None, *, sends_initial: bool) -> Iterator[bytes]:
        """What the stream begins with: settled at once, so that nothing falls between it and what follows,
        and encoded as it is sent.
        """
        view, revision = watcher.view, self._store.revision
        storage = view.resource.storage
        if start is None or sends_initial:
            return _initial(
                view, list(self._store.scan(storage, view.namespace or None)), revision, marked=sends_initial
            )
        try:
            events = self._store.history.since(storage, start)
        except CompactedError:
            watcher.refuse(expired(f"too old resource version: {start} ({revision})"))
            return iter(())
        frames = (view.frame(event, {}) for event in events)
        return (encoded for encoded in frames if encoded is not None)

    async def _stream(
        self,
        call: Call,
        watcher: Watcher,
        first: Iterator[bytes],
        timeout: float,
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        if call.resource.deprecation:
            _responses.warn(response, [call.resource.deprecation])
        request = call.request
        await response.prepare(request)
        if request.transport is not None:  # by default half a megabyte may wait, encrypted for each client
            request.transport.set_write_buffer_limits(LEAST_BYTES)
        ending = asyncio.get_running_loop().call_later(timeout, watcher.end)
        try:
            with suppress(ConnectionError):  # the client is gone: nothing is left to do
                for data in _pieces(first, self._crowd):
                    await response.write(data)
                while (more := await watcher.next()) is not None:
                    await response.write(more)
                    await request.writer.drain()  # aiohttp does so by itself only now and then
                await response.write_eof()
        finally:
            ending.cancel()
        return response


def _initial(view: View, objects: list[Stored], revision: int, *, marked: bool) -> Iterator[bytes]:
    """The objects that a view shows, and perhaps the bookmark that says that these were all."""
    for stored in objects:
        if view.options.selects(view.resource, stored):
            yield view.added(stored)
    if marked:
        yield view.bookmark(revision, initial_end=True)


def _pieces(frames: Iterator[bytes], crowd: Crowd) -> Iterator[bytes]:
    """Frames together, as much as is written at once."""
    pieces, size = [], 0
    for encoded in frames:
        pieces.append(encoded)
        size += len(encoded)
        if size >= crowd.piece:
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join(pieces)


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
    return is_set(query, "sendInitialEvents")
