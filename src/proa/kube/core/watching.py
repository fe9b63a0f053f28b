"""A watch's bytes to events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from proa.kube.codec import decode, decoder, encode
from proa.kube.core.undecodable import Report, identify
from proa.kube.errors import DecodeError, TransportError, api_error
from proa.kube.models import DynamicObject, Resource
from proa.kube.models.meta_v1 import ObjectMeta, Status

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


class _Bare(msgspec.Struct):
    metadata: ObjectMeta


class _Never(msgspec.Struct, forbid_unknown_fields=True):
    """Fits no event: what is decoded as it goes the other way, which knows documents of any shape."""

    never: bool


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

    def __init__(self, type_: type[K], report: Report | None = None) -> None:
        """Begin a watch.

        Args:
            type_: what the events' objects are.
            report: called for every object that cannot be read. A Bookmark of its version stands for it then,
                or the bare object with its metadata where it was deleted and the type allows that.
        """
        self._type = type_
        self._report = report
        expected = _Never if issubclass(type_, DynamicObject) else _event_type(type_)
        self._decoder: msgspec.json.Decoder[Any] = decoder(expected)
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
            found: WatchEvent[K] = self._decoder.decode(line)
        except msgspec.DecodeError:
            return self._unusual(line)
        return found

    def _unusual(self, line: bytes) -> AnyEvent[K]:
        """Read a bookmark, an error, or an object with nulls in the wrong places."""
        envelope = decode(line, _Envelope)
        if envelope.type == "BOOKMARK":
            metadata = decode(envelope.object, _Marker).metadata
            ended = (metadata.annotations or {}).get("k8s.io/initial-events-end") == "true"
            return Bookmark(metadata.resource_version, ended)
        if envelope.type == "ERROR":
            raise api_error(decode(envelope.object, Status))
        for known in ("ADDED", "MODIFIED", "DELETED"):
            if envelope.type == known:
                return self._changed(known, envelope.object)
        raise DecodeError(f"a watch knows no event of type {envelope.type!r}")

    def _changed(self, type_: Literal["ADDED", "MODIFIED", "DELETED"], data: msgspec.Raw) -> AnyEvent[K]:
        try:
            return WatchEvent(type_, decode(data, self._type))
        except DecodeError as error:
            if self._report is None:
                raise
            passed_over = identify(data, self._type, error)
            self._report(passed_over)
        if type_ == "DELETED":
            # Who holds the object from a time when it could be read must learn that it is gone.
            with suppress(DecodeError):
                return WatchEvent(
                    type_, decode(encode({"metadata": decode(data, _Bare).metadata}), self._type)
                )
        return Bookmark(passed_over.resource_version)


@cache
def _event_type(type_: type[Any]) -> Any:
    return WatchEvent[type_]  # type: ignore[valid-type]
