"""seccomp: system calls that no guest's process has any use for fail from now on. See seccomp(2).

A list of what is refused, not of what is allowed: the engine's and the C library's needs change with their
versions, and what could do harm does not. Starting threads is allowed, starting processes is not.
"""

import ctypes
import errno
import os
import platform
import struct
from typing import Final, NamedTuple

_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000
_KILL: Final = 0x8000_0000
_CLONE_THREAD: Final = 0x0001_0000
_X32: Final = 0x4000_0000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16

_SINCE_BOTH_COUNT_ALIKE: Final = (
    # io_uring, which would go around this filter; pidfd and mount calls; landlock itself is left alone.
    425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 440, 442,
)  # fmt: skip


class _Machine(NamedTuple):
    audit: int
    clone: int
    connecting: tuple[int, ...]
    refused: tuple[int, ...]


_MACHINES: Final = {
    "x86_64": _Machine(
        0xC000_003E,
        56,
        (41, 42),  # socket connect
        # accept bind listen socketpair, fork vfork execve, ptrace, syslog, mount and
        # its kin, reboot, swap, modules, kexec, keys, bpf, perf, namespaces, other processes' memory, ...
        (43, 49, 50, 53, 57, 58, 59, 101, 103, 155, 161, 163, 164, 165, 166, 167, 168, 169, 170, 171,
         172, 173, 175, 176, 179, 227, 246, 248, 249, 250, 272, 288, 298, 303, 304, 305, 308, 310, 311, 312,
         313, 320, 321, 322, 323),
    ),
    "aarch64": _Machine(
        0xC000_00B7,
        220,
        (198, 203),
        (199, 200, 201, 202, 242, 221, 281, 117, 116, 41, 51, 39, 40, 142, 224, 225, 105, 106, 273,
         104, 294, 217, 218, 219, 280, 241, 97, 268, 264, 265, 270, 271, 272, 282, 161, 162, 89, 170, 112),
    ),
}  # fmt: skip
_CLONE3: Final = 435

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict(*, network: bool = False) -> bool:
    """Refuse those calls (EPERM) to this thread and those that it starts; False on an unknown machine.

    With `network` it may still connect to others.

    Needs `no_new_privs`.
    """
    program = _CONNECTING if network else _UNCONNECTED
    if program is None:
        return False
    if _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0):
        error = ctypes.get_errno()
        if error == errno.EINVAL:
            return False  # A kernel without filters.
        raise OSError(error, f"seccomp: {os.strerror(error)}")
    return True


def _instructions(machine: _Machine, connecting: tuple[int, ...]) -> bytes:
    refuse = _return(_ERRNO | errno.EPERM)
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, machine.audit, skip_if=1),
        _return(_KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, skip_unless=1),
        refuse,
        # The flags of clone3 lie in memory, where no filter can look: the C library falls back on clone.
        _step(_EQUAL, _CLONE3, skip_unless=1),
        _return(_ERRNO | errno.ENOSYS),
    ]
    for number in (*connecting, *machine.refused, *_SINCE_BOTH_COUNT_ALIKE):
        code += [_step(_EQUAL, number, skip_unless=1), refuse]
    code += [
        _step(_EQUAL, machine.clone, skip_if=1),
        _return(_ALLOW),
        _step(_LOAD, _FIRST_ARGUMENT),
        _step(_ANY_BIT, _CLONE_THREAD, skip_unless=1),
        _return(_ALLOW),
        refuse,
    ]
    return b"".join(code)


def _step(code: int, value: int, *, skip_if: int = 0, skip_unless: int = 0) -> bytes:
    return struct.pack("=HBBI", code, skip_if, skip_unless, value)


def _return(action: int) -> bytes:
    return _step(_RETURN, action)


def _program(*, network: bool) -> _Program | None:
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return None
    instructions = _instructions(machine, () if network else machine.connecting)
    return _Program(len(instructions) // 8, instructions)


# Made once, before the forks.
_UNCONNECTED: Final = _program(network=False)
_CONNECTING: Final = _program(network=True)
