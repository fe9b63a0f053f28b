import asyncio
import time

import pytest

from proa.app import Health, logs, testing
from proa.app.testing import (
    DeadlockError,
    RunawayError,
    capture_logs,
    no_blocking,
    run_virtual,
    virtual_time,
)


def test_an_hour_of_sleeping_takes_no_time() -> None:
    async def sleep() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - before

    started = time.perf_counter()
    assert run_virtual(sleep()) == pytest.approx(3600)
    assert time.perf_counter() - started < 10


@virtual_time
async def test_timers_fire_in_order_of_their_deadlines() -> None:
    fired: list[int] = []

    async def wait(seconds: int) -> None:
        await asyncio.sleep(seconds)
        fired.append(seconds)

    await asyncio.gather(*(wait(seconds) for seconds in (300, 1, 86_400 * 3, 20)))
    assert fired == [1, 20, 300, 86_400 * 3]


@virtual_time
async def test_timeouts_work() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await asyncio.Event().wait()
    assert asyncio.get_running_loop().time() == pytest.approx(60)


def test_a_deadlock_is_an_error_instead_of_a_hang() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match="every task waits for another"):
        run_virtual(wait())


def test_a_moment_without_an_end_is_an_error_instead_of_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "LONGEST_MOMENT", 1000)
    cleaned: list[float] = []

    async def spin() -> None:
        try:
            for _ in range(10_000):
                await asyncio.sleep(0)
        finally:
            cleaned.append(asyncio.get_running_loop().time())

    async def wait_and_spin() -> None:
        await asyncio.sleep(5)
        await spin()

    with pytest.raises(RunawayError, match=r"1,000 turns of the loop, and it is still 5\.000 s"):
        run_virtual(wait_and_spin())
    assert cleaned == [5]


@virtual_time
async def test_threads_are_waited_for_without_time_passing() -> None:
    started = asyncio.get_running_loop().time()
    async with asyncio.timeout(0.001):
        await asyncio.to_thread(time.sleep, 0.02)
    assert asyncio.get_running_loop().time() == started


@virtual_time
async def test_local_sockets_work_in_virtual_time() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        async with asyncio.timeout(1):
            assert await reader.readline() == b"hello\n"
        writer.close()
        await writer.wait_closed()


def test_captured_logs_have_a_level_and_nest() -> None:
    log = logs.get_logger("x")
    with capture_logs("warning") as outer:
        log.info("hidden")
        with capture_logs() as inner:
            log.info("seen", a=1)
        log.warning("after")
    assert inner == [{"level": "info", "logger": "x", "event": "seen", "a": 1}]
    assert [event["event"] for event in outer] == ["after"]


async def test_blocking_the_loop_inside_a_guarded_module_is_an_error() -> None:
    def blocking() -> None:
        time.sleep(0.001)

    health = Health()
    health.add_liveness("blocking", blocking)
    with no_blocking("proa.app"), capture_logs():
        report = await health.live()
    assert "Blocking call to time.sleep" in report.results[1].reason
