"""Sandboxes outlive the program that started them, and nothing outlives the zygote."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proa.wasm import ExitReason, Sandbox, SandboxError, Sandboxes, SandboxSpec, ZygoteLostError
from proa.wasm.testing import read_to_end, read_until

Run = Callable[..., Awaitable[Sandbox]]

FIRST_CLIENT = """
import asyncio, os, sys
from pathlib import Path
from proa.wasm import Sandboxes, SandboxSpec
from proa.wasm.testing import read_until

async def main(state, cache, guest, stdin):
    async with Sandboxes.open(Path(state), Path(cache)) as sandboxes:
        module = await sandboxes.compile(Path(guest))
        follow = SandboxSpec(id="follow", module=module, args=("guest", "follow"))
        follow = await sandboxes.start(follow, stdin=int(stdin))
        await read_until(follow.stdout, b"ready\\n")
        done = await sandboxes.start(SandboxSpec(id="done", module=module, args=("guest", "exit", "9")))
        await done.wait()
        print(follow.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def _zygote_of(sandbox: Sandbox) -> int:
    return int(Path(f"/proc/{sandbox.pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _wait_gone(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], 10)[0], f"process {pid} is still there"
        finally:
            os.close(descriptor)


def _start_first_client(state_dir: Path, cache_dir: Path, guest: Path, stdin: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FIRST_CLIENT, *map(str, (state_dir, cache_dir, guest, stdin))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=(stdin,))


async def test_a_new_client_adopts_what_a_killed_one_left(
    state_dir: Path, cache_dir: Path, guest: Path
) -> None:
    stdin, feed = os.pipe()
    with await asyncio.to_thread(_start_first_client, state_dir, cache_dir, guest, stdin) as client:
        os.close(stdin)
        assert client.stdout
        pid = int(await asyncio.to_thread(client.stdout.readline))
        client.kill()
        await asyncio.to_thread(client.wait)
    os.write(feed, b"while nobody was there\n")
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        follow, done = sorted(sandboxes.list(), key=lambda sandbox: sandbox.id, reverse=True)
        assert (follow.id, follow.pid, follow.exit) == ("follow", pid, None)
        assert done.exit
        assert (done.exit.exit_code, done.exit.reason) == (9, ExitReason.EXITED)
        assert await read_until(follow.stdout, b"\n") == b"while nobody was there\n"
        os.write(feed, b"and afterwards\n")
        assert await read_until(follow.stdout, b"\n") == b"and afterwards\n"
        os.close(feed)
        end = await follow.wait()
        assert (end.exit_code, end.reason) == (5, ExitReason.EXITED)
        await sandboxes.forget("done")
        await sandboxes.shutdown()


async def test_leaving_keeps_sandboxes_and_forgotten_ones_stay_forgotten(
    state_dir: Path, cache_dir: Path, guest: Path
) -> None:
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        module = await sandboxes.compile(guest)
        short = await sandboxes.start(SandboxSpec(id="short", module=module, args=("guest", "both")))
        long = await sandboxes.start(SandboxSpec(id="long", module=module, args=("guest", "sleep")))
        with pytest.raises(SandboxError, match="'long' still runs"):
            await sandboxes.forget("long")
        await short.wait()
        waiting = asyncio.ensure_future(long.wait())
        await read_until(long.stdout, b"sleeping\n")
    with pytest.raises(ZygoteLostError, match="closed"):
        await waiting
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        assert sorted(sandbox.id for sandbox in sandboxes.list()) == ["long", "short"]
        again = next(sandbox for sandbox in sandboxes.list() if sandbox.id == "short")
        assert await read_to_end(again.stdout) == b"to stdout\n"
        await sandboxes.forget("short")
        await sandboxes.forget("short")
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        assert [sandbox.id for sandbox in sandboxes.list()] == ["long"]
        await sandboxes.shutdown()
        assert sandboxes.list()[0].exit is not None


async def test_a_killed_zygote_is_noticed_and_takes_its_sandboxes_along(
    state_dir: Path, cache_dir: Path, guest: Path
) -> None:
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        module = await sandboxes.compile(guest)
        sandbox = await sandboxes.start(SandboxSpec(id="a", module=module, args=("guest", "sleep")))
        await read_until(sandbox.stdout, b"sleeping\n")
        waiters = [asyncio.ensure_future(sandbox.wait()) for _ in range(2)]
        os.kill(_zygote_of(sandbox), signal.SIGKILL)
        for waiter in waiters:
            with pytest.raises(ZygoteLostError):
                await waiter
        await asyncio.to_thread(_wait_gone, sandbox.pid)
        assert await read_to_end(sandbox.stdout) == b""
        sandbox.kill()
        with pytest.raises(ZygoteLostError):
            await sandboxes.compile(guest)
        with pytest.raises(ZygoteLostError):
            await sandboxes.start(SandboxSpec(id="b", module=module))
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        assert sandboxes.list() == []
        sandbox = await sandboxes.start(SandboxSpec(id="a", module=module, args=("guest", "exit", "3")))
        assert (await sandbox.wait()).exit_code == 3
        await sandboxes.shutdown()


async def test_shutdown_ends_everything_and_leaves_no_socket(
    state_dir: Path, cache_dir: Path, guest: Path
) -> None:
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        module = await sandboxes.compile(guest)
        sandbox = await sandboxes.start(SandboxSpec(id="a", module=module, args=("guest", "sleep")))
        zygote = _zygote_of(sandbox)
        await sandboxes.shutdown()
        assert (await sandbox.wait()).reason == ExitReason.KILLED
        await sandboxes.shutdown()
    await asyncio.to_thread(_wait_gone, zygote)
    assert _names(state_dir) == {"zygote.log"}


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_a_second_client_is_told_who_has_the_sandboxes(
    sandboxes: Sandboxes, state_dir: Path, cache_dir: Path
) -> None:
    assert sandboxes.list() == []
    with pytest.raises(ZygoteLostError, match=f"process {os.getpid()} is using them"):
        async with Sandboxes.open(state_dir, cache_dir):
            pass


async def test_the_state_belongs_to_its_user_alone(sandboxes: Sandboxes, state_dir: Path) -> None:
    assert sandboxes.list() == []
    assert _mode(state_dir) == 0o700
    assert _mode(state_dir / "zygote.sock") == 0o600


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_a_state_directory_may_have_a_long_path(tmp_path: Path, cache_dir: Path) -> None:
    async with Sandboxes.open(tmp_path / ("x" * 120) / "state", cache_dir) as sandboxes:
        await sandboxes.shutdown()


async def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path, cache_dir: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ZygoteLostError, match=f"{tmp_path}/file"):
        async with Sandboxes.open(tmp_path / "file", cache_dir):
            pass


async def test_fifty_sandboxes_at_once(run: Run) -> None:
    sandboxes = await asyncio.gather(*(run("exit", str(number)) for number in range(50)))
    ends = await asyncio.gather(*(sandbox.wait() for sandbox in sandboxes))
    assert [end.exit_code for end in ends] == list(range(50))


async def test_a_cancelled_start_leaves_no_sandbox(run: Run, sandboxes: Sandboxes) -> None:
    starting = asyncio.ensure_future(run("sleep", id="cancelled"))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    (await run("exit", "0", id="other")).kill()
    assert [sandbox.id for sandbox in sandboxes.list()] == ["other"]


async def test_no_descriptor_is_left_open(state_dir: Path, cache_dir: Path, guest: Path) -> None:
    async def once() -> None:
        async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
            module = await sandboxes.compile(guest)
            started = [
                await sandboxes.start(SandboxSpec(id=str(number), module=module, args=("guest", "exit", "0")))
                for number in range(5)
            ]
            for sandbox in started[:3]:
                await sandbox.wait()
                await sandboxes.forget(sandbox.id)
            await sandboxes.shutdown()

    await once()
    before = _open_descriptors()
    await once()
    assert _open_descriptors() == before


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_the_zygote_keeps_no_descriptor_of_a_forgotten_sandbox(run: Run, sandboxes: Sandboxes) -> None:
    keeper = await run("sleep")
    descriptors = Path(f"/proc/{_zygote_of(keeper)}/fd")
    await sandboxes.forget("nobody")
    before = _count(descriptors)
    for number in range(5):
        await (await run("exit", "0", id=f"gone-{number}")).wait()
        await sandboxes.forget(f"gone-{number}")
    assert _count(descriptors) == before


def _count(directory: Path) -> int:
    return len(list(directory.iterdir()))


async def test_the_zygote_has_one_thread_and_no_event_loop(run: Run) -> None:
    sandbox = await run("sleep")
    await read_until(sandbox.stdout, b"sleeping\n")
    assert _count(Path(f"/proc/{_zygote_of(sandbox)}/task")) == 1
    loaded = "import sys, proa.wasm.zygote; print({'asyncio', 'aiohttp', 'structlog'} & {*sys.modules})"
    output = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", loaded], text=True)
    assert output == "set()\n"
