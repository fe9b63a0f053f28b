"""Landlock: which files the process can reach from now on, whatever it does. See landlock(7).

The second wall behind the engine's own: it holds should a guest find a way out of the engine.
"""

import ctypes
import os
from collections.abc import Iterable
from typing import Final, NamedTuple

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_READ: Final = 0b1100  # Read files and directories.
_WRITE: Final = 0b0111_0001_1011_0010  # Write, remove, make directories, files and links, rename, cut.
_FIRST_ABI_RIGHTS: Final = (1 << 13) - 1
_LATER_RIGHTS: Final = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_TCP: Final = 0b11
_BIND_TCP: Final = 0b01
_SCOPES: Final = 0b11  # Abstract sockets and signals stay inside.

_libc = ctypes.CDLL(None, use_errno=True)


class Place(NamedTuple):
    """A directory that stays in reach: an open descriptor, and whether it may be changed."""

    descriptor: int
    read_only: bool


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


# What depends on the kernel alone is made once, before the forks.
_ABI: Final = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
_RIGHTS: Final = _FIRST_ABI_RIGHTS | sum(right for since, right in _LATER_RIGHTS.items() if since <= _ABI)
_SIZE: Final = 24 if _ABI >= 6 else 16 if _ABI >= 4 else 8


def _rules(tcp: int) -> _Ruleset:
    return _Ruleset(_RIGHTS, tcp if _ABI >= 4 else 0, _SCOPES if _ABI >= 6 else 0)


_UNCONNECTED: Final = _rules(_TCP)
_CONNECTING: Final = _rules(_BIND_TCP)


def restrict(places: Iterable[Place], *, network: bool = False) -> bool:
    """Put all files but those in the places out of reach; False if the kernel has no Landlock.

    TCP, too, unless with `network` connecting is left.

    Binds this thread and those that it starts. Needs `no_new_privs`.
    """
    if _ABI < 1:
        return False
    rules = _CONNECTING if network else _UNCONNECTED
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(rules), _SIZE, 0))
    for place in places:
        allowed = _READ if place.read_only else _READ | _WRITE
        beneath = _Beneath(allowed & _RIGHTS, place.descriptor)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(beneath), 0))
    _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    return True


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"landlock: {os.strerror(error)}")
    return result
