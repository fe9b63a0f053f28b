"""Forking children that are cut off from the zygote, and what they report back.

Every object that a child uses is in a page that it shared with the zygote before, and then has a copy of: to
count references is to write. So what runs in each child is plain, and uses little.
"""

import contextlib
import ctypes
import gc
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Final, NamedTuple

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38
_SYS_CLOSE_RANGE: Final = 436
_MAX_DESCRIPTOR: Final = 0xFFFF_FFFF
_MAX_OPEN_FILES: Final = 1024
_OOM_PLACE: Final = b"/proc/self/oom_score_adj"
_OOM_SCORE: Final = b"500"
_NONE: Final = (0, 0)
_SIGNALS: Final = (signal.SIGCHLD.value, signal.SIGTERM.value, signal.SIGINT.value, signal.SIGHUP.value)
_REPORT: Final = 3

_libc = ctypes.CDLL(None, use_errno=True)
_libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]

Body = Callable[[Callable[[bytes], None]], None]
"""What a child does; it is given a function that delivers its report."""


class Child(NamedTuple):
    """A forked process and the read end of the pipe that its report comes through."""

    pid: int
    report: int


class Stdio(NamedTuple):
    """The descriptors that a child gets as its standard streams."""

    stdin: int
    stdout: int
    stderr: int


def fork(name: str, body: Body, stdio: Stdio | None = None) -> Child:
    """Run `body` in a child with nothing of ours open but `stdio` and its report pipe.

    The child has its own session, cannot gain privileges, leaves no core file and dies with this process.
    Raises OSError when the kernel has no room for it.
    """
    parent = os.getpid()
    report, report_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        pid = os.fork()
        if not pid:
            _run(name, body, stdio or Stdio(0, 1, 2), report_write, parent)
    except OSError:
        os.close(report)
        raise
    finally:
        os.close(report_write)
    return Child(pid, report)


def _run(name: str, body: Body, stdio: Stdio, report: int, parent: int) -> None:
    try:
        gc.disable()
        _confine(name, parent)
        _redirect(stdio, report)
        body(lambda content: _write(_REPORT, content))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing may return into the zygote's loop
        traceback.print_exc()
    finally:
        os._exit(1)


def _confine(name: str, parent: int) -> None:
    os.setsid()
    set_name(name)
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        _libc.signal(number, None)
    resource.setrlimit(resource.RLIMIT_CORE, _NONE)
    _prefer_as_victim()


def _prefer_as_victim() -> None:
    """When the machine runs out of memory, the kernel should take a guest and not the zygote."""
    try:
        descriptor = os.open(_OOM_PLACE, os.O_WRONLY | os.O_CLOEXEC)
        os.write(descriptor, _OOM_SCORE)
        os.close(descriptor)
    except OSError:
        pass


def _redirect(stdio: Stdio, report: int) -> None:
    for target, source in enumerate((*stdio, report)):
        if source != target:
            os.dup2(source, target)
    _close_from(_REPORT + 1)
    limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)


def _close_from(first: int) -> None:
    # Not every Python is built with close_range, and without it os.closerange tries each possible number.
    if _libc.syscall(_SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(_MAX_DESCRIPTOR), 0):
        os.closerange(first, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _write(descriptor: int, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, content)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def set_name(name: str) -> None:
    """Set what `ps` and `top` show, cut to 15 bytes."""
    _libc.prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0)


def limit(kind: int, soft: int, hard: int | None = None) -> None:
    """Lower a resource limit of this process, never raising the hard limit."""
    ceiling = resource.getrlimit(kind)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard or soft, ceiling)
    resource.setrlimit(kind, (soft, hard or soft))


def one_line(error: BaseException | str) -> str:
    """Join the engine's message and its list of causes into one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    parts = [line.split(": ", 1)[1] if line[:1].isdigit() and ": " in line else line for line in lines]
    return ": ".join(part.rstrip(":") for part in parts if part and part != "Caused by:")


def log(message: str) -> None:
    """Write a line to the zygote's log."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
