"""Helpers for tests of services: virtual time, captured logs, a guard against blocking the loop."""

import asyncio
import contextlib
import functools
import logging
import selectors
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

from proa.app import logs
from proa.app._log_sink import Sink

__all__ = [
    "DeadlockError",
    "RunawayError",
    "VirtualTimeLoop",
    "capture_logs",
    "no_blocking",
    "run_virtual",
    "virtual_time",
]

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")


class DeadlockError(RuntimeError):
    """Every task waits for something that cannot happen any more."""


class RunawayError(RuntimeError):
    """The work of one moment has no end: each step makes the next one, and time stands still."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while there is work, and jumps to the next timer else.

    An hour of sleeping takes no time, and timers fire in the order of their deadlines. Where nothing is ready
    and no timer is set, `DeadlockError` is raised instead of waiting for ever; `RunawayError` where the work
    of one moment has gone on for `LONGEST_MOMENT` turns of the loop.

    Work in threads (`asyncio.to_thread`) is waited for in real time. Sockets work, but what another process
    answers may arrive after the clock has jumped: keep those out of tests in virtual time.
    """

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._clock.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a call in a thread; the clock waits for it."""
        future = super().run_in_executor(executor, func, *args)
        self._clock.threads += 1
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self) -> None:
        """End the thread pool, in a thread that the clock waits for too."""
        self._clock.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._clock.threads -= 1

    def _thread_ended(self, _future: asyncio.Future[Any]) -> None:
        self._clock.threads -= 1


LONGEST_MOMENT = 100_000
"""Turns of the loop; the busiest moment of a simulated cluster takes some hundreds."""


class _Clock(selectors.DefaultSelector):
    """A selector that reports what is ready without waiting, and lets virtual time pass when nothing is."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads = 0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if self._turns > LONGEST_MOMENT:
            self._turns = 0  # for what the tasks do when they are cancelled
            raise RunawayError(f"{LONGEST_MOMENT:,} turns of the loop, and it is still {self.now:.3f} s")
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if ready := super().select(None if self.threads else 0):
            return ready
        if timeout is None:
            raise DeadlockError("nothing is ready and no timer is set: every task waits for another")
        self.now += timeout
        self._turns = 0
        return ready


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time, as `asyncio.run` would in real time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Decorate an async test, or any coroutine function, to run in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run


@contextlib.contextmanager
def capture_logs(level: logs.Level = "debug") -> Iterator[list[Mapping[str, Any]]]:
    """Collect log events instead of writing them.

    Yields:
        The events so far: `level`, `logger`, `event`, and the fields as they were given.
    """
    events: list[Mapping[str, Any]] = []

    def collect(number: int, name: str, event: str, fields: dict[str, Any]) -> None:
        events.append(
            {**fields, "level": logging.getLevelName(number).lower(), "logger": name, "event": event}
        )

    before = logs.use_sink(Sink(logging.getLevelName(level.upper()), collect))
    try:
        yield events
    finally:
        logs.use_sink(before)


@contextlib.contextmanager
def no_blocking(*modules: str) -> Iterator[None]:
    """Raise `blockbuster.BlockingError` where the named modules block the event loop; needs `blockbuster`.

    Make it an autouse fixture::

        @pytest.fixture(autouse=True)
        def _no_blocking() -> Iterator[None]:
            with testing.no_blocking("proa.runtime"):
                yield
    """
    # Reads /proc when it is imported: taken for blocking if a test were the first to import it.
    import prometheus_client  # noqa: F401
    from blockbuster import blockbuster_ctx

    with blockbuster_ctx(list(modules) or "proa"):
        yield
