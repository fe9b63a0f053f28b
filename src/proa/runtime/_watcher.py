"""The watcher: lists, watches and keeps doing so; `_machine`, `_known` and `_pacing` make its decisions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic, Protocol, TypeAlias

from proa.app import Backoff, logs
from proa.kube import Bookmark, GoneError, InvalidError, KubeError, Page, WatchEvent
from proa.kube.errors import BadRequestError
from proa.runtime._events import Event
from proa.runtime._known import Known
from proa.runtime._machine import (
    Began,
    Bookmarked,
    Changed,
    Deleted,
    Empty,
    Input,
    Listed,
    Listing,
    State,
    Streaming,
    Watching,
    step,
)
from proa.runtime._object import K
from proa.runtime._pacing import Pacing

log = logs.get_logger(__name__)

PAGE_SIZE = 500
WATCH_SECONDS = 290
BACKOFF = Backoff(initial=0.8, maximum=30.0, factor=2.0, jitter=0.5)

ErrorHandler: TypeAlias = Callable[[KubeError], None]

Transform: TypeAlias = Callable[[K], K]
"""Makes of an object what is kept of it. It may change the object in place, but not its name, namespace, uid
or resourceVersion."""


class Source(Protocol[K]):
    """What can be listed and watched: `proa.kube.Api`, or a script in a test."""

    @property
    def type(self) -> type[K]: ...

    async def list_page(
        self,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = None,
        continue_: str | None = None,
    ) -> Page[K]: ...

    def watch(
        self,
        resource_version: str,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout: int = WATCH_SECONDS,
        initial_events: bool = False,
    ) -> AsyncGenerator[WatchEvent[K] | Bookmark, None]: ...


async def watcher(
    source: Source[K],
    *,
    label_selector: str | None = None,
    field_selector: str | None = None,
    backoff: Backoff = BACKOFF,
    on_error: ErrorHandler | None = None,
    transform: Transform[K] | None = None,
    streaming: bool = False,
) -> AsyncGenerator[Event[K], None]:
    """List the objects of `source`, then follow their changes, forever.

    Yields Init, an InitApply for each object, InitDone, and from then on Apply and Delete. When the server
    has forgotten where the watch stood (410 Gone), all of that begins anew, with a Delete for each object
    that vanished meanwhile.

    Guarantees: every object's last state is told of, in the server's order for each object; every deletion
    is told of exactly once. Not guaranteed: every intermediate state. No failure ends it: each is logged,
    handed to `on_error` and followed by a pause that grows until a watch works again. Only closing or
    cancelling it does.

    Args:
        source: An `Api`: of one namespace, of all, or of a cluster-scoped kind.
        label_selector: Which objects to follow, by label. One that stops matching is told of as a Delete.
        field_selector: Which objects to follow, by field.
        backoff: The pauses after failures in a row.
        on_error: Called with each failure; must not raise.
        transform: Applied to each object before anything keeps it, to drop what is not needed.
        streaming: Let the server stream lists through the watch (KEP-3157, in Kubernetes 1.34 by default)
            instead of asking for pages; a server that refuses is asked for pages.
    """
    fresh: State = Streaming() if streaming else Empty()
    state = fresh
    known: Known[K] = Known()
    pacing = Pacing(backoff)
    conversation: _Conversation[K] = _Conversation(source, label_selector, field_selector, transform)
    now = asyncio.get_running_loop().time
    while True:
        watching = isinstance(state, Watching | Streaming)
        pacing.began(now())
        try:
            async with aclosing(conversation.ask(state)) as answers:
                async for received in answers:
                    if watching:
                        pacing.delivered()
                    state, events = step(state, received)
                    for event in known.complete(events):
                        yield event
                    if isinstance(state, Empty):
                        break
            pause = pacing.ended(now()) if watching else 0.0
        except KubeError as error:
            if isinstance(state, Streaming) and isinstance(error, InvalidError | BadRequestError):
                fresh = state = Empty()
                continue
            if isinstance(error, GoneError):
                state = fresh
            pause = pacing.failed()
            _report(error, pause, pacing.failures, on_error)
        await asyncio.sleep(pause)


class _Conversation(Generic[K]):
    """Turns what the state machine wants into requests, and the answers into its inputs."""

    def __init__(
        self,
        source: Source[K],
        label_selector: str | None,
        field_selector: str | None,
        transform: Transform[K] | None,
    ) -> None:
        self._source = source
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._transform = transform

    async def ask(self, state: State) -> AsyncGenerator[Input[K], None]:
        match state:
            case Empty():
                yield await self._list(None)
            case Listing(continue_):
                yield await self._list(continue_)
            case Streaming():
                yield Began()
                async with aclosing(self._watch("", initial_events=True)) as answers:
                    async for answer in answers:
                        yield answer
            case Watching(resource_version):
                async with aclosing(self._watch(resource_version)) as answers:
                    async for answer in answers:
                        yield answer

    async def _list(self, continue_: str | None) -> Listed[K]:
        page = await self._source.list_page(
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            limit=PAGE_SIZE,
            continue_=continue_,
        )
        items = page.items if self._transform is None else [self._transform(obj) for obj in page.items]
        return Listed(items, page.resource_version, page.continue_)

    async def _watch(
        self, resource_version: str, *, initial_events: bool = False
    ) -> AsyncGenerator[Input[K], None]:
        stream = self._source.watch(
            resource_version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout=WATCH_SECONDS,
            initial_events=initial_events,
        )
        async with aclosing(stream) as events:
            async for event in events:
                yield self._understood(event)

    def _understood(self, event: WatchEvent[K] | Bookmark) -> Input[K]:
        if isinstance(event, Bookmark):
            return Bookmarked(event.resource_version, event.initial_events_end)
        obj = event.object if self._transform is None else self._transform(event.object)
        return Deleted(obj) if event.type == "DELETED" else Changed(obj)


def _report(error: KubeError, pause: float, failures: int, on_error: ErrorHandler | None) -> None:
    # The first failure in a row is news; those that follow would only fill the log.
    tell = log.warning if failures == 1 and not isinstance(error, GoneError) else log.debug
    tell("watch failed", error=str(error), retry_in=round(pause, 1))
    if on_error is not None:
        on_error(error)
