"""`wasi:http` of components, held to the hosts that are allowed.

The engine sends these requests itself and asks nobody. It does so with the C library's `getaddrinfo` and
`connect`, though, and what those names mean to the engine's library stands in a table of addresses in memory.
The two entries are replaced here: a name that is not allowed is not found, and an address is only connected
to when it belongs to an allowed name, or is allowed itself. What else the process connects to is its own.
"""

import ctypes
import errno
import ipaddress
import mmap
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from wasmtime import _ffi

from proa.wasm._name_server import look_up
from proa.wasm.spec import Outbound

__all__ = ["Guard"]

_WORD: Final = ctypes.sizeof(ctypes.c_void_p)
_REFUSED: Final = -1
_NO_SUCH_NAME: Final = socket.EAI_NONAME
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_ConnectType = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, use_errno=True)


class _AddressInfo(ctypes.Structure):
    pass


_AddressInfo._fields_ = [
    ("flags", ctypes.c_int),
    ("family", ctypes.c_int),
    ("kind", ctypes.c_int),
    ("protocol", ctypes.c_int),
    ("length", ctypes.c_uint32),
    ("address", ctypes.c_void_p),
    ("name", ctypes.c_char_p),
    ("next", ctypes.POINTER(_AddressInfo)),
]
_LookUpType = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.POINTER(_AddressInfo)),
    use_errno=True,
)
_connect: Final = _ConnectType(("connect", _libc))
_look_up: Final = _LookUpType(("getaddrinfo", _libc))


class Guard:
    """Stands between the engine and the network, for as long as the process lives.

    Raises:
        OSError: The engine's library is not built as expected here: it must not be offered `wasi:http`.
    """

    def __init__(self) -> None:
        self._allowed = Outbound()
        self._names: dict[_Address, set[str]] = {}
        self._open: dict[int, int] = {}
        # Kept alive with this object: the engine calls them from threads of its own.
        self._replacements = _ConnectType(self._on_connect), _LookUpType(self._on_look_up)
        for function, replacement in zip((_connect, _look_up), self._replacements, strict=True):
            _replace(_address_of(function), _address_of(replacement))

    def allow(self, allowed: Outbound) -> None:
        """Begin with the next guest."""
        self._allowed = allowed
        self._names = {}

    def _on_look_up(self, node: bytes | None, service: bytes | None, hints: int, result: Any) -> int:
        name = (node or b"").decode("ascii", "replace")
        if not self._allowed.allows_name(name):
            return _NO_SUCH_NAME
        if self._allowed.name_server is not None:
            node = look_up(name, self._allowed.name_server).encode()
        code = _look_up(node, service, hints, result)
        if not code:
            for address in _addresses(result[0]):
                self._names.setdefault(address, set()).add(name)
        return int(code)

    def _on_connect(self, descriptor: int, address: int, length: int) -> int:
        found = _read_address(address) if length >= 16 else None
        if found is None or not self._may_connect(*found):
            ctypes.set_errno(errno.EACCES)
            return _REFUSED
        if not self._count(descriptor):
            ctypes.set_errno(errno.EAGAIN)
            return _REFUSED
        return int(_connect(descriptor, address, length))

    def _may_connect(self, address: _Address, port: int) -> bool:
        names = (str(address), *self._names.get(address, ()))
        return any(self._allowed.allows(name, port) for name in names)

    def _count(self, descriptor: int) -> bool:
        """Count the connections that are open now; False when there are as many as allowed."""
        limit = self._allowed.max_requests
        self._open = {each: inode for each, inode in self._open.items() if _inode(each) == inode}
        self._open[descriptor] = _inode(descriptor)
        return limit is None or len(self._open) <= limit


def _inode(descriptor: int) -> int:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return 0
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else 0


def _addresses(info: Any) -> Iterator[_Address]:
    while info:
        if info[0].address and (found := _read_address(info[0].address)):
            yield found[0]
        info = info[0].next


def _read_address(pointer: int) -> tuple[_Address, int] | None:
    """Read a `sockaddr`: address and port, or None for a kind that is not the internet's."""
    (family,) = struct.unpack("=H", ctypes.string_at(pointer, 2))
    if family == socket.AF_INET:
        port, packed = struct.unpack("!H4s", ctypes.string_at(pointer + 2, 6))
        return ipaddress.IPv4Address(packed), port
    if family == socket.AF_INET6:
        port, packed = struct.unpack("!H4x16s", ctypes.string_at(pointer + 2, 22))
        address = ipaddress.IPv6Address(packed)
        return address.ipv4_mapped or address, port
    return None


def _address_of(function: Any) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address
    return address


def _replace(before: int, after: int) -> None:
    """Have the engine's library call `after` where it calls `before`."""
    place = next(_places(struct.pack("@P", before)), None)
    if place is None:
        raise OSError(errno.ENOTSUP, "the engine's connections cannot be watched on this machine")
    page = place // mmap.PAGESIZE * mmap.PAGESIZE
    _protect(page, mmap.PROT_READ | mmap.PROT_WRITE)
    ctypes.c_void_p.from_address(place).value = after
    _protect(page, mmap.PROT_READ)


def _places(word: bytes) -> Iterator[int]:
    """Find a word in the tables of the engine's library: what lies behind its code."""
    for start, end in _tables():
        content = ctypes.string_at(start, end - start)
        found = content.find(word)
        while found >= 0:
            if found % _WORD == 0:
                yield start + found
            found = content.find(word, found + 1)


def _tables() -> list[tuple[int, int]]:
    tables: list[tuple[int, int]] = []
    with Path("/proc/self/maps").open(encoding="utf-8") as maps:
        for line in maps:
            span, rights, *rest = line.split(maxsplit=5)
            if rest[-1].strip() != str(_ffi.filename):
                continue
            start, _, end = span.partition("-")
            if "x" in rights:
                tables.clear()
            elif rights.startswith("r--"):
                tables.append((int(start, 16), int(end, 16)))
    return tables


def _protect(page: int, rights: int) -> None:
    if _libc.mprotect(page, mmap.PAGESIZE, rights):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
