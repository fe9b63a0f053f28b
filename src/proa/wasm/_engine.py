"""The engine, configured once, and where the machine code that it makes is kept."""

import platform
from pathlib import Path
from typing import Final, NamedTuple, Self

import wasmtime
from wasmtime import Config, Engine, FuncType, Linker, Module, Store, ValType, WasmtimeError, component

from proa.wasm._memory import GuestMemory

# Copy-on-write images of initial memory exclude the allocation of `_memory`, and the code depends on them.
_SETTINGS: Final = {"cranelift_opt_level": "speed", "memory_init_cow": False}


def _release() -> str:
    """The engine's name and version. `importlib.metadata` loads modules of which some act at every fork."""
    installed = sorted(Path(wasmtime.__file__).parents[1].glob("wasmtime-*.dist-info"))
    return installed[-1].stem if installed else "wasmtime"  # The engine refuses the code of other versions.


_COMPATIBLE: Final = ",".join(
    [_release(), platform.machine(), *(f"{name}={value}" for name, value in _SETTINGS.items())]
)


class GuestExit(Exception):  # noqa: N818 - no error: it is how a guest leaves
    """Raised through a guest that called `proc_exit`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code & 0xFF


class Runtime(NamedTuple):
    """What every guest needs, made once before the forks.

    Making it starts no thread: those come with the first compilation or the first guest.

    Attributes:
        memory: Where guests' memories come from: bound it in the child, before the guest starts.
        engine: The engine.
        linker: Offers WASI preview 1 to core modules.
        component_linker: Offers WASI 0.2 to components.
    """

    memory: GuestMemory
    engine: Engine
    linker: Linker
    component_linker: component.Linker

    @classmethod
    def create(cls) -> Self:
        """Make a runtime."""
        memory = GuestMemory()
        config = Config()
        for name, value in _SETTINGS.items():
            setattr(config, name, value)
        memory.apply_to(config)
        engine = Engine(config)
        component_linker = component.Linker(engine)
        component_linker.add_wasip2()
        return cls(memory, engine, _create_linker(engine), component_linker)

    def load(self, entry: Path) -> Module:
        """Map machine code from the cache, sharing its pages with every other process that does.

        Raises wasmtime.WasmtimeError for a file that this engine did not write in full.
        """
        return Module.deserialize_file(self.engine, str(entry))

    def load_component(self, entry: Path) -> component.Component:
        """The same for a component."""
        return component.Component.deserialize_file(self.engine, str(entry))


def _create_linker(engine: Engine) -> Linker:
    linker = Linker(engine)
    linker.define_wasi()
    # The engine's own treats codes from 126 as a trap, which makes a C program's exit(-1) look like a crash.
    linker.allow_shadowing = True
    linker.define_func("wasi_snapshot_preview1", "proc_exit", FuncType([ValType.i32()], []), _proc_exit)
    return linker


def _proc_exit(code: int) -> None:
    raise GuestExit(code)


def command_interface(runtime: Runtime, made: component.Component) -> str | None:
    """The name under which a component exports `wasi:cli/run`, whatever its 0.2 version; else None."""
    exports: list[str] = list(made.type.exports(runtime.engine))
    return next((name for name in exports if name.startswith("wasi:cli/run@0.2.")), None)


def component_start(
    runtime: Runtime, store: Store, made: component.Component, instance: component.Instance
) -> component.Func:
    """The function `run` of a component's `wasi:cli/run`; raises wasmtime.WasmtimeError if there is none."""
    name = command_interface(runtime, made)
    index = made.get_export_index("run", made.get_export_index(name)) if name else None
    start = instance.get_func(store, index) if index else None
    if start is None:
        raise WasmtimeError(f"the component has no function run in {name}")
    return start


def cache_entry(cache_dir: Path, digest: str) -> Path:
    """Say where the machine code of a module belongs: it differs by engine version, settings and machine."""
    return cache_dir / _COMPATIBLE / f"{digest}.cwasm"
