"""The life of a process: parts started together, stopped in reverse order, in bounded time.

A part is an async context manager: entered it works, exited it has stopped. Each part lives in a task of its
own, so a part may use task groups and timeouts inside, and fails alone until the `App` hears of it::

    async def main(app: App) -> None:
        store = await app.start("store", Store.open(path))
        await app.start_all({"api": listen(api(store)), "gc": collect_garbage(store)})
        await app.run_until_stopped()

    sys.exit(run(main))

SIGTERM or SIGINT sets `App.stopping`; a second one ends the process at once. Exit codes: what `main` returns
(None is 0, also after a stop by signal), a `ProaError`'s own, 1 for any other failure, 128 plus the signal's
number when forced.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self, TypeVar

from proa.app import garbage, logs
from proa.app._part import Part, end
from proa.app.errors import ProaError, leaves, report
from proa.app.health import Health
from proa.app.metrics import Metrics

__all__ = ["App", "run", "run_async"]

T = TypeVar("T")
Main = Callable[["App"], Awaitable[int | None]]

log = logs.get_logger(__name__)


class App:
    """The parts of one process, and the word to stop.

    Use it as an async context manager (`run` does): leaving it stops all parts, last started first.

    Attributes:
        stopping: Set once the process should end: by a signal, by `stop`, or by a part's failure.
        health: The process's checks. Readiness fails as soon as `stopping` is set.
        metrics: The process's metrics.
        exit_code: 0 until a part fails, then 1.
        shutdown_timeout: Seconds that each part may take to stop, where `start` says nothing else.
        abandoned: The names of parts that did not even end when cancelled; their tasks may still be there.
    """

    def __init__(self, shutdown_timeout: float = 10.0) -> None:
        self.stopping = asyncio.Event()
        self.health = Health()
        self.metrics = Metrics()
        self.exit_code = 0
        self.shutdown_timeout = shutdown_timeout
        self.abandoned: list[str] = []
        self._parts: list[Part[Any]] = []
        self.health.add_readiness("shutdown", lambda: not self.stopping.is_set())

    async def start(
        self, name: str, part: AbstractAsyncContextManager[T], *, stop_timeout: float | None = None
    ) -> T:
        """Enter a part and return its value.

        Args:
            name: What logs call the part.
            part: The part; it is exited after every part started later.
            stop_timeout: Seconds its exit may take; the application's `shutdown_timeout` by default.

        Raises:
            CancelledError: The process was told to stop before the part was ready; the part was cancelled.
            BaseException: Whatever the part's start raised.
        """
        started = await self._start_together({name: part}, stop_timeout)
        value: T = started[name]
        return value

    async def start_all(self, parts: Mapping[str, AbstractAsyncContextManager[Any]]) -> dict[str, Any]:
        """Enter parts concurrently and return their values by name, once all are ready.

        When one fails, those still starting are cancelled, those started stopped, and its error is raised.
        """
        return await self._start_together(parts, None)

    async def _start_together(
        self, contexts: Mapping[str, AbstractAsyncContextManager[Any]], stop_timeout: float | None
    ) -> dict[str, Any]:
        bound = self.shutdown_timeout if stop_timeout is None else stop_timeout
        parts = [Part(name, context, bound, self._on_failure) for name, context in contexts.items()]
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            await self._await_started(parts, stopping)
        except BaseException:
            await self._stop_parts(parts)
            raise
        finally:
            stopping.cancel()
        self._parts.extend(parts)
        return {part.name: part.started.result() for part in parts}

    @staticmethod
    async def _await_started(parts: "list[Part[Any]]", stopping: "asyncio.Future[Any]") -> None:
        waiting: set[asyncio.Future[Any]] = {part.started for part in parts}
        while waiting and not stopping.done():
            done, _ = await asyncio.wait({*waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            waiting -= done
            for part in parts:
                if part.started in done:
                    part.started.result()
        if waiting:
            raise asyncio.CancelledError("told to stop while starting")

    def stop(self, reason: str) -> None:
        """Begin the ordered shutdown; further calls change nothing."""
        if not self.stopping.is_set():
            log.info("stopping", reason=reason)
            self.stopping.set()

    async def run_until_stopped(self) -> None:
        """Wait for the word to stop."""
        await self.stopping.wait()

    def _on_failure(self, name: str, error: BaseException) -> None:
        self.exit_code = 1
        if all(isinstance(cause, ProaError) for cause in leaves(error)):
            log.error("part failed", part=name, error="; ".join(str(cause) for cause in leaves(error)))
        else:
            log.error("part failed", part=name, exc_info=error)
        self.stop(f"{name} failed")

    async def _stop_parts(self, parts: "list[Part[Any]]") -> None:
        for part in reversed(parts):
            if not await part.stop():
                self.abandoned.append(part.name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopping.set()
        await self._stop_parts(self._parts)


def run(main: Main, *, shutdown_timeout: float = 10.0) -> int:
    """Run an application on a loop of its own (uvloop where it is installed) and return its exit code.

    It belongs in the main thread of a program, once. Besides the loop it sets up garbage collection for a
    server (the default costs most of the time of decoding large lists), and flushes the logs at the end.

    Args:
        main: Starts parts and returns when the process is to end. Told to stop while it waits for something
            other than `run_until_stopped`, it has `shutdown_timeout` seconds before it is cancelled.
        shutdown_timeout: Seconds that `main`, and then each part, may take to end. What takes longer is
            logged and left behind.
    """
    garbage.tune()
    app = App(shutdown_timeout)
    with contextlib.ExitStack() as stack:
        runner = asyncio.Runner(loop_factory=_loop_factory())
        stack.callback(logs.flush)
        stack.callback(runner.close)
        code = runner.run(_run(app, main, signals=True))
        if not runner.run(_join_threads(shutdown_timeout)):
            app.abandoned.append("threads")
        if app.abandoned:
            # Closing the loop would wait for what has just been given up on.
            log.error("left behind", parts=app.abandoned)
            _exit_now(code or 1)
    return code


async def run_async(main: Main, *, shutdown_timeout: float = 10.0, signals: bool = True) -> int:
    """Run an application on the loop that is already running, as `run` does, and return its exit code.

    Without `signals` the handlers of SIGTERM and SIGINT are left alone; with them it must be called in the
    main thread, and the earlier handlers are restored at the end.
    """
    return await _run(App(shutdown_timeout), main, signals=signals)


async def _run(app: App, main: Main, *, signals: bool) -> int:
    with _obeying_signals(app) if signals else contextlib.nullcontext():
        try:
            async with app:
                result = await _supervise(app, main)
        except Exception as error:  # noqa: BLE001 - the last resort of a process
            return _report_failure(error)
    return app.exit_code or result or 0


async def _supervise(app: App, main: Main) -> int | None:
    """Await main; once told to stop, only as long as the shutdown may take."""
    task = asyncio.ensure_future(main(app))
    stopping = asyncio.ensure_future(app.stopping.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({task}, timeout=app.shutdown_timeout)
        if not task.done():
            log.warning("main did not return in time; cancelling it", seconds=app.shutdown_timeout)
    finally:
        stopping.cancel()
        if not await end(task):
            app.abandoned.append("main")
    if task.cancelled() and not app.stopping.is_set():
        raise RuntimeError("main was cancelled, and not because the process was told to stop")
    return task.result() if task.done() and not task.cancelled() else None


async def _join_threads(timeout: float) -> bool:
    """End the loop's thread pool; False when a thread is still busy after `timeout` seconds."""
    joining = asyncio.ensure_future(asyncio.get_running_loop().shutdown_default_executor())
    await asyncio.wait({joining}, timeout=timeout)
    return joining.done()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        from proa.app.loop import Loop
    except ImportError:
        return None
    return Loop


@contextlib.contextmanager
def _obeying_signals(app: App) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    # A handler of `signal`, not of the loop: the second signal must work even when the loop is stuck.
    def handle(number: int, _frame: FrameType | None) -> None:
        if seen:
            log.warning("stopped at once by a second signal")
            _exit_now(128 + number)
        seen.append(number)
        loop.call_soon_threadsafe(app.stop, signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_now(code: int) -> NoReturn:
    """End the process without waiting for threads and tasks."""
    logs.flush(0.5)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    os._exit(code)


def _report_failure(error: Exception) -> int:
    """Tell the user of their mistakes in a line each, and of a defect with its traceback."""
    causes = list(leaves(error))
    expected = [cause for cause in causes if isinstance(cause, ProaError)]
    if len(expected) < len(causes):
        log.error("failed unexpectedly", exc_info=error)
    logs.flush()
    return max([1, *(report(cause) for cause in expected)]) if expected else 1
