"""Linear memory with a hard bound: the guest that wants more ends, as a process does under Kubernetes.

WebAssembly's own answer to a refused `memory.grow` is -1, which a C program sees as a NULL that it may well
write through: address 0 is as good as any other there. So the memory of a bounded guest is allocated here,
where the moment it asks for too much can be noticed.
"""

import ctypes
import mmap
from collections.abc import Callable
from typing import Any, Final

from wasmtime import Config, _bindings

_NONE: Final = 0  # PROT_NONE
_DONT_NEED: Final = 4  # MADV_DONTNEED
_NO_RESERVE: Final = 0x4000  # MAP_NORESERVE
_FAILED: Final = ctypes.c_void_p(-1).value
_PAGE: Final = mmap.PAGESIZE
_UNLIMITED: Final = 1 << 62
_RESERVED: Final = 1 << 32
_GUARD: Final = 1 << 25
"""These are the engine's own defaults."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_no_finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)()


class GuestMemory:
    """The linear memories of one guest at a time. Keep it as long as the engine that it was applied to.

    The memory of a guest that is gone serves the next one, emptied: setting one up costs microseconds, as
    little as with the engine's own pool.
    """

    def __init__(self) -> None:
        self._limit = _UNLIMITED
        self._exceeded: Callable[[int], None] = lambda _: None
        self._used = 0
        self._alive: list[Any] = []
        self._free: dict[int, list[_Memory]] = {}

    def bound(self, limit: int | None, exceeded: Callable[[int], None]) -> None:
        """Allow the next guest at most `limit` bytes in all, None being no limit.

        `exceeded` hears what was wanted, and must not return.
        """
        self._limit = limit or _UNLIMITED
        self._exceeded = exceeded

    def apply_to(self, config: Config) -> None:
        """Make an engine with this configuration allocate here."""
        config.memory_reservation, config.memory_guard_size = _RESERVED, _GUARD
        creator: Any = _bindings.wasmtime_memory_creator_t()
        creator.new_memory = _bindings.wasmtime_new_memory_callback_t(self._create)
        creator.finalizer = _no_finalizer
        self._alive.append(creator)
        # The one that most guests have: made here, before the forks. It costs addresses only.
        if memory := self._map(_RESERVED, _GUARD):
            self._free[_RESERVED + _GUARD] = [memory]
        _bindings.wasmtime_config_host_memory_creator_set(config.ptr(), ctypes.byref(creator))

    def _create(
        self, _env: int, _type: Any, minimum: int, maximum: int, reserved: int, guard: int, result: Any
    ) -> int:
        self._charge(minimum)
        capacity = max(reserved, minimum)
        free = self._free.setdefault(capacity + guard, [])
        memory = free.pop() if free else self._map(capacity, guard)
        if memory is None:
            return _error("the kernel has no room for a memory")
        memory.describe(result[0])
        return memory.open(minimum)

    def _map(self, capacity: int, guard: int) -> "_Memory | None":
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
        base = _libc.mmap(None, _round_up(capacity + guard), _NONE, flags, -1, 0)
        if base == _FAILED:
            return None
        memory = _Memory(
            base, capacity, self._charge, lambda m, size: self._release(m, size, capacity + guard)
        )
        self._alive.append(memory)
        return memory

    def _release(self, memory: "_Memory", size: int, reserved: int) -> None:
        self._used -= size
        self._free[reserved].append(memory)

    def _charge(self, amount: int) -> None:
        self._used += amount
        if self._used > self._limit:
            self._exceeded(self._used)


class _Memory:
    """One linear memory: a range of addresses of which the beginning can be used."""

    def __init__(
        self,
        base: int,
        capacity: int,
        charge: Callable[[int], None],
        release: Callable[["_Memory", int], None],
    ) -> None:
        self._base = base
        self._size = 0
        self._usable = 0
        self._capacity = capacity
        self._charge = charge
        self._release = release
        self._get_callback = _bindings.wasmtime_memory_get_callback_t(self._get)
        self._grow_callback = _bindings.wasmtime_memory_grow_callback_t(self._grow)
        self._finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._finalize)

    def describe(self, result: Any) -> None:
        """Fill in the engine's view of this memory."""
        result.get_memory = self._get_callback
        result.grow_memory = self._grow_callback
        result.finalizer = self._finalizer

    def _get(self, _env: int, size: Any, capacity: Any) -> int:
        size[0], capacity[0] = self._size, self._capacity
        return self._base

    def _grow(self, _env: int, size: int) -> int:
        self._charge(size - self._size)
        return self.open(size)

    def _finalize(self, _env: int) -> None:
        """Take the memory back from a guest that is gone: the next one finds only zeros."""
        size, self._size = self._size, 0
        if _libc.madvise(self._base, self._usable, _DONT_NEED):
            return  # Never to be used again: it could show one guest what another left.
        self._release(self, size)

    def open(self, size: int) -> int:
        """Make exactly the first `size` bytes usable; return 0 or an error for the engine."""
        if size > self._capacity:
            return _error("the memory has no room to grow where it is")
        usable = _round_up(size)
        if usable > self._usable and _libc.mprotect(self._base, usable, mmap.PROT_READ | mmap.PROT_WRITE):
            return _error("the kernel refuses more memory")
        if usable < self._usable and _libc.mprotect(self._base + usable, self._usable - usable, _NONE):
            return _error("the kernel does not take memory back")
        self._size, self._usable = size, usable
        return 0


def _error(message: str) -> int:
    """Make an error that the engine takes over, as the number that its callbacks return."""
    address = ctypes.cast(_bindings.wasmtime_error_new(message.encode()), ctypes.c_void_p).value
    assert address
    return address


def _round_up(size: int) -> int:
    return (size + _PAGE - 1) // _PAGE * _PAGE
