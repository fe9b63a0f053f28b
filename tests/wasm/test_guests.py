"""A guest in a sandbox lives as a program does under an operating system."""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proa.wasm import ExitReason, Mount, Sandbox, SandboxError, Sandboxes
from proa.wasm.testing import read_to_end, read_until

Run = Callable[..., Awaitable[Sandbox]]


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_arguments_arrive_in_order(run: Run) -> None:
    sandbox = await run("args", "one", "", "drei vier", "ünf")
    assert await read_to_end(sandbox.stdout) == "guest\nargs\none\n\ndrei vier\nünf\n".encode()


async def test_the_environment_is_what_was_given_and_nothing_of_the_hosts(run: Run) -> None:
    sandbox = await run("env", env={"A": "1", "B": "x=y", "EMPTY": ""})
    assert sorted((await read_to_end(sandbox.stdout)).decode().splitlines()) == ["A=1", "B=x=y", "EMPTY="]


async def test_stdout_and_stderr_are_separate(run: Run) -> None:
    sandbox = await run("both")
    assert await read_to_end(sandbox.stdout) == b"to stdout\n"
    assert await read_to_end(sandbox.stderr) == b"to stderr\n"


async def test_standard_input_is_empty_unless_given(run: Run) -> None:
    assert await read_to_end((await run("cat")).stdout) == b""


async def test_standard_input_is_read_from_the_given_descriptor(run: Run) -> None:
    read_end, write_end = os.pipe()
    sandbox = await run("cat", stdin=read_end)
    os.close(read_end)
    os.write(write_end, b"fed by hand")
    os.close(write_end)
    assert await read_to_end(sandbox.stdout) == b"fed by hand"


@pytest.mark.parametrize("code", [0, 1, 42, 125, 255])
async def test_the_exit_code_is_the_guests(run: Run, code: int) -> None:
    end = await (await run("exit", str(code))).wait()
    assert (end.exit_code, end.reason, end.message) == (code, ExitReason.EXITED, "")


async def test_an_exit_tells_times_and_what_was_used(run: Run) -> None:
    sandbox = await run("exit", "0")
    end = await sandbox.wait()
    assert sandbox.started_at == end.started_at <= end.finished_at
    assert 0 < end.cpu_seconds < 10
    assert 1_000_000 < end.max_rss_bytes < 1_000_000_000
    assert sandbox.exit == end


async def test_nothing_of_a_large_output_is_lost(run: Run) -> None:
    sandbox = await run("flood", "100000")
    lines = (await read_to_end(sandbox.stdout)).splitlines()
    assert lines == [b"line %d" % number for number in range(100_000)]


async def test_a_mounted_directory_is_read_and_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from the host")
    mounts = (Mount(tmp_path, "/data"),)
    assert await read_to_end((await run("cat", "/data/in", mounts=mounts)).stdout) == b"from the host"
    end = await (await run("put", "/data/out", "from the guest", mounts=mounts)).wait()
    assert end.exit_code == 0
    assert (tmp_path / "out").read_text() == "from the guest"


@pytest.mark.parametrize(
    "change", [("put", "/data/in", "x"), ("put", "/data/new", "x"), ("remove", "/data/in")]
)
async def test_a_read_only_mount_cannot_be_changed(run: Run, tmp_path: Path, change: tuple[str, ...]) -> None:
    (tmp_path / "in").write_text("kept")
    mounts = (Mount(tmp_path, "/data", read_only=True),)
    assert await read_to_end((await run("cat", "/data/in", mounts=mounts)).stdout) == b"kept"
    assert (await (await run(*change, mounts=mounts)).wait()).exit_code == 1
    assert _names(tmp_path) == {"in", "state"}
    assert (tmp_path / "in").read_text() == "kept"


@pytest.mark.parametrize(
    "path", ["/data/../secret", "/data/link", "/data/dir/secret", "/secret", "/etc/passwd"]
)
async def test_no_path_leads_out_of_a_mount(run: Run, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "secret")
    (inside / "dir").symlink_to("..")
    sandbox = await run("cat", path, mounts=(Mount(inside, "/data"),))
    assert await read_to_end(sandbox.stdout) == b""
    assert (await sandbox.wait()).exit_code == 1


async def test_relative_paths_start_at_the_working_directory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "file").write_text("found")
    mounts = (Mount(tmp_path, "/data", read_only=True),)
    sandbox = await run("cat", "file", mounts=mounts, working_dir="/data/app")
    assert await read_to_end(sandbox.stdout) == b"found"
    sandbox = await run("put", "file", "changed", mounts=mounts, working_dir="/data/app")
    assert (await sandbox.wait()).exit_code == 1


@pytest.mark.parametrize("working_dir", ["/data/none", "/data/link", "/elsewhere"])
async def test_a_working_directory_must_be_inside_a_mount(run: Run, tmp_path: Path, working_dir: str) -> None:
    (tmp_path / "link").symlink_to("/")
    end = await (await run("args", mounts=(Mount(tmp_path, "/data"),), working_dir=working_dir)).wait()
    assert (end.exit_code, end.reason) == (128, ExitReason.FAILED)
    assert working_dir in end.message


