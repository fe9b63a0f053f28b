import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import ClassVar

import pytest

from proa.app import App, ProaError
from proa.app.lifecycle import run_async
from proa.app.testing import capture_logs, virtual_time


class FailingStart(contextlib.AbstractAsyncContextManager[None]):
    def __init__(self, error: Exception, after: float = 0) -> None:
        self.error = error
        self.after = after

    async def __aenter__(self) -> None:
        await asyncio.sleep(self.after)
        raise self.error

    async def __aexit__(self, *_: object) -> None:
        pytest.fail("exited without having been entered")


class Diary:
    """Makes parts that note when they start and stop."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextlib.asynccontextmanager
    async def part(self, name: str, start: float = 0, stop: float = 0) -> AsyncIterator[str]:
        try:
            await asyncio.sleep(start)
            self.lines.append(f"{name} started")
            yield name
        finally:
            await asyncio.sleep(stop)
            self.lines.append(f"{name} stopped")

    @contextlib.asynccontextmanager
    async def failing_later(self, error: Exception, after: float) -> AsyncIterator[None]:
        async def fail() -> None:
            await asyncio.sleep(after)
            raise error

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            yield


@pytest.fixture
def diary() -> Diary:
    return Diary()


class BadInputError(ProaError):
    exit_code: ClassVar[int] = 2


@virtual_time
async def test_parts_stop_in_reverse_order(diary: Diary) -> None:
    async def main(app: App) -> None:
        assert await app.start("a", diary.part("a")) == "a"
        assert await app.start_all({"b": diary.part("b", start=2), "c": diary.part("c", start=1)}) == {
            "b": "b",
            "c": "c",
        }

    assert await run_async(main, signals=False) == 0
    assert diary.lines == ["a started", "c started", "b started", "c stopped", "b stopped", "a stopped"]


@virtual_time
async def test_starts_run_together(diary: Diary) -> None:
    async with App() as app:
        await app.start_all({name: diary.part(name, start=5) for name in "abc"})
        assert asyncio.get_running_loop().time() == pytest.approx(5)


@virtual_time
async def test_the_exit_code_is_what_main_returns() -> None:
    async def main(_app: App) -> int:
        return 7

    assert await run_async(main, signals=False) == 7


@virtual_time
async def test_a_failing_start_stops_those_started_and_cancels_those_starting(diary: Diary) -> None:
    async def main(app: App) -> None:
        await app.start("a", diary.part("a"))
        parts = {
            "b": diary.part("b"),
            "slow": diary.part("slow", start=100),
            "bad": FailingStart(BadInputError("no"), after=1),
        }
        await app.start_all(parts)

    assert await run_async(main, signals=False) == 2
    assert diary.lines == ["a started", "b started", "slow stopped", "b stopped", "a stopped"]
    assert asyncio.get_running_loop().time() == pytest.approx(1)


@virtual_time
async def test_of_several_failing_starts_one_is_raised_and_none_is_left_unseen(diary: Diary) -> None:
    async with App() as app:
        with pytest.raises(BadInputError):
            await app.start_all({n: FailingStart(BadInputError(n)) for n in "ab"})


@virtual_time
async def test_a_user_error_is_one_line_on_stderr(diary: Diary, capsys: pytest.CaptureFixture[str]) -> None:
    async def main(app: App) -> None:
        await app.start("a", FailingStart(BadInputError("pod.yaml: line 3: no such field: nmae")))

    assert await run_async(main, signals=False) == 2
    assert capsys.readouterr().err == "proa: pod.yaml: line 3: no such field: nmae\n"


@virtual_time
async def test_user_errors_of_a_task_group_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    async def main(_app: App) -> None:
        raise ExceptionGroup("several", [ProaError("one"), ExceptionGroup("more", [BadInputError("two")])])

    assert await run_async(main, signals=False) == 2
    assert capsys.readouterr().err == "proa: one\nproa: two\n"


@virtual_time
async def test_a_defect_is_logged_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    async def main(_app: App) -> None:
        raise ZeroDivisionError

    with capture_logs() as events:
        assert await run_async(main, signals=False) == 1
    assert isinstance(events[-1]["exc_info"], ZeroDivisionError)
    assert not capsys.readouterr().err


@virtual_time
async def test_a_part_that_fails_later_stops_the_process_with_1(diary: Diary) -> None:
    async def main(app: App) -> None:
        await app.start("a", diary.part("a"))
        await app.start("bad", diary.failing_later(ProaError("disk full"), after=5))
        await app.run_until_stopped()

    with capture_logs() as events:
        assert await run_async(main, signals=False) == 1
    assert diary.lines == ["a started", "a stopped"]
    (failure,) = [event for event in events if event["event"] == "part failed"]
    assert (failure["part"], failure["error"]) == ("bad", "disk full")


@virtual_time
async def test_an_error_while_stopping_makes_the_exit_code_1_and_the_others_still_stop(diary: Diary) -> None:
    @contextlib.asynccontextmanager
    async def bad() -> AsyncIterator[None]:
        yield
        raise ValueError("flush failed")

    async def main(app: App) -> None:
        await app.start("a", diary.part("a"))
        await app.start("bad", bad())

    with capture_logs():
        assert await run_async(main, signals=False) == 1
    assert diary.lines[-1] == "a stopped"


@virtual_time
async def test_a_part_that_does_not_stop_in_time_is_logged_and_skipped(diary: Diary) -> None:
    async def main(app: App) -> None:
        await app.start("a", diary.part("a"))
        await app.start("slow", diary.part("slow", stop=3600), stop_timeout=3)

    with capture_logs() as events:
        assert await run_async(main, signals=False) == 0
    assert asyncio.get_running_loop().time() == pytest.approx(3)
    assert diary.lines[-1] == "a stopped"
    assert [e["part"] for e in events if e["event"].startswith("part did not stop in time")] == ["slow"]


@virtual_time
async def test_a_part_that_even_ignores_cancellation_is_abandoned(diary: Diary) -> None:
    release = asyncio.Event()

    @contextlib.asynccontextmanager
    async def stubborn() -> AsyncIterator[None]:
        yield
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async with App(shutdown_timeout=2) as app:
        await app.start("a", diary.part("a"))
        await app.start("stubborn", stubborn())
    assert app.abandoned == ["stubborn"]
    assert diary.lines[-1] == "a stopped"
    assert asyncio.get_running_loop().time() == pytest.approx(3)
    release.set()


@virtual_time
async def test_being_told_to_stop_interrupts_a_start(diary: Diary) -> None:
    async def main(app: App) -> None:
        asyncio.get_running_loop().call_later(1, app.stop, "test")
        await app.start("slow", diary.part("slow", start=3600))
        pytest.fail("started after the word to stop")

    assert await run_async(main, signals=False) == 0
    assert diary.lines == ["slow stopped"]
    assert asyncio.get_running_loop().time() == pytest.approx(1)


@virtual_time
async def test_a_main_that_waits_for_something_else_is_cancelled_after_the_timeout(diary: Diary) -> None:
    async def main(app: App) -> None:
        await app.start("a", diary.part("a"))
        asyncio.get_running_loop().call_later(1, app.stop, "test")
        await asyncio.sleep(3600)

    assert await run_async(main, shutdown_timeout=4, signals=False) == 0
    assert diary.lines[-1] == "a stopped"
    assert asyncio.get_running_loop().time() == pytest.approx(5)


@virtual_time
async def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    async def main(_app: App) -> None:
        raise asyncio.CancelledError

    async def start_part(app: App) -> None:
        class Cancelled(contextlib.AbstractAsyncContextManager[None]):
            async def __aenter__(self) -> None:
                raise asyncio.CancelledError

            async def __aexit__(self, *_: object) -> None: ...

        await app.start("part", Cancelled())

    with capture_logs():
        assert await run_async(main, signals=False) == 1
        assert await run_async(start_part, signals=False) == 1


@virtual_time
async def test_a_part_that_starts_in_spite_of_its_cancellation_is_stopped() -> None:
    stopped = asyncio.Event()

    @contextlib.asynccontextmanager
    async def stubborn() -> AsyncIterator[None]:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        yield
        stopped.set()

    async def main(app: App) -> None:
        asyncio.get_running_loop().call_later(1, app.stop, "test")
        await app.start("stubborn", stubborn())

    assert await run_async(main, signals=False) == 0
    assert stopped.is_set()


@virtual_time
async def test_cancelling_the_run_stops_the_parts(diary: Diary) -> None:
    async def main(app: App) -> None:
        await app.start("a", diary.part("a"))
        await app.run_until_stopped()

    running = asyncio.create_task(run_async(main, signals=False))
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert diary.lines == ["a started", "a stopped"]
    assert len(asyncio.all_tasks()) == 1


@virtual_time
async def test_readiness_fails_once_stopping() -> None:
    async with App() as app:
        assert (await app.health.ready()).ok
        app.stop("test")
        assert not (await app.health.ready()).ok
        assert (await app.health.live()).ok


_PROGRAM = """
import asyncio, contextlib, sys, time
from proa.app import App, ProaError, logs, run

