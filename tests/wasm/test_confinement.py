"""What a sandbox's process cannot do, should its guest ever find a way out of the engine."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proa.wasm import Mount, Sandbox
from proa.wasm._seccomp import _MACHINES
from proa.wasm.testing import read_to_end, read_until

Run = Callable[..., Awaitable[Sandbox]]

ESCAPED = """
import ctypes, os, socket, sys, threading
from proa.wasm import _process
from proa.wasm._confinement import confine
from proa.wasm._landlock import Place
_process._prctl(38, 1)
inside, read_only, outside = sys.argv[1:]
places = [
    Place(os.open(inside, os.O_PATH | os.O_DIRECTORY), False),
    Place(os.open(read_only, os.O_PATH | os.O_DIRECTORY), True),
]
confine(places, os.geteuid(), None)

def attempt(name, act):
    try:
        act()
        print(name, "done")
    except OSError as error:
        print(name, error.strerror)

attempt("write inside", lambda: open(inside + "/new", "w").close())
attempt("rename inside", lambda: os.rename(inside + "/new", inside + "/newer"))
attempt("read read-only", lambda: open(read_only + "/file").close())
attempt("write read-only", lambda: open(read_only + "/file", "w").close())
attempt("read outside", lambda: open(outside).close())
attempt("list /", lambda: os.listdir("/"))
attempt("link outside", lambda: os.link(outside, inside + "/link"))
attempt("socket", lambda: socket.socket())
attempt("unix socket", lambda: socket.socket(socket.AF_UNIX))
attempt("fork", os.fork)
attempt("execute", lambda: os.execv(sys.executable, [sys.executable]))
attempt("kill parent", lambda: os.kill(os.getppid(), 0))
thread = threading.Thread(target=lambda: attempt("thread", lambda: None))
thread.start()
thread.join()
attempt("socket in a thread", lambda: socket.socket())
"""


@pytest.mark.skipif(os.uname().machine not in _MACHINES, reason="seccomp numbers are not known here")
def test_a_process_that_is_confined_reaches_its_places_and_nothing_else(tmp_path: Path) -> None:
    for name in ("inside", "read_only"):
        (tmp_path / name).mkdir()
    (tmp_path / "read_only" / "file").write_text("x")
    (tmp_path / "outside").write_text("x")
    arguments = [str(tmp_path / name) for name in ("inside", "read_only", "outside")]
    program = [sys.executable, "-c", ESCAPED, *arguments]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    if "outside done" in result.stdout:
        pytest.skip("this kernel has no Landlock")
    outcomes = [line for line in result.stdout.splitlines() if line]
    assert outcomes == [
        "write inside done",
        "rename inside done",
        "read read-only done",
        "write read-only Permission denied",
        "read outside Permission denied",
        "list / Permission denied",
        "link outside Invalid cross-device link",
        "socket Operation not permitted",
        "unix socket Operation not permitted",
        "fork Operation not permitted",
        "execute Operation not permitted",
        "kill parent Operation not permitted",
        "thread done",
        "socket in a thread Operation not permitted",
    ], result.stderr


def proc(sandbox: Sandbox, name: str) -> str:
    return Path(f"/proc/{sandbox.pid}/{name}").read_text()


async def test_a_sandbox_is_confined_before_its_guest_runs(run: Run) -> None:
    sandbox = await run("sleep", user=None)
    await read_until(sandbox.stdout, b"sleeping\n")
    status = dict(line.split(":", 1) for line in proc(sandbox, "status").splitlines())
    assert status["Seccomp"].strip() == "2"
    if os.geteuid() == 0:
        assert set(status["Uid"].split()) == {"65534"}
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert not status["Groups"].split()
    sandbox.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_roots_guests_are_nobody_unless_told_otherwise(run: Run, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    secret = shared / "secret"
    secret.write_text("root's alone")
    secret.chmod(0o600)
    mounts = (Mount(shared, "/data"),)
    for user, owner in ((None, 65534), (1234, 1234), (0, 0)):
        end = await (await run("put", "/data/new", "x", mounts=mounts, user=user)).wait()
        assert end.exit_code == 0
        assert (shared / "new").stat().st_uid == owner
        (shared / "new").unlink()
        read = await read_to_end((await run("cat", "/data/secret", mounts=mounts, user=user)).stdout)
        assert read == (b"root's alone" if owner == 0 else b"")


async def test_a_sandbox_ends_with_its_zygote_whomever_it_runs_as(run: Run) -> None:
    sandbox = await run("sleep", user=None)
    await read_until(sandbox.stdout, b"sleeping\n")
    parent = int(proc(sandbox, "stat").rpartition(")")[2].split()[1])
    os.kill(parent, 9)
    assert await read_to_end(sandbox.stdout) == b""
