"""The values that describe a sandbox: what to run, and how it ended."""

import datetime
import enum
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import msgspec

_MAX_LENGTH: Final = 2 * 1024 * 1024

ALLOW_ALL: Final = "insecure:allow-all"
"""In place of a URL: every host."""


class CompiledModule(msgspec.Struct, frozen=True):
    """A module ready to be run.

    Attributes:
        digest: The SHA-256 of the module, 64 hexadecimal digits.
        path: The file of machine code in the cache.
        size: The length of that file in bytes.
        is_component: It is a component of WASI 0.2, not a core module of WASI preview 1.
    """

    digest: str
    path: Path
    size: int
    is_component: bool = False


class ModuleTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a module must be to be accepted for compilation.

    Attributes:
        exports: Functions without parameters and results that a core module must export; a component must
            export `wasi:cli/run`.
        http: Whoever runs it offers outbound HTTP: `wasi_experimental_http` to core modules, `wasi:http` to
            components.
    """

    exports: tuple[str, ...] = ("_start",)
    http: bool = False


class Mount(msgspec.Struct, frozen=True):
    """A directory of the host that a guest sees.

    Attributes:
        source: The directory on the host; it must exist when the sandbox starts.
        sub_path: Which directory beneath `source` the guest sees; empty for itself. No symbolic link in it is
            followed: a guest may have put it there.
        target: The absolute path under which the guest finds it.
        read_only: Refuse every change. A symbolic link never leads out of `source` in either case.
    """

    source: Path
    target: str
    read_only: bool = False
    sub_path: str = ""


class NameServer(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a guest's names are asked of, before the machine's own resolver.

    Attributes:
        host: Its address.
        port: Its TCP port.
        search: Domains in which names are looked for.
        dots: A name with at least so many dots is looked for as it is first, others in the domains first.
    """

    host: str
    port: int = 53
    search: tuple[str, ...] = ()
    dots: int = 1


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """Which hosts a guest may send HTTP requests to.

    Attributes:
        hosts: URLs such as `https://example.com` or `http://10.0.0.1:8080`, or `insecure:allow-all`. A URL
            without a port allows every port of its host.
        max_requests: How many requests may be under way at once; None is any number.
        name_server: Whom names are asked of first; None is the machine's resolver alone.
    """

    hosts: tuple[str, ...] = ()
    max_requests: int | None = None
    name_server: NameServer | None = None

    def allows(self, host: str, port: int) -> bool:
        """Whether requests may go to a port of a host."""
        return any(permitted in {None, port} for permitted in self._ports(host))

    def allows_name(self, host: str) -> bool:
        """Whether requests may go to any port of a host."""
        return any(True for _ in self._ports(host))

    def _ports(self, host: str) -> Iterator[int | None]:
        for entry in self.hosts:
            url = urlsplit(entry)
            if entry == ALLOW_ALL:
                yield None
            elif url.hostname == host.lower():
                yield url.port


class SandboxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What to run.

    Attributes:
        id: The name of the sandbox, unique until it is forgotten.
        module: What `Sandboxes.compile` returned.
        args: The guest's arguments, its own name (`argv[0]`) first.
        env: The guest's whole environment; nothing of the host's is added.
        mounts: The only directories that the guest can reach.
        memory_limit: The most linear memory, in bytes, that the guest may have: one that asks for more is
            killed. None is no limit but what 32 bits can address.
        working_dir: Where the guest's relative paths start: a directory in one of the mounts, of which none
            may be at "/". Absolute paths that are in no mount start there too. None is the guest's root.
        user: The user id that the process runs as, where root started the zygote; elsewhere it is the
            zygote's own. None is `nobody`; 0 stays root.
        outbound: Where it may send HTTP requests; None is nowhere, and the module must not want to. It is
            otherwise one that was compiled on `ModuleTerms` with `http`.
        server: `module:function` that answers requests with the module, where it is not just to be run once.
            The function is called with the `Runtime` and this specification; its standard input is what was
            given to `Sandboxes.start`: a socket that listens.
        request_seconds: The time that it has for each of them; None is no limit.
    """

    id: str
    module: CompiledModule
    args: tuple[str, ...] = ()
    env: dict[str, str] = msgspec.field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    memory_limit: int | None = None
    working_dir: str | None = None
    user: int | None = None
    outbound: Outbound | None = None
    server: str | None = None
    request_seconds: float | None = 60.0

    def problem(self) -> str | None:
        """Say in one line what makes this impossible to run, or None."""
        strings = [self.id, *self.args, *self.env, *self.env.values(), self.working_dir or ""]
        strings += [str(path) for mount in self.mounts for path in (mount.source, mount.target)]
        if sum(map(len, strings)) > _MAX_LENGTH:
            return f"arguments, environment and mounts have more than {_MAX_LENGTH} characters together"
        if any(0xD800 <= ord(character) < 0xE000 for character in "".join(strings)):
            return "an argument, a variable or a path is not Unicode"
        if any("\0" in string for string in strings):
            return "an argument, a variable or a path contains a NUL character"
        if any(not name or "=" in name for name in self.env):
            return "the name of an environment variable is empty or contains '='"
        for path in (self.working_dir or "/", *(mount.target for mount in self.mounts)):
            if not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                return f"{path!r} is not an absolute path without '..'"
        if self.working_dir and any(
            PurePosixPath(mount.target) == PurePosixPath("/") for mount in self.mounts
        ):
            return "a working directory is not possible together with a mount at /"
        if self.memory_limit is not None and self.memory_limit <= 0:
            return f"a memory limit of {self.memory_limit} bytes is not positive"
        return _function_problem(self.server) if self.server else None


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A process that runs a function of the client's own, which may run one guest after another.

    It shares the zygote's loaded engine, cannot gain privileges, and dies with its client.

    Attributes:
        id: The name, unique among sandboxes and workers.
        target: `module:function`. The function is called with the `Runtime`; its standard input is the
            descriptor that was given to `Sandboxes.start_worker`.
    """

    id: str
    target: str

    def problem(self) -> str | None:
        """Say in one line what makes this impossible to run, or None."""
        return _function_problem(self.target)


def _function_problem(text: str) -> str | None:
    module, _, function = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        return f"{text!r} is not module:function"
    return None


class ExitReason(enum.StrEnum):
    """Why a sandbox ended."""

    EXITED = "exited"
    """The guest returned or called `proc_exit`; the exit code is its own."""
    TRAPPED = "trapped"
    """The guest broke a rule of WebAssembly (exit code 134); the message names it."""
    OUT_OF_MEMORY = "out_of_memory"
    """The guest wanted more memory than its limit (exit code 137)."""
    KILLED = "killed"
    """A signal ended the process, from `Sandbox.kill` or from elsewhere (exit code 128 + signal)."""
    FAILED = "failed"
    """The guest never ran (exit code 128): a mount that is not there, for instance."""


class SandboxExit(msgspec.Struct, frozen=True):
    """How a sandbox ended.

    Attributes:
        exit_code: What a shell would show.
        reason: Why it ended.
        message: One line for a person; empty for a guest that exited by itself.
        started_at: When its process was forked.
        finished_at: When its end was noticed.
        cpu_seconds: Processor time, user and system.
        max_rss_bytes: The most physical memory it held, pages shared with other processes included.
    """

    exit_code: int
    reason: ExitReason
    message: str
    started_at: datetime.datetime
    finished_at: datetime.datetime
    cpu_seconds: float
    max_rss_bytes: int
