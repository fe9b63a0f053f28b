"""Running one guest: what a sandbox does between the fork and its end."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
from wasmtime import ExitTrap, Func, Store, Trap, WasiConfig, WasmtimeError

from proa.wasm._engine import GuestExit, Runtime, command_interface
from proa.wasm._process import one_line
from proa.wasm.spec import ExitReason, Mount, SandboxSpec

FAILED: Final = 128
_TRAPPED: Final = 134
_OUT_OF_MEMORY: Final = 137
_MAX_TABLE_ELEMENTS: Final = 1_000_000
_MAX_MESSAGE: Final = 1000


_Start = Callable[[], int]
"""Runs a guest that is ready to its end and returns its exit code."""


class Outcome(msgspec.Struct):
    """How a guest ended, as far as the sandbox itself can say."""

    exit_code: int
    reason: ExitReason
    message: str = ""


def run(runtime: Runtime, spec: SandboxSpec, report: Callable[[bytes], None]) -> None:
    """Run the guest to its end and report the outcome; a trap's backtrace goes to the guest's stderr."""

    def exceeded(size: int) -> None:
        message = f"wanted {size} bytes of memory, more than the limit of {spec.memory_limit}"
        report(msgspec.json.encode(Outcome(_OUT_OF_MEMORY, ExitReason.OUT_OF_MEMORY, message)))
        os.kill(os.getpid(), signal.SIGKILL)

    os.umask(0o022)
    if spec.memory_limit:
        runtime.memory.bound(spec.memory_limit, exceeded)
    outcome, trace = _run(runtime, spec)
    outcome.message = outcome.message[:_MAX_MESSAGE]
    report(msgspec.json.encode(outcome))
    with contextlib.suppress(OSError):
        os.write(2, trace.encode())


def _run(runtime: Runtime, spec: SandboxSpec) -> tuple[Outcome, str]:
    instantiate = _instantiate_component if spec.module.is_component else _instantiate_module
    try:
        store = _create_store(runtime, spec)
        start = instantiate(runtime, store, spec.module.path)
    except (WasmtimeError, Trap, OSError) as error:
        return Outcome(FAILED, ExitReason.FAILED, one_line(error)), ""
    try:
        return Outcome(start(), ExitReason.EXITED), ""
    except GuestExit as end:
        return Outcome(end.code, ExitReason.EXITED), ""
    except ExitTrap as end:
        return Outcome(end.code, ExitReason.EXITED), ""
    except (Trap, WasmtimeError) as trap:
        return Outcome(_TRAPPED, ExitReason.TRAPPED, one_line(trap)), f"{trap}\n"


def _instantiate_module(runtime: Runtime, store: Store, entry: Path) -> _Start:
    start = runtime.linker.instantiate(store, runtime.load(entry)).exports(store)["_start"]
    assert isinstance(start, Func)

    def run() -> int:
        start(store)
        return 0

    return run


def _instantiate_component(runtime: Runtime, store: Store, entry: Path) -> _Start:
    component = runtime.load_component(entry)
    instance = runtime.component_linker.instantiate(store, component)
    name = command_interface(runtime, component)
    index = component.get_export_index("run", component.get_export_index(name)) if name else None
    start = instance.get_func(store, index) if index else None
    if start is None:
        raise WasmtimeError(f"the component has no function run in {name}")
    return lambda: int(start(store).tag != "ok")


def _create_store(runtime: Runtime, spec: SandboxSpec) -> Store:
    wasi = WasiConfig()
    wasi.argv = list(spec.args)
    wasi.env = (({"PWD": spec.working_dir} if spec.working_dir else {}) | spec.env).items()
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    for mount in spec.mounts:
        _preopen(wasi, str(mount.source), mount)
    if spec.working_dir:
        _preopen_working_dir(wasi, PurePosixPath(spec.working_dir), spec.mounts)
    store = Store(runtime.engine)
    store.set_limits(table_elements=_MAX_TABLE_ELEMENTS)
    store.set_wasi(wasi)
    return store


def _preopen(wasi: WasiConfig, source: str, mount: Mount, target: str | None = None) -> None:
    try:
        wasi.preopen_dir(source, target or mount.target, not mount.read_only)
    except WasmtimeError:
        message = f"cannot open the directory {mount.source} for the mount {mount.target}"
        raise NotADirectoryError(message) from None


def _preopen_working_dir(wasi: WasiConfig, working_dir: PurePosixPath, mounts: tuple[Mount, ...]) -> None:
    """Open the directory as ".", which is where libraries for WASI look up what is in no other mount."""
    around = [mount for mount in mounts if working_dir.is_relative_to(mount.target)]
    if not around:
        raise NotADirectoryError(f"the working directory {working_dir} is in no mount")
    mount = max(around, key=lambda mount: len(PurePosixPath(mount.target).parts))
    flags = os.O_PATH | os.O_DIRECTORY
    descriptor = os.open(mount.source, flags)
    try:
        for part in working_dir.relative_to(mount.target).parts:
            # Step by step: a symbolic link that a guest left there must not lead out of the mount.
            inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        _preopen(wasi, f"/proc/self/fd/{descriptor}", mount, ".")
    except (FileNotFoundError, NotADirectoryError):
        raise NotADirectoryError(f"the working directory {working_dir} is no directory") from None
    finally:
        os.close(descriptor)