@contextlib.asynccontextmanager
async def part(name):
    yield
    print(name, "stopped", flush=True)

async def main(app):
    await app.start("a", part("a"))
    await app.start("b", part("b"))
    {body}

{setup}
sys.exit(run(main, shutdown_timeout=0.2))
"""
_WAIT = "print('ready', flush=True); await app.run_until_stopped()"
Program = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def program() -> "Program":
    def start(body: str, setup: str = "logs.configure()") -> "subprocess.Popen[str]":
        code = _PROGRAM.format(body=body, setup=setup)
        command = [sys.executable, "-X", "dev", "-c", code]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def read_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_signal_begins_the_ordered_shutdown_and_the_exit_code_is_0(
    program: Program, number: signal.Signals, loop: str
) -> None:
    setup = "logs.configure()" if loop == "uvloop" else "sys.modules['uvloop'] = None; logs.configure()"
    with program(_WAIT, setup) as process:
        read_ready(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "b stopped\na stopped\n")
    assert f'"reason":"{number.name}"' in err
    assert "Traceback" not in err


@pytest.mark.parametrize("stuck_in", ["while True: pass", "time.sleep(60)"])
def test_a_second_signal_ends_even_a_stuck_process(program: Program, stuck_in: str) -> None:
    ready = "print('ready', flush=True)"
    with program(f"{ready}; await app.stopping.wait(); {ready}\n    {stuck_in}") as process:
        read_ready(process)
        process.send_signal(signal.SIGTERM)
        read_ready(process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped at once by a second signal" in err


def test_a_busy_thread_does_not_keep_the_process(program: Program) -> None:
    with program("asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)") as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (1, "b stopped\na stopped\n")
    assert '"parts":["threads"]' in err


def test_a_user_error_ends_the_program_with_its_line_and_code(program: Program) -> None:
    with program("raise ProaError('no such node: n1')", setup="logs.configure('error')") as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (1, "b stopped\na stopped\n", "proa: no such node: n1\n")
