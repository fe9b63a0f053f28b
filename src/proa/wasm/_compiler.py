"""Compiling modules into the cache: what a compiling child of the zygote does.

A cache entry is machine code that will be run, so the cache directory belongs to its user alone.
"""

import contextlib
import fcntl
import hashlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal, NoReturn

import msgspec
from wasmtime import FuncType, Module, WasmtimeError
from wasmtime.component import Component

from proa.wasm import _process
from proa.wasm._engine import COMMAND_INTERFACE, Runtime
from proa.wasm._process import one_line
from proa.wasm.spec import CompiledModule, ModuleTerms

_MAGIC: Final = b"\0asm"
_COMPONENT: Final = b"\x0d\x00\x01\x00"
_CPU_SECONDS: Final = 1800
# Ample: a C++ program of 69 MB took 1.4 GB.
_BASE_MEMORY: Final = 1 << 30
_MEMORY_PER_BYTE: Final = 64
_NICENESS: Final = 10
_WASI_PACKAGES: Final = tuple(
    f"wasi:{package}/" for package in ("cli", "clocks", "filesystem", "io", "random", "sockets")
)


class Rejection(msgspec.Struct):
    """Why a module cannot be compiled or run."""

    error: Literal["invalid", "unsupported"]
    message: str


class _RejectedError(Exception):
    def __init__(self, error: Literal["invalid", "unsupported"], message: str) -> None:
        super().__init__(message)
        self.rejection = Rejection(error, message)


def compile_module(
    runtime: Runtime, source: Path, digest: str, entry: Path, terms: ModuleTerms
) -> CompiledModule | Rejection:
    """Make sure that the cache holds a usable entry for a module."""
    os.nice(_NICENESS)
    try:
        _process.limit(resource.RLIMIT_CPU, _CPU_SECONDS)
        _process.limit(resource.RLIMIT_DATA, _BASE_MEMORY + _MEMORY_PER_BYTE * source.stat().st_size)
        module = _load(runtime, entry) or _fill(runtime, source, digest, entry, terms)
        if isinstance(module, Component):
            _check_component(runtime, module, terms)
        else:
            _check_module(runtime, module, terms)
        return CompiledModule(digest, entry, entry.stat().st_size, isinstance(module, Component))
    except _RejectedError as error:
        return error.rejection
    except OSError as error:
        return Rejection("invalid", f"{error.strerror}: {error.filename or entry}")


def _load(runtime: Runtime, entry: Path) -> Module | Component | None:
    if not entry.exists():
        return None
    try:
        return runtime.load(entry)
    except WasmtimeError:
        pass  # It may be a component: the file itself tells.
    try:
        return runtime.load_component(entry)
    except WasmtimeError as error:
        _process.log(f"compiling anew: {one_line(error)}")
        return None


def _fill(runtime: Runtime, source: Path, digest: str, entry: Path, terms: ModuleTerms) -> Module | Component:
    with _exclusive_draft(entry) as draft:
        module = _load(runtime, entry)  # Another process may have been at it while we waited.
        if module is None:
            module = _compile(runtime, _read(source, digest, terms))
            draft.write(module.serialize())
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(entry)
        return module


@contextlib.contextmanager
def _exclusive_draft(entry: Path) -> Iterator[BinaryIO]:
    """Open the one file that becomes the entry, waiting for another process that writes it.

    One left by a process that was killed is simply used again.
    """
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = entry.with_suffix(".draft")
    while True:
        with path.open("ab") as draft:
            fcntl.flock(draft, fcntl.LOCK_EX)
            if not _is_open_file(path, draft):
                continue  # It has become the entry while we waited.
            draft.truncate(0)
            try:
                yield draft
            finally:
                if _is_open_file(path, draft):
                    path.unlink()
            return


def _is_open_file(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _read(source: Path, digest: str, terms: ModuleTerms) -> bytes:
    binary = source.read_bytes()
    if hashlib.sha256(binary).hexdigest() != digest:
        raise _RejectedError("invalid", f"{source} does not have the digest sha256:{digest}")
    if not binary.startswith(_MAGIC):
        raise _RejectedError("invalid", f"{source} is not WebAssembly: it does not start with \\0asm")
    if binary[4:8] == _COMPONENT and not terms.components:
        raise _RejectedError("unsupported", f"{source} is a component; only core modules can be run")
    return binary


def _compile(runtime: Runtime, binary: bytes) -> Module | Component:
    try:
        return (Component if binary[4:8] == _COMPONENT else Module)(runtime.engine, binary)
    except WasmtimeError as error:
        raise _RejectedError("invalid", one_line(error)) from None


def _check_module(runtime: Runtime, module: Module, terms: ModuleTerms) -> None:
    exports = {export.name: export.type for export in module.exports}
    for name in terms.exports:
        function = exports.get(name)
        if not isinstance(function, FuncType) or function.params or function.results:
            what = "the module is no command: it" if name == "_start" else "the module"
            raise _RejectedError(
                "unsupported", f"{what} exports no function {name} without parameters and results"
            )
    for imported in module.imports:
        if imported.module in terms.offered and isinstance(imported.type, FuncType):
            runtime.linker.define_func(imported.module, imported.name or "", imported.type, _unreachable)
    try:
        runtime.linker.instantiate_pre(module)
    except WasmtimeError as error:
        raise _RejectedError("unsupported", one_line(error)) from None


def _unreachable(*_: object) -> NoReturn:
    raise AssertionError("nothing is run while it is compiled")


def _check_component(runtime: Runtime, component: Component, terms: ModuleTerms) -> None:
    if not terms.components:
        raise _RejectedError("unsupported", "it is a component; only core modules can be run")
    exports = list(component.type.exports(runtime.engine))
    if not any(name.startswith(COMMAND_INTERFACE) for name in exports):
        raise _RejectedError("unsupported", "the component is no command: it exports no wasi:cli/run")
    # By name: the engine could only tell by instantiating it, which runs code of the component's.
    offered = (*_WASI_PACKAGES, "wasi:http/") if terms.http else _WASI_PACKAGES
    for name in component.type.imports(runtime.engine):
        if not name.startswith(offered):
            raise _RejectedError("unsupported", f"the component imports {name}, which is not offered")
