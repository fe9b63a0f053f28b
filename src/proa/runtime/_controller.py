"""The controller: calls a reconciler for each object that something happened to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

from proa.app import Backoff, Metrics, logs
from proa.kube.models import Resource
from proa.runtime._background import background
from proa.runtime._dispatcher import Dispatcher
from proa.runtime._events import Apply, Delete, Event, InitApply, InitDone
from proa.runtime._metrics import ControllerMetrics
from proa.runtime._object import K, ObjectRef
from proa.runtime._reflector import Reflector
from proa.runtime._store import Store
from proa.runtime._trace import Reason, Run, Trace, What
from proa.runtime._triggers import Mapper, Trigger, owners
from proa.runtime._watcher import Source
from proa.runtime.predicates import Changes, Predicate

log = logs.get_logger(__name__)

O = TypeVar("O", bound=Resource)  # noqa: E741 - stands beside K

RETRY = Backoff(initial=0.005, maximum=300.0, factor=2.0, jitter=0.1)


@dataclass(frozen=True, slots=True)
class Action:
    """What a reconciler wants next for its object, besides being called when something changes."""

    requeue_after: float | None = None

    @classmethod
    def requeue(cls, seconds: float) -> Self:
        """Call again in `seconds`, or earlier if something changes."""
        return cls(seconds)

    @classmethod
    def await_change(cls) -> Self:
        """Call again only when something changes."""
        return cls()


Reconciler: TypeAlias = Callable[[ObjectRef], Awaitable[Action]]


@dataclass(frozen=True, slots=True)
class Statistics:
    """A controller's counters since it was made, and what it has before it.

    Attributes:
        waiting: Objects whose turn has not come: due, delayed or held back because they are being reconciled.
        running: Objects being reconciled.
        reconciles: Reconciliations that ended, well or not.
        failures: Those of them that raised.
    """

    waiting: int
    running: int
    reconciles: int
    failures: int


class Controller(Generic[K]):
    """Calls `reconcile` with the name of each object that something happened to.

    ::

        async with Controller(Api(client, Website), reconcile).owns(Api(client, Deployment)):
            ...

    Guarantees: an object is never reconciled twice at the same time; requests for it that come meanwhile
    lead to one more run; no run starts before every store is filled; an object's deletion is a reason to
    reconcile it too (its name is then no longer in the store); when a watch was lost and its kind had to be
    listed anew, all objects of the main kind are reconciled, as what happened meanwhile is unknown. Not
    guaranteed: one run for each change.

    A reconciler that raises is called again after a delay of its object's own, 5 ms at first and doubling
    up to five minutes, or earlier when something changes. It can be cancelled at any await when the
    controller stops.

    Args:
        source: The main kind: an `Api`, or a `Reflector` shared with others, which must be running by itself.
        reconcile: Brings the world closer to what the object says; must be idempotent.
        name: What the controller is called in logs.
        concurrency: How many objects are reconciled at the same time.
        backoff: The delays after failures of one object.
        grace: Seconds that runs under way have to finish when the controller stops.
        on: Which changes of the main kind matter, such as `predicates.generation`; by default all do.
        debounce: Seconds of quiet to wait for before an object that changes is reconciled; it never waits
            more than ten times as long.
        metrics: Where to count, under the controller's name.
    """

    def __init__(
        self,
        source: Source[K] | Reflector[K],
        reconcile: Reconciler,
        *,
        name: str = "controller",
        concurrency: int = 16,
        backoff: Backoff = RETRY,
        grace: float = 5.0,
        on: Predicate[K] | None = None,
        debounce: float = 0.0,
        metrics: Metrics | None = None,
    ) -> None:
        self._name = name
        self._reconcile = reconcile
        self._dispatcher = Dispatcher(
            self._run_one, concurrency=concurrency, backoff=backoff, grace=grace, debounce=debounce
        )
        self._trace = Trace()
        self._metrics = None if metrics is None else ControllerMetrics.of(metrics)
        if self._metrics is not None:
            self._metrics.follow(name, lambda: self._dispatcher.waiting, lambda: self._dispatcher.running)
        self._started_here: list[Reflector[Any]] = []
        self._follow: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._stores: list[Store[Any]] = []
        self._filling: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()
        self._reconciles = 0
        self._failures = 0
        main = self._adopt(source)
        self._follow.append(lambda: self._follow_source(main, _itself, on))
        self._kind = main.type.resource
        self.store = main.store
        """The objects of the main kind as last seen."""

    def owns(self, source: Source[O] | Reflector[O], *, on: Predicate[O] | None = None) -> Self:
        """Reconcile also when something happens to an object whose controlling owner is of the main kind.

        Args:
            source: The kind of the owned objects.
            on: Which of their changes matter; by default all do. A change of owner always does.
        """
        return self.watches(source, lambda obj: owners(obj, self._kind), on=on)

    def watches(
        self,
        source: Source[O] | Reflector[O],
        mapper: Mapper[O],
        *,
        on: Predicate[O] | None = None,
        collect: float | Callable[[ObjectRef], float] = 0.0,
    ) -> Self:
        """Reconcile also when something happens to an object of another kind.

        Args:
            source: The other kind.
            mapper: Which objects of the main kind it concerns. Those it concerned before are reconciled too.
            on: Which of its changes matter; by default all do. A change of what the mapper says always does.
            collect: Seconds after a change in which further ones lead to the same run, for objects that a
                thousand others can concern at once; or what gives them for an object of the main kind.
        """
        reflector = self._adopt(source)
        matters = None if on is None else _or_mapping(on, mapper)
        self._follow.append(lambda: self._follow_source(reflector, Trigger(mapper).refs, matters, collect))
        return self

    def request(self, ref: ObjectRef, delay: float = 0.0) -> None:
        """Reconcile `ref` for a reason of the caller's own, in `delay` seconds or earlier."""
        self._ask(ref, Reason("requested", self._kind.kind, ref), delay)

    def trace(self) -> tuple[Run, ...]:
        """Return the last 500 runs with their reasons, oldest first."""
        return tuple(self._trace.runs)

    def statistics(self) -> Statistics:
        """Return the counters as they are now."""
        return Statistics(
            self._dispatcher.waiting, self._dispatcher.running, self._reconciles, self._failures
        )

    async def run(self) -> None:
        """Reconcile until `stop` is called; runs under way are given their grace, then cancelled.

        Cancelling this cancels them at once.
        """
        async with AsyncExitStack() as parts:
            for reflector in self._started_here:
                await parts.enter_async_context(reflector)
            for follow in self._follow:
                await parts.enter_async_context(background(follow(), f"{self._name}: follow"))
            self._filling = await parts.enter_async_context(background(self._fill(), f"{self._name}: fill"))
            if not self._dispatcher.stopping:  # it may have been stopped before it got this far
                await asyncio.wait([self._filling])
            await self._dispatcher.run()

    def stop(self) -> None:
        """Begin no new run; `run` returns when those under way have ended."""
        self._dispatcher.stop()
        if self._filling is not None:
            self._filling.cancel()

    async def __aenter__(self) -> Self:
        """Run in the background."""
        self._running = await self._stack.enter_async_context(background(self.run(), self._name))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop, and wait until that is done."""
        self.stop()
        async with self._stack:
            if self._running is not None:
                await asyncio.wait([self._running])

    async def _fill(self) -> None:
        for store in self._stores:
            await store.ready()

    def _adopt(self, source: Source[O] | Reflector[O]) -> Reflector[O]:
        if not isinstance(source, Reflector):
            source = Reflector(source)
            self._started_here.append(source)
        self._stores.append(source.store)
        return source

    async def _follow_source(
        self,
        reflector: Reflector[O],
        refs: Callable[[Event[O]], Iterable[ObjectRef]],
        on: Predicate[O] | None,
        collect: float | Callable[[ObjectRef], float] = 0.0,
    ) -> None:
        changes = None if on is None else Changes(on)
        kind = reflector.type.resource.kind
        listed = False
        async for event in reflector.subscribe():
            if isinstance(event, InitDone):
                if listed:
                    self._ask_for_all(kind)
                listed = True
            if isinstance(event, InitApply | Apply | Delete) and (changes is None or changes.matters(event)):
                reason = Reason(_WHAT[type(event)], kind, ObjectRef.of(event.obj))
                for ref in refs(event):
                    self._ask(ref, reason, collect(ref) if callable(collect) else collect)

    def _ask_for_all(self, kind: str) -> None:
        """Look at everything: an owned object that came and went unseen is missed by nobody else."""
        for obj in self.store:
            ref = ObjectRef.of(obj)
            self._ask(ref, Reason("relisted", kind, ref))

    def _ask(self, ref: ObjectRef, reason: Reason, delay: float = 0.0) -> None:
        self._trace.add(ref, reason, _now())
        self._dispatcher.add(ref, delay)

    async def _run_one(self, ref: ObjectRef) -> float | None:
        began = _now()
        waited, reasons = self._trace.begin(ref, began)
        error: str | None = None
        try:
            again_after = (await self._reconcile(ref)).requeue_after
        except asyncio.CancelledError:
            error = "cancelled"
            raise
        except Exception as raised:
            error = str(raised) or type(raised).__name__
            self._again("retried", ref)
            log.warning(
                "reconcile failed",
                controller=self._name,
                object=str(ref),
                error=error,
                reasons=[str(reason) for reason in reasons],
            )
            raise
        else:
            if again_after is not None:
                self._again("requeued", ref)
            return again_after
        finally:
            self._ran(Run(ref, reasons, waited, _now() - began, error))

    def _again(self, what: What, ref: ObjectRef) -> None:
        self._trace.add(ref, Reason(what, self._kind.kind, ref), _now())

    def _ran(self, run: Run) -> None:
        self._reconciles += 1
        self._failures += run.error is not None
        self._trace.runs.append(run)
        if self._metrics is not None:
            self._metrics.ran(self._name, run.waited, run.took, failed=run.error is not None)


_WHAT: dict[type, What] = {InitApply: "listed", Apply: "applied", Delete: "deleted"}


def _itself(event: Event[K]) -> tuple[ObjectRef, ...]:
    return (ObjectRef.of(event.obj),) if isinstance(event, InitApply | Apply | Delete) else ()


def _or_mapping(on: Predicate[O], mapper: Mapper[O]) -> Predicate[O]:
    return lambda obj: (on(obj), frozenset(mapper(obj)))


def _now() -> float:
    return asyncio.get_running_loop().time()
