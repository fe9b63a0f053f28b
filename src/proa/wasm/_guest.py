"""Running one guest: what a sandbox does between the fork and its end."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final, NamedTuple, Self

import msgspec
from wasmtime import ExitTrap, Store, Trap, WasiConfig, WasmtimeError

from proa.app import ProaError
from proa.wasm._confinement import confine
from proa.wasm._engine import GuestExit, Runtime, component_start
from proa.wasm._landlock import Place
from proa.wasm._native import MAX_TABLE_ELEMENTS, Command, wasi_config
from proa.wasm._outbound import OutboundHttp
from proa.wasm._process import one_line
from proa.wasm.beneath import open_directory
from proa.wasm.spec import ExitReason, Mount, SandboxSpec

FAILED: Final = 128
_TRAPPED: Final = 134
_OUT_OF_MEMORY: Final = 137
_MAX_MESSAGE: Final = 1000


_Start = Callable[[], int | None]
"""Runs a guest that is ready to its end and returns its exit code, None being 0."""


class Outcome(msgspec.Struct):
    """How a guest ended, as far as the sandbox itself can say."""

    exit_code: int
    reason: ExitReason
    message: str = ""


def run(
    runtime: Runtime, spec: SandboxSpec, command: Command | None, report: Callable[[bytes], None]
) -> None:
    """Run the guest to its end and report the outcome; a trap's backtrace goes to the guest's stderr.

    `command` is the module if it was loaded and linked before the fork.
    """

    def exceeded(size: int) -> None:
        message = f"wanted {size} bytes of memory, more than the limit of {spec.memory_limit}"
        report(msgspec.json.encode(Outcome(_OUT_OF_MEMORY, ExitReason.OUT_OF_MEMORY, message)))
        os.kill(os.getpid(), signal.SIGKILL)

    os.umask(0o022)
    if spec.memory_limit:
        runtime.memory.bound(spec.memory_limit, exceeded)
    outcome, trace = _run(runtime, spec, command)
    outcome.message = outcome.message[:_MAX_MESSAGE]
    report(msgspec.json.encode(outcome))
    with contextlib.suppress(OSError):
        os.write(2, trace.encode())


def serve(
    server: Callable[[Runtime, SandboxSpec], None],
    runtime: Runtime,
    spec: SandboxSpec,
    report: Callable[[bytes], None],
) -> None:
    """Have the specification's server answer requests to its end, and report that."""
    os.umask(0o022)
    try:
        server(runtime, spec)
        outcome = Outcome(0, ExitReason.EXITED)
    except ProaError as error:
        outcome = Outcome(FAILED, ExitReason.FAILED, str(error)[:_MAX_MESSAGE])
    report(msgspec.json.encode(outcome))


def _run(runtime: Runtime, spec: SandboxSpec, command: Command | None) -> tuple[Outcome, str]:
    try:
        if spec.module.is_component:
            start = _ready_component(runtime, spec)
        else:
            start = _ready_command(command or _load(runtime, spec), spec)
    except (WasmtimeError, Trap, OSError) as error:
        return Outcome(FAILED, ExitReason.FAILED, one_line(error)), ""
    try:
        return Outcome(start() or 0, ExitReason.EXITED), ""
    except GuestExit as end:
        return Outcome(end.code, ExitReason.EXITED), ""
    except ExitTrap as end:
        return Outcome(end.code, ExitReason.EXITED), ""
    except (Trap, WasmtimeError) as trap:
        return Outcome(_TRAPPED, ExitReason.TRAPPED, one_line(trap)), f"{trap}\n"


def _load(runtime: Runtime, spec: SandboxSpec) -> Command:
    module = runtime.load(spec.module.path)
    if spec.outbound:
        http = OutboundHttp(runtime)
        http.offer(module)
        http.begin(None, spec.outbound)
    return Command(runtime, module)


def _ready_command(command: Command, spec: SandboxSpec) -> _Start:
    with Places() as places:
        config = wasi_config(spec.args, _environment(spec), open_mounts(spec, places))
        _confine(spec, places)
    command.instantiate(config)
    return command.run


def _ready_component(runtime: Runtime, spec: SandboxSpec) -> _Start:
    component = runtime.load_component(spec.module.path)
    http = OutboundHttp(runtime)
    if spec.outbound:
        http.offer(component)
    with Places() as places:
        store = _create_store(runtime, spec, places)
        _confine(spec, places)
    http.begin(store, spec.outbound)
    instance = runtime.component_linker.instantiate(store, component)
    start = component_start(runtime, store, component, instance)
    return lambda: int(start(store).tag != "ok")


def _confine(spec: SandboxSpec, places: "Places") -> None:
    confine(places.all, spec.user, spec.memory_limit, network=spec.outbound is not None)


def _environment(spec: SandboxSpec) -> dict[str, str]:
    return {"PWD": spec.working_dir} | spec.env if spec.working_dir else spec.env


class Places:
    """The directories that the guest may reach, open until the process is confined to them."""

    def __init__(self) -> None:
        self.all: list[Place] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for place in self.all:
            os.close(place.descriptor)

    def open(self, mount: Mount, below: PurePosixPath) -> int:
        descriptor = open_directory(mount.source, mount.sub_path / below)
        self.all.append(Place(descriptor, mount.read_only))
        return descriptor


def _create_store(runtime: Runtime, spec: SandboxSpec, places: Places) -> Store:
    wasi = WasiConfig()
    wasi.argv = list(spec.args)
    wasi.env = _environment(spec).items()
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    for opened in open_mounts(spec, places):
        wasi.preopen_dir(opened.path, opened.target, not opened.read_only)
    store = Store(runtime.engine)
    store.set_limits(table_elements=MAX_TABLE_ELEMENTS)
    store.set_wasi(wasi)
    return store


class OpenMount(NamedTuple):
    """A directory that a guest sees: how this process names it, and the guest."""

    path: str
    target: str
    read_only: bool


def open_mounts(spec: SandboxSpec, places: Places) -> list[OpenMount]:
    """Open what the guest is to see; raises NotADirectoryError for what is not there."""
    mounts = [_open_mount(mount, places) for mount in spec.mounts]
    if spec.working_dir:
        mounts.append(_open_working_dir(PurePosixPath(spec.working_dir), spec.mounts, places))
    return mounts


def _open_mount(mount: Mount, places: Places) -> OpenMount:
    try:
        path = f"/proc/self/fd/{places.open(mount, PurePosixPath())}"
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        return OpenMount(path, mount.target, mount.read_only)
    except (OSError, ValueError):
        place = mount.source / mount.sub_path
        message = f"cannot open the directory {place} for the mount {mount.target}"
        raise NotADirectoryError(message) from None


def _open_working_dir(working_dir: PurePosixPath, mounts: tuple[Mount, ...], places: Places) -> OpenMount:
    """Open the directory as ".", which is where libraries for WASI look up what is in no other mount."""
    around = [mount for mount in mounts if working_dir.is_relative_to(mount.target)]
    if not around:
        raise NotADirectoryError(f"the working directory {working_dir} is in no mount")
    mount = max(around, key=lambda mount: len(PurePosixPath(mount.target).parts))
    try:
        directory = places.open(mount, working_dir.relative_to(mount.target))
    except OSError:
        raise NotADirectoryError(f"the working directory {working_dir} is no directory") from None
    return OpenMount(f"/proc/self/fd/{directory}", ".", mount.read_only)