async def test_a_relative_mount_source_is_the_clients(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from the host")
    source = Path(os.path.relpath(tmp_path))  # noqa: ASYNC240 - says nothing to the disk
    sandbox = await run("cat", "/data/in", mounts=(Mount(source, "/data"),))
    assert await read_to_end(sandbox.stdout) == b"from the host"


async def test_a_missing_mount_source_is_named(run: Run, tmp_path: Path) -> None:
    end = await (await run("args", mounts=(Mount(tmp_path / "gone", "/data"),))).wait()
    assert end.reason == ExitReason.FAILED
    assert str(tmp_path / "gone") in end.message


@pytest.mark.parametrize(
    "spec",
    [
        {"env": {"A=B": "1"}},
        {"env": {"": "1"}},
        {"env": {"A": "nul\0"}},
        {"mounts": (Mount(Path("/tmp"), "relative"),)},
        {"mounts": (Mount(Path("/tmp"), "/a/../b"),)},
        {"working_dir": "/a/../.."},
        {"memory_limit": 0},
    ],
)
async def test_an_impossible_spec_is_refused(run: Run, spec: dict[str, object]) -> None:
    with pytest.raises(SandboxError, match="cannot start sandbox"):
        await run("args", **spec)


async def test_more_memory_than_the_limit_ends_the_guest_and_only_it(run: Run) -> None:
    neighbour = await run("sleep")
    await read_until(neighbour.stdout, b"sleeping\n")
    sandbox = await run("bomb", "64", memory_limit=32 << 20)
    end = await sandbox.wait()
    assert (end.exit_code, end.reason) == (137, ExitReason.OUT_OF_MEMORY)
    assert f"more than the limit of {32 << 20}" in end.message
    assert end.max_rss_bytes < 100_000_000
    assert 1 <= len((await read_to_end(sandbox.stdout)).splitlines()) < 16
    assert neighbour.exit is None


async def test_a_module_that_needs_more_memory_than_the_limit_to_begin_with_is_out_of_memory(
    run: Run,
) -> None:
    end = await (await run("args", memory_limit=65536)).wait()
    assert (end.exit_code, end.reason) == (137, ExitReason.OUT_OF_MEMORY)


async def test_memory_below_the_limit_is_given(run: Run) -> None:
    end = await (await run("bomb", "8", memory_limit=40 << 20)).wait()
    assert (end.exit_code, end.reason) == (0, ExitReason.EXITED)


@pytest.mark.parametrize(("verb", "reason"), [("trap", "unreachable"), ("recurse", "call stack exhausted")])
async def test_a_trap_is_134_with_its_reason_and_a_backtrace(run: Run, verb: str, reason: str) -> None:
    sandbox = await run(verb)
    end = await sandbox.wait()
    assert (end.exit_code, end.reason) == (134, ExitReason.TRAPPED)
    assert reason in end.message
    assert "\n" not in end.message
    assert b"wasm backtrace" in await read_to_end(sandbox.stderr)


@pytest.mark.parametrize(("verb", "word"), [("loop", b"looping\n"), ("sleep", b"sleeping\n")])
async def test_a_guest_that_never_ends_is_killed_at_once(run: Run, verb: str, word: bytes) -> None:
    sandbox = await run(verb)
    assert await read_until(sandbox.stdout, b"\n") == word
    sandbox.kill()
    end = await sandbox.wait()
    assert (end.exit_code, end.reason, end.message) == (137, ExitReason.KILLED, "killed by SIGKILL")
    assert await read_to_end(sandbox.stdout) == b""
    sandbox.kill()


async def test_a_guest_that_waits_for_a_reader_is_killed_at_once(run: Run) -> None:
    sandbox = await run("flood", "100000")
    await read_until(sandbox.stdout, b"line 0\n")
    sandbox.kill()
    assert (await sandbox.wait()).reason == ExitReason.KILLED


async def test_a_signal_from_elsewhere_is_reported_as_such(run: Run) -> None:
    sandbox = await run("sleep")
    await read_until(sandbox.stdout, b"sleeping\n")
    os.kill(sandbox.pid, signal.SIGTERM)
    end = await sandbox.wait()
    assert (end.exit_code, end.reason, end.message) == (143, ExitReason.KILLED, "killed by SIGTERM")


async def test_a_sandbox_is_cut_off_from_its_zygote(run: Run) -> None:
    sandbox = await run("sleep")
    await read_until(sandbox.stdout, b"sleeping\n")
    process = Path("/proc") / str(sandbox.pid)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    assert status["NoNewPrivs"].strip() == "1"
    assert os.getsid(sandbox.pid) == sandbox.pid
    links = {number.name: number.readlink().name for number in (process / "fd").iterdir()}
    assert links.pop("0") == "null"
    pipes = [name for name, target in links.items() if target.startswith("pipe:")]
    assert {"1", "2", "3"} <= set(pipes)
    assert not [target for target in links.values() if target.startswith("/") or "zygote" in target]


async def test_a_name_cannot_be_used_twice_until_it_is_forgotten(run: Run, sandboxes: Sandboxes) -> None:
    first = await run("exit", "0", id="twin")
    with pytest.raises(SandboxError, match="'twin' exists already"):
        await run("exit", "0", id="twin")
    await first.wait()
    await sandboxes.forget("twin")
    assert (await (await run("exit", "3", id="twin")).wait()).exit_code == 3
