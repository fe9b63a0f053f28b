"""What a gateway and its executors say to each other: invocations there, results back."""

import array
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from proa.wasm import Outbound

__all__ = [
    "INLINE_OUTPUT",
    "MAX_MESSAGE",
    "NUMBER_BYTES",
    "Invocation",
    "Result",
    "close_all",
    "decode_invocation",
    "encode",
    "encode_into",
    "receive",
    "send",
    "too_much",
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
        arguments: `argv`.
        names: Names of environment variables, and
        values: what each is.
        body: Standard input, unless
        has_input: a descriptor for it comes along.
        memory_limit: In bytes; None is none.
        mounts: Directories, each as on the host and as in the guest, and whether it may only read.
        outbound: Where the guest may send requests; None is nowhere.
    """

    module: str
    is_component: bool
    entrypoint: str
    arguments: list[bytes]
    names: list[bytes]
    values: list[bytes]
    body: bytes = b""
    has_input: bool = False
    memory_limit: int | None = None
    mounts: tuple[tuple[str, str, bool], ...] = ()
    outbound: Outbound | None = None


class Result(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
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
        is_slow: Whether the guest computed long, or waited for something.
    """

    end: Literal["exited", "trapped", "memory", "failed"]
    size: int = 0
    output: bytes = b""
    errors: bytes = b""
    code: int = 0
    message: str = ""
    detail: str = ""
    is_slow: bool = False


_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
encode_into = _encoder.encode_into
decode_invocation = msgspec.msgpack.Decoder(Invocation).decode


_MAX_DESCRIPTORS: Final = 2
_ROOM: Final = socket.CMSG_SPACE(4 * _MAX_DESCRIPTORS)


def too_much(size: int) -> Result:
    """The end of a guest that wanted more memory than its limit."""
    return Result("memory", message=f"wanted {size} bytes of memory")


def receive(source: socket.socket, flags: int = 0) -> tuple[bytes, Sequence[int]]:
    """Receive a message with the descriptors that come along; they belong to the caller."""
    message, ancillary, _, _ = source.recvmsg(MAX_MESSAGE, _ROOM, flags | socket.MSG_CMSG_CLOEXEC)
    if not ancillary:
        return message, ()
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    return message, descriptors


def send(target: socket.socket, message: bytes, *descriptors: int | None) -> None:
    """Send a message, and descriptors with it; those that are None are left out."""
    rights = array.array("i", [descriptor for descriptor in descriptors if descriptor is not None])
    if rights:
        target.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    else:
        target.send(message)


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors that nobody has a use for."""
    for descriptor in descriptors:
        os.close(descriptor)
