"""What a gateway and its executors say to each other: invocations there, results back."""

from typing import Literal

import msgspec

from proa.wasm import Outbound

__all__ = [
    "INLINE_OUTPUT",
    "MAX_MESSAGE",
    "NUMBER_BYTES",
    "Invocation",
    "Result",
    "decode_invocation",
    "decode_result",
    "encode",
]

MAX_MESSAGE = 160 * 1024
"""Bytes of the longest message; a socket takes somewhat more by default."""

NUMBER_BYTES = 8
"""Bytes before an invocation that tell it from all others of a gateway."""

INLINE_OUTPUT = 64 * 1024
"""Bytes of output that come with the result; more comes as a file."""


class Invocation(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Run a guest once.

    Attributes:
        module: The file of machine code.
        is_component: Whether that is a component's.
        entrypoint: The export that is called.
        arguments: `argv`, each ended by NUL.
        names: Names of environment variables, joined by NUL, and
        values: what each is, likewise.
        body: Standard input, unless
        has_input: a descriptor for it comes along.
        memory_limit: In bytes; None is none.
        mounts: Directories, each as on the host and as in the guest, and whether it may only read.
        outbound: Where the guest may send requests; None is nowhere.
    """

    module: str
    is_component: bool
    entrypoint: str
    arguments: bytes
    names: bytes
    values: bytes
    body: bytes = b""
    has_input: bool = False
    memory_limit: int | None = None
    mounts: tuple[tuple[str, str, bool], ...] = ()
    outbound: Outbound | None = None


class Result(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How the guest ended, and what it printed.

    Attributes:
        end: `exited` with a code, `trapped`, ran out of `memory` (the executor ends, too), or `failed` to
            begin.
        size: Bytes that it printed.
        output: What it printed, if that is not more than `INLINE_OUTPUT`; a descriptor of a file with it
            comes along otherwise.
        errors: The beginning of what it printed to standard error.
        code: The exit code.
        message: One line for the log.
        detail: A backtrace.
    """

    end: Literal["exited", "trapped", "memory", "failed"]
    size: int = 0
    output: bytes = b""
    errors: bytes = b""
    code: int = 0
    message: str = ""
    detail: str = ""


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
decode_invocation = msgspec.msgpack.Decoder(Invocation).decode
decode_result = msgspec.msgpack.Decoder(Result).decode
