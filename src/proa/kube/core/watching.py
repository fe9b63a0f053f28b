"""A watch's bytes to events."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from proa.kube.codec import decode, decoder
from proa.kube.errors import DecodeError, TransportError, api_error
from proa.kube.models import Resource
from proa.kube.models.meta_v1 import Status

K = TypeVar("K", bound=Resource)
LONGEST_LINE = 64 * 2**20


class WatchEvent(msgspec.Struct, Generic[K], frozen=True, gc=False):
    """An object as it is after a change, or as it last was before it was deleted."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: K

    @property
    def resource_version(self) -> str:
        """The version to resume from after this event."""
        return self.object.metadata.resource_version or ""


class Bookmark(msgspec.Struct, frozen=True, gc=False):
    """The server's word that everything up to `resource_version` has been sent."""

    resource_version: str
    initial_events_end: bool = False
    """Whether it ends the initial events that a watch with `sendInitialEvents` begins with."""
    type: Literal["BOOKMARK"] = "BOOKMARK"


AnyEvent: TypeAlias = WatchEvent[K] | Bookmark


class _Metadata(msgspec.Struct, rename="camel"):
    resource_version: str
    annotations: dict[str, str] | None = None


class _Marker(msgspec.Struct):
    metadata: _Metadata


class _Envelope(msgspec.Struct):
    type: str
    object: msgspec.Raw


class Lines:
    """Splits chunks into lines, wherever the chunks may be cut."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that the chunk completes, without their line ends.

        Raises:
            TransportError: a line grows beyond 64 MiB.
        """
        first, *rest = chunk.split(b"\n")
        self._keep(first)
        for following in rest:
            yield self.take()
            self._keep(following)

    def take(self) -> bytes:
        """Return what has come since the last line end."""
        line = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return line

    def _keep(self, part: bytes) -> None:
        if part:
            self._parts.append(part)
        self._size += len(part)
        if self._size > LONGEST_LINE:
            raise TransportError(f"the server sent a line of more than {LONGEST_LINE // 2**20} MiB")


class EventDecoder(Generic[K]):
    """Reads the events of one watch from its chunks."""

    def __init__(self, type_: type[K]) -> None:
        self._type = type_
        self._decoder: msgspec.json.Decoder[WatchEvent[K]] = decoder(_event_type(type_))
        self._lines = Lines()

    def feed(self, chunk: bytes) -> Iterator[AnyEvent[K]]:
        """Yield the events that the chunk completes.

        Raises:
            ApiError: the server ended the watch with an error; GoneError if the resource version is too old.
            DecodeError: an event is not one, or its object is not of the type.
            TransportError: a line is too long.
        """
        for line in self._lines.feed(chunk):
            if line:
                yield self.event(line)

    def finish(self) -> None:
        """Say that the stream has ended.

        Raises:
            TransportError: it ended in the middle of an event.
        """
        if rest := self._lines.take():
            raise TransportError(
                f"the watch of {self._type.__name__} was cut off after {len(rest)} bytes of an event"
            )

    def event(self, line: bytes) -> AnyEvent[K]:
        """Read one event; see `feed` for what it raises."""
        try:
            return self._decoder.decode(line)
        except msgspec.DecodeError:
            return self._unusual(line)

    def _unusual(self, line: bytes) -> AnyEvent[K]:
        """Read a bookmark, an error, or an object with nulls in the wrong places."""
        envelope = decode(line, _Envelope)
        if envelope.type == "BOOKMARK":
            metadata = decode(envelope.object, _Marker).metadata
            ended = (metadata.annotations or {}).get("k8s.io/initial-events-end") == "true"
            return Bookmark(metadata.resource_version, ended)
        if envelope.type == "ERROR":
            raise api_error(decode(envelope.object, Status))
        object_ = decode(envelope.object, self._type)
        for known in ("ADDED", "MODIFIED", "DELETED"):
            if envelope.type == known:
                return WatchEvent(known, object_)
        raise DecodeError(f"a watch knows no event of type {envelope.type!r}")


@cache
def _event_type(type_: type[Any]) -> Any:
    return WatchEvent[type_]  # type: ignore[valid-type]
