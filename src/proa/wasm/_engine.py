"""The engine, configured once, and the identity of the machine code it makes."""

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from wasmtime import Config, Engine, Linker, Module

_SETTINGS: Final = {"cranelift_opt_level": "speed", "memory_init_cow": True}
_IDENTITY: Final = hashlib.sha256(repr((sorted(_SETTINGS.items()), platform.machine())).encode()).hexdigest()
_COMPATIBLE: Final = f"wasmtime-{version('wasmtime')}-{_IDENTITY[:12]}"


def create_engine() -> Engine:
    """Make the engine. Starts no thread: those come with the first compilation or the first guest."""
    config = Config()
    for name, value in _SETTINGS.items():
        setattr(config, name, value)
    return Engine(config)


def create_linker(engine: Engine) -> Linker:
    """Make a linker that offers WASI preview 1."""
    linker = Linker(engine)
    linker.define_wasi()
    return linker


def cache_entry(cache_dir: Path, digest: str) -> Path:
    """Say where the machine code of a module belongs: it differs by engine version, settings and machine."""
    return cache_dir / _COMPATIBLE / f"{digest}.cwasm"


def load(engine: Engine, entry: Path) -> Module:
    """Map machine code from the cache, sharing its pages with every other process that does.

    Raises wasmtime.WasmtimeError for a file that this engine did not write in full.
    """
    return Module.deserialize_file(engine, str(entry))
