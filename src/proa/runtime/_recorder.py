"""The recorder: Events, as `kubectl describe` and `kubectl get events` show them."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from proa.app import Backoff, logs
from proa.kube import Api, ApiError, Client, KubeError, Merge, NotFoundError
from proa.kube.models import MicroTime, Resource
from proa.kube.models.core_v1 import Event, EventSeries, EventSource, ObjectReference
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime._background import background
from proa.runtime._spam import SpamFilter

__all__ = ["Recorder"]

log = logs.get_logger(__name__)

CAPACITY = 1000
REMEMBERED = 4096
MESSAGE_LENGTH = 1024
FLUSH_SECONDS = 2.0
RETRY = Backoff(initial=0.5, maximum=10.0, factor=2.0, jitter=0.5)
ATTEMPTS = 6
SERIES = timedelta(minutes=6)
"""What happens again later than that after the last time is a new Event, not one more of a series."""


class _Subject(NamedTuple):
    """What happened to what: occurrences with the same subject become one Event with a count."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    field_path: str
    type: str
    reason: str
    message: str
    action: str


@dataclass(slots=True)
class _Occurrences:
    """How often something happened, and when."""

    count: int
    first: MicroTime
    last: MicroTime


@dataclass(slots=True)
class _Recorded:
    """The Event that stands for a subject on the server."""

    name: str
    occurrences: _Occurrences


