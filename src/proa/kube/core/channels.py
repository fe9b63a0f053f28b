"""The framing of exec, attach and port-forward over a WebSocket: a byte that names the channel, then data.

`v5.channel.k8s.io` adds to `v4.channel.k8s.io` that a channel can be closed (KEP-4006): without it nobody can
tell a process that its standard input has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import msgspec

from proa.kube.codec import decode, encode
from proa.kube.errors import DecodeError, TransportError
from proa.kube.models.meta_v1 import Status

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
PROTOCOLS = (V5, V4)
# What servers take in one message.
LARGEST_DATA = 32 * 1024


class Channel(IntEnum):
    """What a message is about."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    """A Status, when the process has ended."""
    RESIZE = 4
    CLOSE = 255
    """The channel whose number follows is closed; v5 only."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    code: int
    """The exit code; 128 and the signal's number after a signal."""
    message: str = ""
    """What the server says about a failure."""

    def __bool__(self) -> bool:
        """Tell whether it succeeded."""
        return self.code == 0


class _Size(msgspec.Struct):
    width: int = msgspec.field(name="Width")
    height: int = msgspec.field(name="Height")


def frame(channel: int, data: bytes) -> bytes:
    """Return a message."""
    return bytes((channel,)) + data


def frames(channel: int, data: bytes) -> list[bytes]:
    """Return the messages for data of any length; none for no data."""
    return [frame(channel, data[start : start + LARGEST_DATA]) for start in range(0, len(data), LARGEST_DATA)]


def unframe(message: bytes) -> tuple[int, bytes]:
    """Return a message's channel and data; raises TransportError for one without a channel."""
    if not message:
        raise TransportError("the server sent a message that names no channel")
    return message[0], message[1:]


def resize(width: int, height: int) -> bytes:
    """Return the message that tells the size of the terminal, in characters."""
    return frame(Channel.RESIZE, encode(_Size(width, height)))


def close(channel: int) -> bytes:
    """Return the message that closes a channel; v5 only."""
    return frame(Channel.CLOSE, bytes((channel,)))


def read_exit(data: bytes) -> Exit:
    """Read what comes on the channel `ERROR`.

    Raises:
        TransportError: it is no Status.
    """
    try:
        status = decode(data, Status)
    except DecodeError as error:
        raise TransportError(f"the server did not say how the process ended: {error}") from error
    if status.status == "Success":
        return Exit(0)
    causes = status.details.causes if status.details else []
    for cause in causes:
        if cause.reason == "ExitCode" and (cause.message or "").isdecimal():
            return Exit(int(cause.message or ""), status.message or "")
    return Exit(-1, status.message or status.reason or "failed")
