"""What the zygote does for its client: requests in, children forked, replies out."""

import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from proa.wasm import _compiler, _guest
from proa.wasm import _protocol as protocol
from proa.wasm._children import Children, End
from proa.wasm._commands import Commands
from proa.wasm._engine import Runtime, cache_entry
from proa.wasm._process import Body, Stdio
from proa.wasm.spec import CompiledModule, ExitReason, ModuleTerms, SandboxExit

_SIGNALLED: Final = 128
_DEV_NULL: Final = 0
_MAX_COMPILATIONS: Final = len(os.sched_getaffinity(0))

_Job = tuple[Path, ModuleTerms]
"""A cache entry, and what it has to meet."""
_Identity = tuple[int, int, int]
Send = Callable[[protocol.Reply, Sequence[int]], None]


class _Sandbox(msgspec.Struct):
    """A sandbox and the read ends of its output, which stay open here for the client's successors."""

    id: str
    pid: int
    started_at: datetime
    output: tuple[int, int]
    exit: SandboxExit | None = None
    discarded: bool = False
    is_worker: bool = False


class Legacy(msgspec.Struct):
    """What one program of the zygote leaves to the next: descriptors are the process's own, and stay open.

    It is written by one release and read by another: fields may be added, with defaults.
    """

    listener: int
    idle_seconds: float
    sandboxes: list[_Sandbox]
    reports: dict[str, int]
    """The pipes that the reports of running sandboxes come through, by their ids."""


