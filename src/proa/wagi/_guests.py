"""Runs guests in this process, one at a time, each in an instance of its own; they print into memory."""

import os
import resource
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from wasmtime import ExitTrap, Store, Trap, WasiConfig, WasmtimeError, component

from proa.wagi import _native
from proa.wagi._messages import INLINE_OUTPUT, Invocation, Result
from proa.wasm import SandboxSpec
from proa.wasm._confinement import confine
from proa.wasm._engine import GuestExit, Runtime, component_start
from proa.wasm._guest import Places, open_mounts
from proa.wasm._outbound import OutboundHttp
from proa.wasm._process import one_line

__all__ = ["Guests"]

_MAX_MODULES: Final = 128
_MAX_TEXT: Final = 8 * 1024
_MAX_ERRORS: Final = 32 * 1024
_SLOW_NS: Final = 2_000_000
_STDOUT: Final = 1
_STDERR: Final = 2


class _Output:
    """A file in memory that stands for one of the standard streams."""

    def __init__(self, stream: int) -> None:
        self._stream = stream
        self.renew()

    def renew(self) -> None:
        """Begin a new file; the old one belongs to who has a descriptor of it."""
        descriptor = os.memfd_create("output", os.MFD_CLOEXEC)
        os.dup2(descriptor, self._stream)
        os.close(descriptor)

    def size(self) -> int:
        """How much has been printed."""
        return os.lseek(self._stream, 0, os.SEEK_CUR)

    def take(self, size: int, limit: int) -> bytes:
        """Return what was printed, cut to a limit, and have the next guest print over it.

        The file keeps its length if that is no more, which saves much: what of it counts is before the
        position.
        """
        content = os.pread(self._stream, min(size, limit), 0)
        if size > limit:
            os.ftruncate(self._stream, 0)
        os.lseek(self._stream, 0, os.SEEK_SET)
        return content


class Guests:
    """What it takes to run guests; there is one in a process, whose standard output and error are theirs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stdout = _Output(_STDOUT)
        self._stderr = _Output(_STDERR)
        self._modules: OrderedDict[str, _native.Prepared] = OrderedDict()
        self._components: dict[str, component.Component] = {}
        self._http = OutboundHttp(runtime)
        self._own_mounts: Sequence[tuple[str, str, bool]] | None = None
        self._used = self._waits = 0

    def begin(self) -> int:
        """Have `is_slow` count from here; return the nanoseconds of processor time of this thread so far."""
        self._used, self._waits = time.thread_time_ns(), _waits()
        return self._used

    def is_slow(self) -> bool:
        """Whether the last guest computed long, or waited. What it takes to load a program does not count."""
        return _waits() > self._waits or time.thread_time_ns() - self._used > _SLOW_NS

    def confine(self, spec: SandboxSpec) -> None:
        """Give up what the one module and its mounts do not need; they are opened before."""
        prepare = self._prepare_component if spec.module.is_component else self._prepare
        prepare(str(spec.module.path))
        places = Places()  # They stay open: each guest opens them anew.
        self._own_mounts = open_mounts(spec, places)
        confine(places.all, spec.user, spec.memory_limit, network=spec.outbound is not None)

    def _mounts(self, invocation: Invocation) -> Sequence[tuple[str, str, bool]]:
        return invocation.mounts if self._own_mounts is None else self._own_mounts

    def run(
        self, invocation: Invocation, descriptors: Sequence[int], exceeded: Callable[[int], None]
    ) -> Result:
        """Run a guest to its end; what it printed is still to be collected.

        Args:
            invocation: What to run.
            descriptors: Its standard input, if that comes through one.
            exceeded: Hears how much memory a guest wanted that wanted too much, and must not return.
        """
        self._runtime.memory.bound(invocation.memory_limit, exceeded)
        try:
            if invocation.is_component:
                return Result("exited", code=self._run_component(invocation, descriptors))
            self._run_module(invocation, descriptors)
        except GuestExit as end:
            return Result("exited", code=end.code)
        except (Trap, WasmtimeError) as trap:
            return Result("trapped", message=one_line(trap)[:_MAX_TEXT], detail=str(trap)[:_MAX_TEXT])
        except KeyError:
            return Result("failed", message=f"the module exports no function {invocation.entrypoint}")
        return _DONE

    def collect(self, result: Result) -> tuple[Result, int | None]:
        """Add what the guest printed to how it ended.

        What is too long for a message stays in a file, whose descriptor comes with the result; `renew` then.
        """
        size, errors_size = self._stdout.size(), self._stderr.size()
        errors = self._stderr.take(errors_size, _MAX_ERRORS) if errors_size else b""
        if size > INLINE_OUTPUT:
            return msgspec.structs.replace(result, size=size, errors=errors), _STDOUT
        if not size and not errors:
            return result, None
        output = self._stdout.take(size, INLINE_OUTPUT) if size else b""
        return msgspec.structs.replace(result, size=size, output=output, errors=errors), None

    def renew(self) -> None:
        """Leave the file with a guest's output to who has been given it."""
        self._stdout.renew()

    def _run_module(self, invocation: Invocation, descriptors: Sequence[int]) -> None:
        prepared = self._modules.get(invocation.module) or self._prepare(invocation.module)
        self._http.begin(None, invocation.outbound)
        config = _native.wasi_config(
            invocation.arguments,
            invocation.names,
            invocation.values,
            f"/proc/self/fd/{descriptors[0]}".encode() if invocation.has_input else invocation.body,
            self._mounts(invocation),
            stdin_is_path=invocation.has_input,
        )
        prepared.run(config, invocation.entrypoint.encode())

    def _prepare(self, path: str) -> _native.Prepared:
        module = self._runtime.load(Path(path))
        self._http.offer(module)
        linked = self._runtime.linker.instantiate_pre(module)
        prepared = self._modules[path] = _native.Prepared(self._runtime.engine, linked)
        if len(self._modules) > _MAX_MODULES:
            self._modules.popitem(last=False)
        self.begin()
        return prepared

    def _prepare_component(self, path: str) -> component.Component:
        guest = self._components[path] = self._runtime.load_component(Path(path))
        self._http.offer(guest)
        self.begin()
        return guest

    def _run_component(self, invocation: Invocation, descriptors: Sequence[int]) -> int:
        """Run a component and return its exit code."""
        guest = self._components.get(invocation.module) or self._prepare_component(invocation.module)
        with Store(self._runtime.engine) as store:
            store.set_wasi(_component_config(invocation, descriptors, self._mounts(invocation)))
            self._http.begin(store, invocation.outbound)
            instance = self._runtime.component_linker.instantiate(store, guest)
            run = component_start(self._runtime, store, guest, instance)
            try:
                return int(run(store).tag != "ok")
            except ExitTrap as end:
                return int(end.code)


_DONE: Final = Result("exited")


def _waits() -> int:
    """How often this thread has waited for something."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def _component_config(
    invocation: Invocation, descriptors: Sequence[int], mounts: Iterable[tuple[str, str, bool]]
) -> WasiConfig:
    config = WasiConfig()
    config.argv = [argument.decode() for argument in invocation.arguments]
    names, values = ([each.decode() for each in part] for part in (invocation.names, invocation.values))
    config.env = list(zip(names, values, strict=True))
    if invocation.has_input:
        config.stdin_file = f"/proc/self/fd/{descriptors[0]}"
    elif invocation.body:
        _native.set_stdin(config, invocation.body)
    config.inherit_stdout()
    config.inherit_stderr()
    for source, target, read_only in mounts:
        config.preopen_dir(source, target, not read_only)
    return config
