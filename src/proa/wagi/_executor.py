"""What an executor does: run guests, one after another, each in an instance of its own.

An executor is a worker of `proa.wasm`'s zygote. Invocations come and results go over the socket that is its
standard input; guests print to files in memory. It knows of no deadlines: a guest that takes too long is
ended by killing the executor, whatever it hangs in.
"""

import array
import contextlib
import gc
import os
import signal
import socket
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from wasmtime import ExitTrap, Store, Trap, WasiConfig, WasmtimeError, component

from proa.wagi import _native
from proa.wagi._messages import (
    INLINE_OUTPUT,
    MAX_MESSAGE,
    NUMBER_BYTES,
    Invocation,
    Result,
    decode_invocation,
    encode,
)
from proa.wasm import SandboxSpec
from proa.wasm._confinement import confine
from proa.wasm._engine import GuestExit, Runtime, component_start
from proa.wasm._guest import Places, open_mounts
from proa.wasm._outbound import OutboundHttp
from proa.wasm._process import one_line

_MAX_MODULES: Final = 256
_MAX_TEXT: Final = 8 * 1024
_MAX_ERRORS: Final = 32 * 1024
_STDOUT: Final = 1
_STDERR: Final = 2
_ROOM: Final = socket.CMSG_SPACE(4)


def main(runtime: Runtime) -> None:
    """Serve until the gateway closes the socket."""
    with _complaining():
        _Executor(runtime).serve(socket.socket(fileno=0))


def main_of_pod(runtime: Runtime, spec: SandboxSpec) -> None:
    """The same for one module, confined as its sandbox would be; the socket comes once it is wanted."""
    with _complaining():
        wanted = socket.socket(fileno=0)
        executor = _Executor(runtime)
        executor.confine(spec)
        _, descriptors, _, _ = socket.recv_fds(wanted, 1, 1)
        if descriptors:
            executor.serve(socket.socket(fileno=descriptors[0]))


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    """What goes wrong with the executor itself goes where its standard error went at first."""
    gc.enable()
    complaints = os.dup(_STDERR)
    try:
        yield
    except BaseException:
        os.dup2(complaints, _STDERR)
        raise


def _receive(source: socket.socket) -> tuple[bytes, Sequence[int]]:
    message, ancillary, _, _ = source.recvmsg(MAX_MESSAGE, _ROOM, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    return message, descriptors


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

    def read(self, length: int) -> bytes:
        """Read what was printed first."""
        return os.pread(self._stream, length, 0)

    def clear(self) -> None:
        """Make it empty."""
        os.ftruncate(self._stream, 0)
        os.lseek(self._stream, 0, os.SEEK_SET)


class _Executor:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._control: socket.socket
        self._stdout = _Output(_STDOUT)
        self._stderr = _Output(_STDERR)
        self._modules: OrderedDict[str, _native.Prepared] = OrderedDict()
        self._components: dict[str, component.Component] = {}
        self._http = OutboundHttp(runtime)
        self._own_mounts: Sequence[tuple[str, str, bool]] | None = None

    def confine(self, spec: SandboxSpec) -> None:
        """Give up what the one module and its mounts do not need; they are opened before."""
        prepare = self._prepare_component if spec.module.is_component else self._prepare
        prepare(str(spec.module.path))
        places = Places()  # They stay open: each guest opens them anew.
        self._own_mounts = open_mounts(spec, places)
        confine(places.all, spec.user, spec.memory_limit, network=spec.outbound is not None)

    def _mounts(self, invocation: Invocation) -> Sequence[tuple[str, str, bool]]:
        return invocation.mounts if self._own_mounts is None else self._own_mounts

    def serve(self, control: socket.socket) -> None:
        """Run what comes until nothing can come any more."""
        self._control = control
        while True:
            message, descriptors = _receive(self._control)
            if not message:
                return
            try:
                result = self._run(decode_invocation(message[NUMBER_BYTES:]), descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            self._send(result)

    def _send(self, result: Result) -> None:
        size = self._stdout.size()
        errors = b""
        if self._stderr.size():
            errors = self._stderr.read(_MAX_ERRORS)
            self._stderr.clear()
        if size <= INLINE_OUTPUT:
            output = self._stdout.read(size) if size else b""
            self._control.send(
                encode(msgspec.structs.replace(result, size=size, output=output, errors=errors))
            )
            if size:
                self._stdout.clear()
            return
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [_STDOUT]))]
        self._control.sendmsg([encode(msgspec.structs.replace(result, size=size, errors=errors))], rights)
        self._stdout.renew()

    def _run(self, invocation: Invocation, descriptors: Sequence[int]) -> Result:
        """Run a guest to its end."""

        def exceeded(size: int) -> None:
            self._send(Result("memory", message=f"wanted {size} bytes of memory"))
            os.kill(os.getpid(), signal.SIGKILL)

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
        return Result("exited")

    def _run_module(self, invocation: Invocation, descriptors: Sequence[int]) -> None:
        prepared = self._modules.get(invocation.module) or self._prepare(invocation.module)
        self._http.begin(None, invocation.outbound)
        config = _native.wasi_config(
            invocation.arguments.split(b"\0")[:-1],
            invocation.names.split(b"\0") if invocation.names else [],
            invocation.values.split(b"\0") if invocation.names else [],
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
        return prepared

    def _prepare_component(self, path: str) -> component.Component:
        guest = self._components[path] = self._runtime.load_component(Path(path))
        self._http.offer(guest)
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


def _component_config(
    invocation: Invocation, descriptors: Sequence[int], mounts: Iterable[tuple[str, str, bool]]
) -> WasiConfig:
    config = WasiConfig()
    config.argv = invocation.arguments.decode().split("\0")[:-1]
    names, values = invocation.names.decode().split("\0"), invocation.values.decode().split("\0")
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