class Recorder:
    """Records what happens to objects as Events; the same happening again makes a series of them.

    ::

        async with Recorder(client, component="kubelet", host="node-1") as recorder:
            recorder.event(pod, reason="Pulled", message="Successfully pulled image")

    `event` only queues: it never waits and never raises, also when the server is gone. Events that cannot be
    delivered within some attempts, or that exceed the queue, are dropped and counted in `dropped`: Events are
    best effort in all of Kubernetes. So are those of an object that more than 25 different things happen to
    in a short time, beyond one in five minutes.

    Events are written as core/v1 with the fields of events.k8s.io/v1 (`eventTime`, `series`, `action`,
    `reportingInstance`) and the counts of old: they are the same objects, and every reader finds what it
    knows. https://github.com/kubernetes/enhancements/tree/master/keps/sig-instrumentation/383-new-event-api-ga-graduation

    Args:
        client: Where to record.
        component: Who reports, such as "kubelet".
        host: The node that it reports from, or the name of this instance of the component.
        capacity: How many different events may wait.
    """

    def __init__(
        self, client: Client, component: str, host: str | None = None, *, capacity: int = CAPACITY
    ) -> None:
        self.dropped = 0
        self._client = client
        self._component = component
        self._host = host
        self._capacity = capacity
        self._pending: OrderedDict[_Subject, _Occurrences] = OrderedDict()
        self._recorded: OrderedDict[_Subject, _Recorded] = OrderedDict()
        self._spam: SpamFilter[tuple[str, ...]] = SpamFilter()
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._stack = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    def event(
        self,
        regarding: Resource | ObjectReference,
        *,
        reason: str,
        message: str,
        type: Literal["Normal", "Warning"] = "Normal",  # noqa: A002 - the field's name
        action: str | None = None,
    ) -> None:
        """Record that `reason` happened to `regarding`.

        Args:
            regarding: The object, or a reference to it (whose `field_path` can name one container).
            reason: Why, in one CamelCase word, such as "FailedScheduling".
            message: A sentence for people.
            type: "Warning" for what needs attention.
            action: What was done or tried, in one CamelCase word; by default the reason.
        """
        if self._closing.is_set():
            return
        now = _now()
        subject = _subject(regarding, type, reason, message[:MESSAGE_LENGTH], action)
        pending = self._pending.get(subject)
        if pending is not None:
            pending.count += 1
            pending.last = now
        elif not self._spam.admits(subject[:5], asyncio.get_running_loop().time()):
            self._drop("too many events about one object")
        elif len(self._pending) < self._capacity:
            self._pending[subject] = _Occurrences(1, now, now)
            self._changed.set()
        else:
            self._drop("the queue is full")

    async def __aenter__(self) -> Self:
        self._task = await self._stack.enter_async_context(background(self._run(), "record events"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Deliver what waits, within two seconds; what fails now is dropped."""
        self._closing.set()
        self._changed.set()
        async with self._stack:
            if self._task is not None:
                await asyncio.wait([self._task], timeout=FLUSH_SECONDS)

    async def _run(self) -> None:
        while self._pending or not self._closing.is_set():
            while self._pending:
                await self._deliver(*self._pending.popitem(last=False))
            self._changed.clear()
            if not self._closing.is_set():
                await self._changed.wait()

    async def _deliver(self, subject: _Subject, occurrences: _Occurrences) -> None:
        timer = RETRY.start()
        while True:
            try:
                await self._record(subject, occurrences)
                return
            except KubeError as error:
                final = isinstance(error, ApiError) and error.code < 500 and error.code != 429
                if final or timer.attempts >= ATTEMPTS or self._closing.is_set():
                    self._drop(str(error))
                    return
            await self._pause(timer.next())

    async def _pause(self, seconds: float) -> None:
        """Wait before another attempt; leaving cuts it short, so that a dead server holds nothing up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def _record(self, subject: _Subject, occurrences: _Occurrences) -> None:
        events = Api(self._client, Event, namespace=subject.namespace or "default")
        recorded = self._recorded.pop(subject, None)
        if recorded is not None and occurrences.first - recorded.occurrences.last < SERIES:
            total = _sum(recorded.occurrences, occurrences)
            try:
                await events.patch(recorded.name, Merge(_again(total)))
            except NotFoundError:
                pass  # Events expire; the next one starts anew
            else:
                self._remember(subject, _Recorded(recorded.name, total))
                return
        event = self._new(subject, occurrences)
        await events.create(event)
        self._remember(subject, _Recorded(event.metadata.name or "", occurrences))

    def _remember(self, subject: _Subject, recorded: _Recorded) -> None:
        self._recorded[subject] = recorded
        if len(self._recorded) > REMEMBERED:
            self._recorded.popitem(last=False)

    def _new(self, subject: _Subject, occurrences: _Occurrences) -> Event:
        return Event(
            metadata=ObjectMeta(
                name=f"{subject.name}.{secrets.token_hex(8)}", namespace=subject.namespace or "default"
            ),
            involved_object=ObjectReference(
                api_version=subject.api_version,
                kind=subject.kind,
                namespace=subject.namespace or None,
                name=subject.name,
                uid=subject.uid or None,
                field_path=subject.field_path or None,
            ),
            type=subject.type,
            reason=subject.reason,
            message=subject.message,
            action=subject.action or subject.reason,
            event_time=occurrences.first,
            series=_series(occurrences) if occurrences.count > 1 else None,
            count=occurrences.count,
            first_timestamp=_seconds(occurrences.first),
            last_timestamp=_seconds(occurrences.last),
            source=EventSource(component=self._component, host=self._host),
            reporting_component=self._component,
            reporting_instance=self._host or self._component,
        )

    def _drop(self, why: str) -> None:
        self.dropped += 1
        log.debug("event dropped", component=self._component, reason=why)


def _subject(
    regarding: Resource | ObjectReference, type_: str, reason: str, message: str, action: str | None
) -> _Subject:
    of = regarding.metadata if isinstance(regarding, Resource) else regarding
    return _Subject(
        api_version=regarding.api_version or "",
        kind=regarding.kind or "",
        namespace=of.namespace or "",
        name=of.name or "",
        uid=of.uid or "",
        field_path="" if isinstance(regarding, Resource) else regarding.field_path or "",
        type=type_,
        reason=reason,
        message=message,
        action=action or "",
    )


def _again(total: _Occurrences) -> dict[str, Any]:
    return {"count": total.count, "lastTimestamp": _seconds(total.last), "series": _series(total)}


def _series(total: _Occurrences) -> EventSeries:
    return EventSeries(count=total.count, last_observed_time=total.last)


def _now() -> MicroTime:
    return MicroTime.fromtimestamp(datetime.now(UTC).timestamp(), UTC)


def _seconds(time: datetime) -> datetime:
    return datetime.fromtimestamp(int(time.timestamp()), UTC)


def _sum(before: _Occurrences, more: _Occurrences) -> _Occurrences:
    return _Occurrences(before.count + more.count, before.first, more.last)
