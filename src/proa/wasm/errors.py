"""What can go wrong with guests.

- `WasmError`
    - `InvalidModuleError`: the file is no WebAssembly module. Trying again is useless.
        - `UnsupportedModuleError`: it is one, but not one that can be run here. The same.
    - `SandboxError`: this sandbox could not be started, or was asked for something impossible.
    - `ZygoteLostError`: the process that owns the sandboxes is gone, and every sandbox with it.
      Opening `Sandboxes` anew starts another.
"""

from proa.app import ProaError


class WasmError(ProaError):
    """Base of everything that this package raises."""


class InvalidModuleError(WasmError):
    """The file is not a valid WebAssembly module; the message holds the engine's first reason."""


class UnsupportedModuleError(InvalidModuleError):
    """Valid WebAssembly that cannot be run here: no command, or with imports that are not offered."""


class SandboxError(WasmError):
    """A sandbox could not be started or forgotten; the message says which and why."""


class ZygoteLostError(WasmError):
    """The zygote ended, stopped answering, or could not be started.

    When it ends, the kernel kills every sandbox of its.
    """
