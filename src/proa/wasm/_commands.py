"""Modules that the zygote keeps loaded and linked, so that its children need not do it each for itself."""

from collections import OrderedDict
from pathlib import Path
from typing import Final

from wasmtime import WasmtimeError

from proa.wasm._engine import Runtime
from proa.wasm._native import Command
from proa.wasm.spec import SandboxSpec

MOST: Final = 16
_MAX_BYTES: Final = 8 * 1024 * 1024
"""What a larger one takes to load counts for little beside what it does; and every fork would copy it."""

_Identity = tuple[int, int, int]


class Commands:
    """The modules that were started last.

    Nothing of them runs here: loading maps the machine code and reads tables, linking compares types.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: OrderedDict[Path, tuple[_Identity, Command]] = OrderedDict()

    def find(self, spec: SandboxSpec) -> Command | None:
        """The module of a sandbox; None when the child is to load it, and to tell what is wrong with it."""
        module = spec.module
        if module.is_component or spec.outbound or module.size > _MAX_BYTES:
            return None
        try:
            identity = _identity(module.path)
            kept = self._kept.get(module.path)
            if kept is None or kept[0] != identity:
                kept = self._kept[module.path] = (
                    identity,
                    Command(self._runtime, self._runtime.load(module.path)),
                )
        except (OSError, WasmtimeError):
            return None
        self._kept.move_to_end(module.path)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return kept[1]


def _identity(path: Path) -> _Identity:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
