"""The engine's C API where each page and microsecond counts: what a sandbox calls after its fork.

The binding's own wrappers make objects for types, exports and paths that nobody asks for; each of them writes
to memory that a fresh process still shares with the zygote. The prototypes are this module's own; the
library's functions are the same.
"""

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import POINTER, byref, c_bool, c_char_p, c_size_t, c_void_p
from typing import Any, Final, NoReturn

from wasmtime import Module, Trap, WasmtimeError, _bindings, _ffi, _func

from proa.wasm._engine import Runtime

_library: Final = ctypes.CDLL(str(_ffi.filename))
"""The same library; a handle of our own keeps our prototypes from the binding's."""
MAX_TABLE_ELEMENTS: Final = 1_000_000
_START: Final = b"_start"


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_library, name)
    function.restype, function.argtypes = result, arguments
    return function


# What may fail returns an error's address: 0 is none.
_config_new: Final = _function("wasi_config_new", c_void_p)
_set_argv: Final = _function("wasi_config_set_argv", c_bool, c_void_p, c_size_t, c_void_p)
_set_env: Final = _function("wasi_config_set_env", c_bool, c_void_p, c_size_t, c_void_p, c_void_p)
_inherit: Final = tuple(
    _function(f"wasi_config_inherit_{stream}", None, c_void_p) for stream in ("stdin", "stdout", "stderr")
)
_preopen: Final = _function("wasi_config_preopen_dir", c_bool, c_void_p, c_char_p, c_char_p, c_bool)
_store_new: Final = _function("wasmtime_store_new", c_void_p, c_void_p, c_void_p, c_void_p)
_store_context: Final = _function("wasmtime_store_context", c_void_p, c_void_p)
_store_limiter: Final = _function("wasmtime_store_limiter", None, c_void_p, *[ctypes.c_int64] * 5)
_set_wasi: Final = _function("wasmtime_context_set_wasi", c_void_p, c_void_p, c_void_p)
_instantiate: Final = _function("wasmtime_instance_pre_instantiate", c_void_p, *[c_void_p] * 4)
_export: Final = _function(
    "wasmtime_instance_export_get", c_bool, c_void_p, c_void_p, c_char_p, c_size_t, c_void_p
)
_call: Final = _function(
    "wasmtime_func_call",
    c_void_p,
    c_void_p,
    c_void_p,
    c_void_p,
    c_size_t,
    c_void_p,
    c_size_t,
    c_void_p,
)


def wasi_config(
    arguments: Sequence[str], variables: Mapping[str, str], mounts: Sequence[tuple[str, str, bool]]
) -> int:
    """Make a WASI configuration whose standard streams are this process's own.

    Args:
        arguments: `argv`.
        variables: The environment.
        mounts: Directories as on the host and as in the guest, and whether it may only read.

    Raises:
        WasmtimeError: A directory cannot be opened.
    """
    config: int = _config_new()
    _set_argv(config, len(arguments), _strings(arguments))
    if variables:
        _set_env(config, len(variables), _strings(variables), _strings(variables.values()))
    for inherit in _inherit:
        inherit(config)
    for source, target, read_only in mounts:
        if not _preopen(config, source.encode(), target.encode(), not read_only):
            raise WasmtimeError(f"the directory for {target} cannot be opened")
    return config


def _strings(texts: Any) -> Any:
    return (c_char_p * len(texts))(*[text.encode() for text in texts])


class Command:
    """A core module with `_start`, best loaded and linked before the fork, to be run once after it."""

    def __init__(self, runtime: Runtime, module: Module) -> None:
        linked = runtime.linker.instantiate_pre(module)
        self._keep = runtime, linked
        self._engine = ctypes.cast(runtime.engine.ptr(), c_void_p).value
        self._linked = ctypes.cast(linked.ptr(), c_void_p).value
        # Made here and not in each child.
        self._instance = _bindings.wasmtime_instance_t()
        self._start: Any = _bindings.wasmtime_extern_t()
        self._trap = c_void_p()
        self._context = 0

    def instantiate(self, config: int) -> None:
        """Make the guest ready; takes the configuration over. The store stays as long as the process.

        Raises:
            WasmtimeError: It cannot be made ready.
            Trap: Its start function trapped.
        """
        store = _store_new(self._engine, None, None)
        _store_limiter(store, -1, MAX_TABLE_ELEMENTS, -1, -1, -1)
        self._context = context = _store_context(store)
        instance = byref(self._instance)
        error = _set_wasi(context, config) or _instantiate(self._linked, context, instance, byref(self._trap))
        self._check(error)
        _export(context, instance, _START, len(_START), byref(self._start))

    def run(self) -> None:
        """Run the guest to its end.

        Raises:
            Trap: The guest trapped.
            WasmtimeError: The engine gave up.
            GuestExit: It left by `proc_exit`.
        """
        start = byref(self._start.of.func)
        self._check(_call(self._context, start, None, 0, None, 0, byref(self._trap)))

    def _check(self, error: int | None) -> None:
        if error or self._trap.value:
            _raise(error, self._trap)


def _raise(error: int | None, trap: c_void_p) -> NoReturn:
    # Made first, so that it is freed even if an exception of a host function comes before it.
    own: WasmtimeError | Trap
    if error:
        own = WasmtimeError._from_ptr(ctypes.cast(error, POINTER(_bindings.wasmtime_error_t)))  # noqa: SLF001
    else:
        own = Trap._from_ptr(ctypes.cast(trap, POINTER(_bindings.wasm_trap_t)))  # noqa: SLF001
    _func.maybe_raise_last_exn()
    raise own
