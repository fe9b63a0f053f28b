"""WebAssembly guests, each in an operating-system process of its own.

A *sandbox* is a process that runs one guest: it is forked from the *zygote*, a small single-threaded
process that has the engine loaded already and never runs guest code itself. Sandboxes belong to the
zygote, not to the program that asked for them: they outlive it, and its successor finds them again.

- `Sandboxes`, `Sandbox`: what a program uses; asyncio. **Start reading here** (`proa.wasm.sandboxes`).
- `SandboxSpec`, `Mount`, `SandboxExit`, `ExitReason`, `CompiledModule`: the values that go in and come out.
- `ModuleTerms`: what a module must be; `Outbound`: where its HTTP requests may go;
  `NameServer`: who knows the names in them.
- `WorkerSpec`: processes that run guests one after another, for servers.
- `WasmError` and its children: what can go wrong (`proa.wasm.errors`).
- `proa.wasm.zygote`: the zygote's program; `_guest` and `_compiler` are what its children do, and
  `_confinement` (`_landlock`, `_seccomp`) is what holds them; `_outbound` sends their HTTP requests.
- `proa.wasm.beneath`: opening paths that a guest may have prepared.
- `proa.wasm.testing`: guests for tests, compiled from C.
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy

if TYPE_CHECKING:
    from proa.wasm._module_cache import remove_modules
    from proa.wasm.errors import (
        InvalidModuleError,
        SandboxError,
        UnsupportedModuleError,
        WasmError,
        ZygoteLostError,
    )
    from proa.wasm.sandboxes import Sandbox, Sandboxes
    from proa.wasm.spec import (
        CompiledModule,
        ExitReason,
        ModuleTerms,
        Mount,
        NameServer,
        Outbound,
        SandboxExit,
        SandboxSpec,
        WorkerSpec,
    )
else:  # The zygote imports this package and must stay small.
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "_module_cache": ("remove_modules",),
            "errors": (
                "InvalidModuleError",
                "SandboxError",
                "UnsupportedModuleError",
                "WasmError",
                "ZygoteLostError",
            ),
            "sandboxes": ("Sandbox", "Sandboxes"),
            "spec": (
                "CompiledModule",
                "ExitReason",
                "ModuleTerms",
                "Mount",
                "NameServer",
                "Outbound",
                "SandboxExit",
                "SandboxSpec",
                "WorkerSpec",
            ),
        },
    )

__all__ = [
    "CompiledModule",
    "ExitReason",
    "InvalidModuleError",
    "ModuleTerms",
    "Mount",
    "NameServer",
    "Outbound",
    "Sandbox",
    "SandboxError",
    "SandboxExit",
    "SandboxSpec",
    "Sandboxes",
    "UnsupportedModuleError",
    "WasmError",
    "WorkerSpec",
    "ZygoteLostError",
    "remove_modules",
]
