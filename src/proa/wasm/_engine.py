"""The engine, configured once, and where the machine code that it makes is kept."""

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple, Self

from wasmtime import Config, Engine, FuncType, Linker, Module, ValType, component

from proa.wasm._memory import GuestMemory

# Copy-on-write images of initial memory exclude the allocation of `_memory`, and the code depends on them.
_SETTINGS: Final = {"cranelift_opt_level": "speed", "memory_init_cow": False}
_IDENTITY: Final = hashlib.sha256(repr((sorted(_SETTINGS.items()), platform.machine())).encode()).hexdigest()
_COMPATIBLE: Final = f"wasmtime-{version('wasmtime')}-{_IDENTITY[:12]}"


COMMAND_INTERFACE: Final = "wasi:cli/run@"
"""How the name of the export begins that makes a component a command; a version follows."""


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
        linker: Offers WASI preview 1.
    """

    memory: GuestMemory
    engine: Engine
    linker: Linker

    @classmethod
    def create(cls) -> Self:
        """Make a runtime."""
        memory = GuestMemory()
        config = Config()
        for name, value in _SETTINGS.items():
            setattr(config, name, value)
        memory.apply_to(config)
        engine = Engine(config)
        return cls(memory, engine, _create_linker(engine))

    def load(self, entry: Path) -> Module:
        """Map machine code from the cache, sharing its pages with every other process that does.

        Raises wasmtime.WasmtimeError for a file that this engine did not write in full.
        """
        return Module.deserialize_file(self.engine, str(entry))

    def load_component(self, entry: Path) -> component.Component:
        """Do the same for a component."""
        return component.Component.deserialize_file(self.engine, str(entry))

    def component_linker(self, *, http: bool) -> component.Linker:
        """Make a linker that offers WASI 0.2 to components, and `wasi:http` if asked to."""
        linker = component.Linker(self.engine)
        linker.add_wasip2()
        if http:
            linker.add_wasi_http()
        return linker


def _create_linker(engine: Engine) -> Linker:
    linker = Linker(engine)
    linker.define_wasi()
    # The engine's own treats codes from 126 as a trap, which makes a C program's exit(-1) look like a crash.
    linker.allow_shadowing = True
    linker.define_func("wasi_snapshot_preview1", "proc_exit", FuncType([ValType.i32()], []), _proc_exit)
    return linker


def _proc_exit(code: int) -> None:
    raise GuestExit(code)


def cache_entry(cache_dir: Path, digest: str) -> Path:
    """Say where the machine code of a module belongs: it differs by engine version, settings and machine."""
    return cache_dir / _COMPATIBLE / f"{digest}.cwasm"
