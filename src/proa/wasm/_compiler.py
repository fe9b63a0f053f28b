"""Compiling modules into the cache: what a compiling child of the zygote does.

A cache entry is machine code that will be run, so the cache directory belongs to its user alone.
"""

import contextlib
import fcntl
import os
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final, Literal, Protocol, TypeVar

import msgspec
from wasmtime import FuncType, Module, WasmtimeError
from wasmtime.component import Component

from proa.wasm import _process, _seccomp
from proa.wasm._engine import Runtime, command_interface
from proa.wasm._outbound import OutboundHttp
from proa.wasm._process import one_line
from proa.wasm.spec import CompiledModule, ModuleTerms

_MAGIC: Final = b"\0asm"
_COMPONENT: Final = b"\x0d\x00\x01\x00"
_OFFERED: Final = re.compile(r"wasi:(cli|clocks|filesystem|io|random|sockets)/[a-z0-9-]+@0\.2\.\d+")
_HTTP: Final = re.compile(r"wasi:http/(types|outgoing-handler)@0\.2\.\d+")
_MAX_SOURCE: Final = 512 * 1024 * 1024
# Ample, too: that program took 40 seconds.
_BASE_CPU_SECONDS: Final = 120
_CPU_SECONDS_PER_MB: Final = 10
# Ample: a C++ program of 69 MB took 1.4 GB.
_BASE_MEMORY: Final = 1 << 30
_MEMORY_PER_BYTE: Final = 64
_NICENESS: Final = 10


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
    """Make sure that the cache holds a usable entry for a module, and that it meets the terms."""
    os.nice(_NICENESS)
    try:
        size = source.stat().st_size
        if size > _MAX_SOURCE:
            raise _RejectedError("invalid", f"{source} is larger than {_MAX_SOURCE // 1024**2} MB")
        _process.limit(resource.RLIMIT_CPU, _BASE_CPU_SECONDS + _CPU_SECONDS_PER_MB * size // 1_000_000)
        _process.limit(resource.RLIMIT_DATA, _BASE_MEMORY + _MEMORY_PER_BYTE * size)
        _seccomp.restrict()
        kind = _kind(source)
        compiled = kind.load(runtime, entry) or _fill(kind, runtime, source, digest, entry)
        kind.check(runtime, compiled, terms)
        return CompiledModule(digest, entry, entry.stat().st_size, kind.is_component)
    except _RejectedError as error:
        return error.rejection
    except OSError as error:
        return Rejection("invalid", f"{error.strerror}: {error.filename or entry}")


class _Modules:
    """Core modules: of WASI preview 1."""

    is_component: ClassVar = False

    def load(self, runtime: Runtime, entry: Path) -> Module | None:
        return _load(entry, runtime.load)

    def compile(self, runtime: Runtime, binary: bytes) -> Module:
        return Module(runtime.engine, binary)

    def check(self, runtime: Runtime, module: Module, terms: ModuleTerms) -> None:
        exports = {export.name: export.type for export in module.exports}
        for name in terms.exports:
            function = exports.get(name)
            if not isinstance(function, FuncType) or function.params or function.results:
                what = "the module is no command: it" if name == "_start" else "the module"
                raise _RejectedError("unsupported", f"{what} exports no function {name}")
        if terms.http:
            OutboundHttp(runtime).offer(module)
        try:
            runtime.linker.instantiate_pre(module)
        except WasmtimeError as error:
            raise _RejectedError("unsupported", one_line(error)) from None


class _Components:
    """Components: commands of WASI 0.2."""

    is_component: ClassVar = True

    def load(self, runtime: Runtime, entry: Path) -> Component | None:
        return _load(entry, runtime.load_component)

    def compile(self, runtime: Runtime, binary: bytes) -> Component:
        return Component(runtime.engine, binary)

    def check(self, runtime: Runtime, component: Component, terms: ModuleTerms) -> None:
        if command_interface(runtime, component) is None:
            raise _RejectedError(
                "unsupported", "the component is no command: it does not export wasi:cli/run@0.2"
            )
        # Whether the linker has each of them is only known when it runs: that would run the guest's code.
        for name in component.type.imports(runtime.engine):
            if not _OFFERED.match(name) and not (terms.http and _HTTP.match(name)):
                raise _RejectedError("unsupported", f"the component imports {name}, which is not offered")


_Compiled = TypeVar("_Compiled", Module, Component)


class _Kind(Protocol[_Compiled]):
    is_component: ClassVar[bool]

    def load(self, runtime: Runtime, entry: Path) -> _Compiled | None: ...
    def compile(self, runtime: Runtime, binary: bytes) -> _Compiled: ...
    def check(self, runtime: Runtime, compiled: _Compiled, terms: ModuleTerms) -> None: ...


def _kind(source: Path) -> "_Kind[Any]":
    with source.open("rb") as file:
        head = file.read(len(_MAGIC) + len(_COMPONENT))
    if not head.startswith(_MAGIC):
        raise _RejectedError("invalid", f"{source} is not WebAssembly: it does not start with \\0asm")
    return _Components() if head.endswith(_COMPONENT) else _Modules()


def _load(entry: Path, load: Callable[[Path], _Compiled]) -> _Compiled | None:
    if not entry.exists():
        return None
    try:
        if not _sum_file(entry).exists() or _sum_file(entry).read_text() != _sum(entry):
            raise WasmtimeError("the cache entry was damaged")
        return load(entry)
    except WasmtimeError as error:
        _process.log(f"compiling anew: {one_line(error)}")
        return None


def _fill(kind: "_Kind[_Compiled]", runtime: Runtime, source: Path, digest: str, entry: Path) -> _Compiled:
    with _exclusive_draft(entry) as draft:
        compiled = kind.load(runtime, entry)  # Another process may have been at it while we waited.
        if compiled is None:
            try:
                compiled = kind.compile(runtime, _read(source, digest))
            except WasmtimeError as error:
                raise _RejectedError("invalid", one_line(error)) from None
            draft.write(compiled.serialize())
            draft.flush()
            os.fsync(draft.fileno())
            _sum_file(entry).write_text(_sum(Path(draft.name)))
            Path(draft.name).replace(entry)
        return compiled


def _sum_file(entry: Path) -> Path:
    return entry.with_suffix(".sha256")


def _sum(path: Path) -> str:
    import hashlib  # With it comes OpenSSL, which the zygote itself has no use for.

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def _read(source: Path, digest: str) -> bytes:
    import hashlib

    binary = source.read_bytes()
    if hashlib.sha256(binary).hexdigest() != digest:
        raise _RejectedError("invalid", f"{source} does not have the digest sha256:{digest}")
    return binary
