"""Finding the zygote of a state directory, or starting one. Blocking, but bounded: run it in a thread."""

import fcntl
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from proa.wasm._connection import socket_path
from proa.wasm.errors import ZygoteLostError

_START_SECONDS: Final = 30.0
_LOG: Final = "zygote.log"
_MAX_LOG: Final = 1024 * 1024


def program() -> list[str]:
    """The command that is the zygote of this version, without its arguments."""
    return [sys.executable, "-P", "-m", "proa.wasm.zygote"]


def connect(state_dir: Path) -> socket.socket:
    """Connect to the zygote of a state directory, starting it if nobody listens.

    Programs that do this at the same time end up with the same zygote.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ZygoteLostError(f"cannot use {state_dir} for sandboxes: {error.strerror}") from None
    try:
        os.fchmod(directory, 0o700)
        fcntl.flock(directory, fcntl.LOCK_EX)
        listening = _connect(directory)
        if listening is None:
            _start(state_dir)
            listening = _connect(directory)
    except OSError as error:
        raise ZygoteLostError(f"cannot use {state_dir} for sandboxes: {error.strerror}") from None
    finally:
        os.close(directory)
    if listening is None:
        raise ZygoteLostError(f"the zygote ended at once; see {state_dir / _LOG}")
    return listening


def _connect(directory: int) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(socket_path(directory)))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError:
        connection.close()
        raise
    return connection


def _start(state_dir: Path) -> None:
    ready, ready_write = os.pipe2(os.O_CLOEXEC)
    try:
        launcher = _launch(state_dir, ready_write)
    finally:
        os.close(ready_write)
    try:
        readable, _, _ = select.select([ready], [], [], _START_SECONDS)
        if not readable or not os.read(ready, 1):
            raise ZygoteLostError(f"the zygote did not start: {_last_line(state_dir / _LOG)}")
    finally:
        os.close(ready)
        launcher.kill()
        launcher.wait()


def _launch(state_dir: Path, ready: int) -> subprocess.Popen[bytes]:
    """Run the program, which leaves itself behind in the background."""
    log = state_dir / _LOG
    oversized = log.exists() and log.stat().st_size > _MAX_LOG
    command = [*program(), "--state-dir", str(state_dir.absolute()), "--ready", str(ready)]
    with log.open("wb" if oversized else "ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(ready,),
            start_new_session=True,
        )


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), f"no reason given; see {log}")
