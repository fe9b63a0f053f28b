"""The calls of wasmtime's C API that happen once a request, without the binding's wrappers around them.

Those cost as much as the guest of a small handler does. What is called here once or never does not matter and
goes through `wasmtime`. The prototypes are this module's own; the library's functions are the same.
"""

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, byref, c_bool, c_char_p, c_size_t, c_void_p
from typing import Any, Final, NoReturn

from wasmtime import Engine, InstancePre, Trap, WasiConfig, WasmtimeError, _bindings, _ffi, _func

_library: Final = ctypes.CDLL(str(_ffi.filename))
"""The same library; a handle of our own keeps our prototypes from the binding's."""


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_library, name)
    function.restype, function.argtypes = result, arguments
    return function


_config_new: Final = _function("wasi_config_new", c_void_p)
_set_argv: Final = _function("wasi_config_set_argv", c_bool, c_void_p, c_size_t, c_void_p)
_set_env: Final = _function("wasi_config_set_env", c_bool, c_void_p, c_size_t, c_void_p, c_void_p)
_set_stdin_file: Final = _function("wasi_config_set_stdin_file", c_bool, c_void_p, c_char_p)
_set_stdin_bytes: Final = _function("wasi_config_set_stdin_bytes", None, c_void_p, c_void_p)
_inherit_stdout: Final = _function("wasi_config_inherit_stdout", None, c_void_p)
_inherit_stderr: Final = _function("wasi_config_inherit_stderr", None, c_void_p)
_preopen: Final = _function("wasi_config_preopen_dir", c_bool, c_void_p, c_char_p, c_char_p, c_bool)
_store_new: Final = _function("wasmtime_store_new", c_void_p, c_void_p, c_void_p, c_void_p)
_store_context: Final = _function("wasmtime_store_context", c_void_p, c_void_p)
_store_delete: Final = _function("wasmtime_store_delete", None, c_void_p)
_store_limiter: Final = _function(
    "wasmtime_store_limiter", None, c_void_p, *[ctypes.c_int64 for _ in range(5)]
)
_set_wasi: Final = _function(
    "wasmtime_context_set_wasi", POINTER(_bindings.wasmtime_error_t), c_void_p, c_void_p
)
_instantiate: Final = _function(
    "wasmtime_instance_pre_instantiate",
    POINTER(_bindings.wasmtime_error_t),
    c_void_p,
    c_void_p,
    c_void_p,
    c_void_p,
)
_export: Final = _function(
    "wasmtime_instance_export_get", c_bool, c_void_p, c_void_p, c_char_p, c_size_t, c_void_p
)
_call: Final = _function(
    "wasmtime_func_call",
    POINTER(_bindings.wasmtime_error_t),
    c_void_p,
    c_void_p,
    c_void_p,
    c_size_t,
    c_void_p,
    c_size_t,
    c_void_p,
)

_MAX_TABLE_ELEMENTS: Final = 1_000_000


def wasi_config(
    arguments: Sequence[bytes],
    names: Sequence[bytes],
    values: Sequence[bytes],
    stdin: bytes,
    mounts: Sequence[tuple[str, str, bool]],
    *,
    stdin_is_path: bool,
) -> int:
    """Make a WASI configuration whose standard output and error are this process's own.

    Args:
        arguments: `argv`.
        names: Names of variables, and
        values: what each is.
        stdin: What is read from standard input, or with `stdin_is_path` the path of a file with it.
        mounts: Directories as on the host and as in the guest, and whether it may only read; one that
            cannot be opened is left out.
        stdin_is_path: See there.
    """
    config: int = _config_new()
    count = len(arguments)
    _set_argv(config, count, (c_char_p * count)(*arguments))
    count = len(names)
    array = c_char_p * count
    _set_env(config, count, array(*names), array(*values))
    if stdin_is_path:
        _set_stdin_file(config, stdin)
    elif stdin:
        _give_stdin(config, stdin)
    _inherit_stdout(config)
    _inherit_stderr(config)
    for source, target, read_only in mounts:
        _preopen(config, source.encode(), target.encode(), not read_only)
    return config


def set_stdin(config: WasiConfig, content: bytes) -> None:
    """Make bytes the standard input of a configuration of the binding's."""
    _give_stdin(ctypes.cast(config.ptr(), c_void_p), content)


def _give_stdin(config: Any, content: bytes) -> None:
    vector = _bindings.wasm_byte_vec_t()
    _bindings.wasm_byte_vec_new(
        byref(vector), len(content), ctypes.cast(c_char_p(content), POINTER(ctypes.c_ubyte))
    )
    _set_stdin_bytes(config, byref(vector))


class Prepared:
    """A core module linked once, to be run many times."""

    def __init__(self, engine: Engine, linked: InstancePre) -> None:
        self._keep = engine, linked
        self._engine = ctypes.cast(engine.ptr(), c_void_p)
        self._linked = ctypes.cast(linked.ptr(), c_void_p)
        self._instance = _bindings.wasmtime_instance_t()
        self._extern: Any = _bindings.wasmtime_extern_t()

    def run(self, config: int, entrypoint: bytes) -> None:
        """Call an export of a fresh instance, which is gone afterwards. Takes the configuration over.

        Raises:
            Trap: The guest trapped.
            WasmtimeError: It could not be instantiated.
            KeyError: It has no such export.
            GuestExit: It left by `proc_exit`.
        """
        store = _store_new(self._engine, None, None)
        try:
            _store_limiter(store, -1, _MAX_TABLE_ELEMENTS, -1, -1, -1)
            context = _store_context(store)
            trap: Any = POINTER(_bindings.wasm_trap_t)()
            error = _set_wasi(context, config) or _instantiate(
                self._linked, context, byref(self._instance), byref(trap)
            )
            if error or trap:
                _raise(error, trap)
            extern = self._extern
            if (
                not _export(context, byref(self._instance), entrypoint, len(entrypoint), byref(extern))
                or extern.kind != _ffi.WASMTIME_EXTERN_FUNC.value
            ):
                raise KeyError(entrypoint)
            error = _call(context, byref(extern.of.func), None, 0, None, 0, byref(trap))
            if error or trap:
                _raise(error, trap)
        finally:
            _store_delete(store)


def _raise(error: Any, trap: Any) -> NoReturn:
    # Made first, so that it is freed even if an exception of a host function comes before it.
    own = Trap._from_ptr(trap) if trap else WasmtimeError._from_ptr(error)  # noqa: SLF001
    _func.maybe_raise_last_exn()
    raise own
