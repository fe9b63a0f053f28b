"""What a client and the zygote say to each other: JSON messages, one a frame.

`Hello`, `Refused` and `Shutdown` keep their form for ever, so that releases of Proa can always part politely.
"""

import datetime
import signal
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from proa.wasm.spec import CompiledModule, ModuleTerms, SandboxExit, SandboxSpec, WorkerSpec

PROTOCOL: Final = 3


class _Message(msgspec.Struct, tag=True):
    pass


# From the client


class Hello(_Message):
    """The first message.

    `program` is what the zygote may become, with its sandboxes, if it is of another version.
    """

    version: str
    protocol: int = PROTOCOL
    program: list[str] = []


class Compile(_Message):
    """Compile `source`, whose SHA-256 is `digest`, into `cache_dir`; answered by Compiled or Failed."""

    seq: int
    source: Path
    digest: str
    cache_dir: Path
    terms: ModuleTerms = ModuleTerms()


class Start(_Message):
    """Start a sandbox; answered by Started or Failed. Standard input is the descriptor sent along, if any."""

    seq: int
    spec: SandboxSpec


class StartWorker(_Message):
    """Start a worker; the same, but it is killed and forgotten when the client goes."""

    seq: int
    spec: WorkerSpec


class Kill(_Message):
    """Kill a sandbox, or send it another signal. Not answered; one that ended already stays as it is."""

    id: str
    signal: int = signal.SIGKILL


class Forget(_Message):
    """Forget a sandbox that ended; answered by Done or Failed."""

    seq: int
    id: str


class Discard(_Message):
    """Kill a sandbox and forget it as soon as it has ended. Not answered."""

    id: str


class Shutdown(_Message):
    """Kill all sandboxes, forget them and end. The answer is the end of the connection."""


# From the zygote


class Refused(_Message):
    """No service for this client. With `leaving`, the zygote ends now and another can be started."""

    message: str
    leaving: bool


class Adopted(_Message):
    """A sandbox that was there before the client; sent with its output descriptors, before Welcome."""

    id: str
    pid: int
    started_at: datetime.datetime
    exit: SandboxExit | None


class Welcome(_Message):
    """The answer to Hello, after all Adopted."""

    version: str


class Compiled(_Message):
    """The module is in the cache."""

    seq: int
    module: CompiledModule


class Started(_Message):
    """The sandbox runs; sent with the read ends of its standard output and standard error."""

    seq: int
    id: str
    pid: int
    started_at: datetime.datetime


class Exited(_Message):
    """A sandbox ended."""

    id: str
    exit: SandboxExit


class Done(_Message):
    """The request was carried out."""

    seq: int


class Failed(_Message):
    """The request was not carried out."""

    seq: int
    error: Literal["invalid", "unsupported", "sandbox"]
    message: str


Request = Hello | Compile | Start | StartWorker | Kill | Forget | Discard | Shutdown
Reply = Refused | Adopted | Welcome | Compiled | Started | Exited | Done | Failed

_request_decoder = msgspec.json.Decoder(Request, dec_hook=lambda _, value: Path(value))
_reply_decoder = msgspec.json.Decoder(Reply, dec_hook=lambda _, value: Path(value))


def encode(message: msgspec.Struct) -> bytes:
    """Encode a message; paths become strings."""
    return msgspec.json.encode(message, enc_hook=str)


def decode_request(payload: bytes) -> Request:
    """Decode what a client sent; raises msgspec.ValidationError."""
    request: Any = _request_decoder.decode(payload)
    return request  # type: ignore[no-any-return]


def decode_reply(payload: bytes) -> Reply:
    """Decode what the zygote sent; raises msgspec.ValidationError."""
    reply: Any = _reply_decoder.decode(payload)
    return reply  # type: ignore[no-any-return]