class Service:
    """All sandboxes and compilations."""

    def __init__(self, runtime: Runtime, children: Children, send: Send) -> None:
        self._runtime = runtime
        self._commands = Commands(runtime)
        self._children = children
        self._send = send
        self._sandboxes: dict[str, _Sandbox] = {}
        self._compilations: dict[_Job, list[int]] = {}
        self._queue: deque[tuple[protocol.Compile, _Job]] = deque()
        self._compiling = 0
        self._checked: dict[_Job, tuple[_Identity, CompiledModule]] = {}

    def __len__(self) -> int:
        return len(self._sandboxes)

    def introduce(self) -> None:
        """Tell a new client of the sandboxes that are here."""
        for sandbox in self._sandboxes.values():
            adopted = protocol.Adopted(sandbox.id, sandbox.pid, sandbox.started_at, sandbox.exit)
            self._send(adopted, sandbox.output)

    def handle(self, request: protocol.Request, descriptors: list[int]) -> None:
        """Carry out a request."""
        match request:
            case protocol.Compile():
                self._compile(request)
            case protocol.Start() | protocol.StartWorker():
                self._start(request, descriptors[0] if descriptors else _DEV_NULL)
            case protocol.Kill(sandbox_id, number):
                self._kill(sandbox_id, number)
            case protocol.Discard(sandbox_id):
                self._discard(sandbox_id)
            case protocol.Forget(seq, sandbox_id):
                self._forget(seq, sandbox_id)

    def bequeath(self, listener: int, idle_seconds: float) -> Legacy:
        """Say what the next program of this process has to know."""
        reports = {sandbox.id: self._children.report(sandbox.pid) for sandbox in self._sandboxes.values()}
        return Legacy(
            listener=listener,
            idle_seconds=idle_seconds,
            sandboxes=[*self._sandboxes.values()],
            reports={id_: report for id_, report in reports.items() if report is not None},
        )

    def inherit(self, legacy: Legacy) -> None:
        """Go on where the program before this one stopped."""
        for sandbox in legacy.sandboxes:
            self._sandboxes[sandbox.id] = sandbox
            if (report := legacy.reports.get(sandbox.id)) is not None:
                self._children.adopt(sandbox.pid, report, partial(self._ended, sandbox.id))

    def part(self) -> None:
        """The client has gone: end what must not outlive it."""
        for sandbox in [sandbox for sandbox in self._sandboxes.values() if sandbox.is_worker]:
            self._discard(sandbox.id)

    # Sandboxes

    def _start(self, request: protocol.Start | protocol.StartWorker, stdin: int) -> None:
        spec = request.spec
        if spec.id in self._sandboxes:
            self._fail(request.seq, f"a sandbox {spec.id!r} exists already")
            return
        try:
            sandbox = self._fork(request, stdin)
        except OSError as error:
            self._fail(request.seq, f"cannot start sandbox {spec.id!r}: {error.strerror}")
            return
        except (ImportError, AttributeError) as error:
            self._fail(request.seq, f"cannot start sandbox {spec.id!r}: {error}")
            return
        self._sandboxes[spec.id] = sandbox
        started = protocol.Started(request.seq, spec.id, sandbox.pid, sandbox.started_at)
        self._send(started, sandbox.output)

    def _fork(self, request: protocol.Start | protocol.StartWorker, stdin: int) -> _Sandbox:
        body = self._body(request)
        opened: list[int] = []
        spec = request.spec
        is_worker = isinstance(request, protocol.StartWorker)
        try:
            opened += os.pipe2(os.O_CLOEXEC)
            opened += os.pipe2(os.O_CLOEXEC)
            stdout, stdout_write, stderr, stderr_write = opened
            pid = self._children.fork(
                f"proa:{spec.id}",
                body,
                lambda end: self._ended(spec.id, end),
                Stdio(stdin, stdout_write, stderr_write),
            )
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            raise
        for descriptor in (stdout_write, stderr_write):
            os.close(descriptor)
        for descriptor in (stdout, stderr):
            os.set_blocking(descriptor, False)
        return _Sandbox(spec.id, pid, datetime.now(UTC), (stdout, stderr), is_worker=is_worker)

    def _body(self, request: protocol.Start | protocol.StartWorker) -> Body:
        """What the child does. The code of servers and workers is loaded here, once for all that come."""
        if isinstance(request, protocol.StartWorker):
            work = _load(request.spec.target)
            return lambda _: work(self._runtime)
        spec = request.spec
        if spec.server:
            serve = _load(spec.server)
            return lambda report: _guest.serve(serve, self._runtime, spec, report)
        command = self._commands.find(spec)
        return lambda report: _guest.run(self._runtime, spec, command, report)

    def _ended(self, sandbox_id: str, end: End) -> None:
        sandbox = self._sandboxes[sandbox_id]
        sandbox.exit = _judge(sandbox.started_at, end)
        self._send(protocol.Exited(sandbox_id, sandbox.exit), ())
        if sandbox.discarded:
            self._remove(sandbox)

    def _kill(self, sandbox_id: str, number: int) -> None:
        if sandbox := self._sandboxes.get(sandbox_id):
            self._children.kill(sandbox.pid, number)

    def _discard(self, sandbox_id: str) -> None:
        if sandbox := self._sandboxes.get(sandbox_id):
            sandbox.discarded = True
            self._children.kill(sandbox.pid)
            if sandbox.exit:
                self._remove(sandbox)

    def _forget(self, seq: int, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox and not sandbox.exit:
            self._fail(seq, f"sandbox {sandbox_id!r} still runs; kill it first")
            return
        if sandbox:
            self._remove(sandbox)
        self._send(protocol.Done(seq), ())

    def _remove(self, sandbox: _Sandbox) -> None:
        del self._sandboxes[sandbox.id]
        for descriptor in sandbox.output:
            os.close(descriptor)

    # Modules

    def _compile(self, request: protocol.Compile) -> None:
        job = cache_entry(request.cache_dir, request.digest), request.terms
        if module := self._if_checked(job):
            self._send(protocol.Compiled(request.seq, module), ())
        elif job in self._compilations:
            self._compilations[job].append(request.seq)
        else:
            self._compilations[job] = [request.seq]
            self._queue.append((request, job))
            self._compile_next()

    def _compile_next(self) -> None:
        """Begin what waits, but never more at a time than there are processors."""
        while self._queue and self._compiling < _MAX_COMPILATIONS:
            self._fork_compilation(*self._queue.popleft())

    def _fork_compilation(self, request: protocol.Compile, job: _Job) -> None:
        try:
            self._children.fork(
                "proa:compile",
                lambda report: report(protocol.encode(self._compile_here(request, job[0]))),
                lambda end: self._compiled(job, end),
            )
        except OSError as error:
            for seq in self._compilations.pop(job):
                self._fail(seq, f"cannot compile {request.source}: {error.strerror}")
            return
        self._compiling += 1

    def _compile_here(self, request: protocol.Compile, entry: Path) -> protocol.Reply:
        result = _compiler.compile_module(self._runtime, request.source, request.digest, entry, request.terms)
        if isinstance(result, CompiledModule):
            return protocol.Compiled(request.seq, result)
        return protocol.Failed(request.seq, result.error, result.message)

    def _compiled(self, job: _Job, end: End) -> None:
        if end.report:
            reply = protocol.decode_reply(end.report)
        else:
            how = f"was killed by {signal.Signals(end.signal).name}" if end.signal else "broke off"
            reply = protocol.Failed(
                0, "invalid", f"the compiler {how}: the module is too large or too intricate"
            )
        if isinstance(reply, protocol.Compiled):
            self._checked[job] = _identity(job[0]), reply.module
            _certify(job, *self._checked[job])
        for seq in self._compilations.pop(job):
            self._send(msgspec.structs.replace(reply, seq=seq), ())
        self._compiling -= 1
        self._compile_next()

    def _if_checked(self, job: _Job) -> CompiledModule | None:
        """A module that was found good before, unless its file was changed since."""
        try:
            identity, module = self._checked.get(job) or _read_certificate(job)
            if _identity(job[0]) != identity:
                return None
        except (OSError, msgspec.MsgspecError):
            return None
        self._checked[job] = identity, module
        return module

    def _fail(self, seq: int, message: str) -> None:
        self._send(protocol.Failed(seq, "sandbox", message), ())


def _load(target: str) -> Callable[..., None]:
    module, _, function = target.partition(":")
    loaded: Callable[..., None] = getattr(import_module(module), function)
    return loaded


def _identity(path: Path) -> _Identity:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _certificate(job: _Job) -> Path:
    entry, terms = job
    key = "+".join(quote(str(term), safe="") for term in (terms.http, *terms.exports))
    return entry.with_name(f"{entry.stem}.{key}.json")


def _certify(job: _Job, identity: _Identity, module: CompiledModule) -> None:
    """Note beside a cache entry that it meets the terms: checking it again would cost a fork."""
    certificate = _certificate(job)
    draft = certificate.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):
        draft.write_bytes(msgspec.json.encode((identity, module), enc_hook=str))
        draft.replace(certificate)


def _read_certificate(job: _Job) -> tuple[_Identity, CompiledModule]:
    read: Any = _certificates.decode(_certificate(job).read_bytes())
    certified: tuple[_Identity, CompiledModule] = read
    return certified


_certificates: Final = msgspec.json.Decoder(
    tuple[_Identity, CompiledModule], dec_hook=lambda _, value: Path(value)
)


def _judge(started_at: datetime, end: End) -> SandboxExit:
    """Join what the sandbox said of itself with what the kernel says of it."""
    if end.report:
        outcome = msgspec.json.decode(end.report, type=_guest.Outcome)
    elif end.signal:
        name = signal.Signals(end.signal).name
        outcome = _guest.Outcome(_SIGNALLED + end.signal, ExitReason.KILLED, f"killed by {name}")
    else:
        outcome = _guest.Outcome(_guest.FAILED, ExitReason.FAILED, "the sandbox broke off without a reason")
    return SandboxExit(
        exit_code=outcome.exit_code,
        reason=outcome.reason,
        message=outcome.message,
        started_at=started_at,
        finished_at=max(started_at, datetime.now(UTC)),
        cpu_seconds=end.cpu_seconds,
        max_rss_bytes=end.max_rss_bytes,
    )
