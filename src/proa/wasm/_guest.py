"""Running one guest: what a sandbox does between the fork and its end."""

import contextlib
import os
from collections.abc import Callable
from typing import Final

import msgspec
from wasmtime import Engine, ExitTrap, Func, Store, Trap, WasiConfig, WasmtimeError

from proa.wasm._engine import create_linker, load
from proa.wasm._process import one_line
from proa.wasm.spec import ExitReason, Mount, SandboxSpec

_TRAPPED: Final = 134
_OUT_OF_MEMORY: Final = 137
FAILED: Final = 128
_MAX_TABLE_ELEMENTS: Final = 1_000_000
_MAX_MESSAGE: Final = 1000


class Outcome(msgspec.Struct):
    """How a guest ended, as far as the sandbox itself can say."""

    exit_code: int
    reason: ExitReason
    message: str = ""


def run(engine: Engine, spec: SandboxSpec, report: Callable[[bytes], None]) -> None:
    """Run the guest to its end and report the outcome."""
    os.chdir("/")
    outcome, trace = _run(engine, spec)
    outcome.message = outcome.message[:_MAX_MESSAGE]
    report(msgspec.json.encode(outcome))
    if trace:
        with contextlib.suppress(OSError):
            os.write(2, trace.encode())


def _run(engine: Engine, spec: SandboxSpec) -> tuple[Outcome, str]:
    try:
        store = _create_store(engine, spec)
        instance = create_linker(engine).instantiate(store, load(engine, spec.module.path))
        start = instance.exports(store)["_start"]
    except (WasmtimeError, Trap, OSError) as error:
        return Outcome(FAILED, ExitReason.FAILED, one_line(error)), ""
    assert isinstance(start, Func)
    try:
        start(store)
    except ExitTrap as exit_:
        return Outcome(exit_.code, ExitReason.EXITED), ""
    except (Trap, WasmtimeError) as trap:
        return Outcome(_TRAPPED, ExitReason.TRAPPED, one_line(trap)), f"{trap}\n"
    return Outcome(0, ExitReason.EXITED), ""


def _create_store(engine: Engine, spec: SandboxSpec) -> Store:
    store = Store(engine)
    store.set_limits(memory_size=spec.memory_limit or -1, table_elements=_MAX_TABLE_ELEMENTS)
    wasi = WasiConfig()
    wasi.argv = list(spec.args)
    wasi.env = spec.env.items()
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    for mount in spec.mounts:
        _preopen(wasi, mount)
    store.set_wasi(wasi)
    return store


def _preopen(wasi: WasiConfig, mount: Mount) -> None:
    try:
        wasi.preopen_dir(str(mount.source), mount.target, not mount.read_only)
    except WasmtimeError:
        raise OSError(f"cannot open the directory {mount.source} for the mount {mount.target}") from None
