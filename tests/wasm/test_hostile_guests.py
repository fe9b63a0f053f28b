"""Guests that attack: none harms its node or a neighbour, and each ends with the right reason.

More of them: endless loops and sleeps, deep recursion and memory bombs in C (`test_guests`), corrupt and
truncated modules (`test_modules`), what a guest could do outside the engine (`test_confinement`).
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from proa.wasm import (
    ExitReason,
    InvalidModuleError,
    Mount,
    Sandbox,
    SandboxError,
    Sandboxes,
    SandboxExit,
    SandboxSpec,
)
from proa.wasm import _service as service
from proa.wasm.testing import compile_c, read_to_end, read_until

Run = Callable[..., Awaitable[Sandbox]]
LIMIT = 64 << 20

PATHS = r"""
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Try each call that takes a path, with each path; say which of them succeeded. */
#define TRY(call, expression) if ((expression) >= 0) printf("%s %s\n", call, path)

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        char *path = argv[i]; char text[100]; struct stat status;
        TRY("open", open(path, O_RDONLY));
        TRY("create", open(path, O_WRONLY | O_CREAT, 0600));
        TRY("truncate", open(path, O_WRONLY | O_TRUNC));
        TRY("stat", stat(path, &status));
        TRY("mkdir", mkdir(path, 0700));
        TRY("rmdir", rmdir(path));
        TRY("unlink", unlink(path));
        TRY("readlink", strncmp(path, "/data/", 6) ? readlink(path, text, sizeof text) : -1);
        TRY("rename from", rename(path, "/data/taken"));
        TRY("rename to", rename("/data/mine", path));
        TRY("link from", link(path, "/data/linked"));
        TRY("link to", link("/data/mine", path));
        TRY("symlink at", strncmp(path, "/data/", 6) ? symlink("x", path) : -1);
        TRY("list", opendir(path) ? 0 : -1);
        TRY("access", access(path, F_OK));
        struct timespec times[2] = {{0, 0}, {0, 0}};
        TRY("utimens", utimensat(AT_FDCWD, path, times, 0));
    }
    puts("done");
    return 0;
}
"""


RunText = Callable[..., Awaitable[SandboxExit]]


@pytest.fixture
def run_text(sandboxes: Sandboxes, tmp_path: Path) -> RunText:
    """Return a function that runs a module given as text to its end."""

    async def run(text: str, seconds: float = 30, **spec: object) -> SandboxExit:
        path = tmp_path / "attack.wasm"
        path.write_bytes(wat2wasm(text))
        module = await sandboxes.compile(path)
        sandbox = await sandboxes.start(
            SandboxSpec(id="attack", module=module, args=("attack",), memory_limit=LIMIT, **spec)  # type: ignore[arg-type]
        )
        async with asyncio.timeout(seconds):
            return await sandbox.wait()

    return run


async def test_a_memory_bomb_is_out_of_memory(run_text: RunText) -> None:
    grow = '(memory 1) (func (export "_start") (loop (drop (memory.grow (i32.const 16))) (br 0)))'
    end = await run_text(f"(module {grow})")
    assert (end.exit_code, end.reason) == (137, ExitReason.OUT_OF_MEMORY)
    assert end.max_rss_bytes < LIMIT + 100_000_000


async def test_many_memories_are_counted_together(run_text: RunText) -> None:
    memories = "".join("(memory 200)" for _ in range(20))
    end = await run_text(f'(module {memories} (func (export "_start")))')
    assert (end.exit_code, end.reason) == (137, ExitReason.OUT_OF_MEMORY)


async def test_a_table_bomb_gets_no_more_than_its_share(run_text: RunText) -> None:
    body = """(table 1 funcref) (func (export "_start")
      (loop (br_if 0 (i32.ne (i32.const -1) (table.grow (ref.null func) (i32.const 10000))))))"""
    end = await run_text(f"(module {body})")
    assert (end.exit_code, end.reason) == (0, ExitReason.EXITED)
    assert end.max_rss_bytes < 200_000_000


async def test_a_table_that_is_a_bomb_to_begin_with_is_refused(run_text: RunText) -> None:
    end = await run_text('(module (table 100000000 funcref) (func (export "_start")))')
    assert end.reason == ExitReason.FAILED
    assert "table" in end.message


async def test_endless_recursion_is_a_trap(run_text: RunText) -> None:
    end = await run_text('(module (func $f (export "_start") (call $f) (call $f)))')
    assert (end.exit_code, end.reason) == (134, ExitReason.TRAPPED)
    assert "call stack exhausted" in end.message


async def test_a_flood_of_output_waits_for_its_reader_and_can_be_killed(run_text: RunText) -> None:
    loop = """(module
      (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 16)
      (func (export "_start") (i32.store (i32.const 4) (i32.const 1000000))
        (loop (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))) (br 0))))"""
    with pytest.raises(TimeoutError):
        await run_text(loop, seconds=1)


async def test_descriptors_run_out_for_the_guest_alone(
    sandboxes: Sandboxes, tmp_path: Path, run: Run
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    source = """
    #include <fcntl.h>
    #include <stdio.h>
    int main(void) {
        int n = 0;
        while (open("/data/file", O_CREAT | O_RDWR, 0600) >= 0) n++;
        printf("%d\\n", n);
        return 0;
    }
    """
    module = await sandboxes.compile(await asyncio.to_thread(compile_c, source.replace("\\\\", "\\")))
    mounts = (Mount(shared, "/data"),)
    sandbox = await sandboxes.start(SandboxSpec(id="attack", module=module, mounts=mounts, user=os.geteuid()))
    assert 100 < int(await read_to_end(sandbox.stdout)) < 1024
    assert (await sandbox.wait()).exit_code == 0
    assert await read_to_end((await run("args", "neighbour")).stdout) == b"guest\nargs\nneighbour\n"


async def test_no_call_with_a_path_leads_out_of_a_mount(sandboxes: Sandboxes, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "mine").write_text("x")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (inside / "link").symlink_to(secret)
    (inside / "up").symlink_to("..")
    module = await sandboxes.compile(await asyncio.to_thread(compile_c, PATHS))
    paths = [
        "/data/../secret", "/data/link/", "/data/up/secret", "/data/up/new", "../secret", "/etc/passwd",
        str(secret), "/proc/self/root/etc/passwd", "/data/./../../etc/passwd", "/dev/null", "..",
    ]  # fmt: skip
    sandbox = await sandboxes.start(
        SandboxSpec(
            id="attack",
            module=module,
            args=("attack", *paths),
            mounts=(Mount(inside, "/data"),),
            user=os.geteuid(),
        )
    )
    succeeded = (await read_to_end(sandbox.stdout)).decode().splitlines()
    assert succeeded[-1] == "done"
    # A link may be removed and renamed: that is what the guest may do in its own directory.
    own = {"unlink /data/link/", "rename from /data/link/", "rename to /data/link/"}
    assert set(succeeded[:-1]) <= own
    assert secret.read_text() == "secret"
    assert not (tmp_path / "new").exists()


async def test_huge_arguments_are_refused_and_the_zygote_lives(run: Run) -> None:
    with pytest.raises(SandboxError, match="characters together"):
        await run("args", "x" * 3_000_000)
    large = "x" * 1_000_000
    sandbox = await run("args", large)
    assert await read_to_end(sandbox.stdout) == f"guest\nargs\n{large}\n".encode()


async def test_an_enormous_module_is_refused_unread(sandboxes: Sandboxes, tmp_path: Path) -> None:
    path = tmp_path / "enormous.wasm"
    with path.open("wb") as file:
        file.write(b"\0asm\1\0\0\0")
        file.truncate(2 << 30)
    with pytest.raises(InvalidModuleError, match="is larger than 512 MB"):
        await sandboxes.compile(path, sha256="0" * 64)


async def test_compile_bombs_wait_for_each_other_and_stop_nobody(
    sandboxes: Sandboxes, tmp_path: Path, run: Run
) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(3 * service._MAX_COMPILATIONS):
            adds = "(local.set 0 (i64.mul (local.get 0) (i64.const 3)))" * 15_000
            text = f'(module (func (export "_start") (local i64) (drop (i32.const {number})) {adds}))'
            path = tmp_path / f"{number}.wasm"
            path.write_bytes(wat2wasm(text))
            group.create_task(sandboxes.compile(path))
        neighbour = await run("sleep")
        await read_until(neighbour.stdout, b"sleeping\n")
        compiling = [name for name in _siblings(neighbour) if name == "proa:compile"]
        assert len(compiling) <= service._MAX_COMPILATIONS


def _siblings(sandbox: Sandbox) -> list[str]:
    zygote = Path(f"/proc/{sandbox.pid}/stat").read_text().rpartition(")")[2].split()[1]
    pids = Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids]
