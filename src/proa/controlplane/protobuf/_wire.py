"""Protobuf's encoding: a message is a run of fields, each a number, a wire type and a value.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proa.controlplane._json import UnreadableError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Value = Any
"""A varint's number, or the bytes (a memoryview) of another wire type's field: the wire type says which."""
MAX_FIELDS = 100_000
"""How many fields a body may hold. Objects have some hundred, and a ConfigMap of 30 000 entries stays below;
three megabytes of empty fields would hold up everyone else for seconds.
"""


class ProtobufError(UnreadableError):
    """The bytes are not what they should be; the message says why, and in which field.

    Attributes:
        path: The names of the fields around the place, the innermost first.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.path: list[str] = []

    def __str__(self) -> str:
        where = ".".join(reversed(self.path))
        return f"{where}: {self.args[0]}" if where else str(self.args[0])


class Reader:
    """Reads the fields of one body's messages, and only so many of them."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def fields(self, data: memoryview) -> Iterator[tuple[int, int, Value]]:
        """Number, wire type and value of each field: a varint's number, or the bytes of any other.

        Raises:
            ProtobufError: The bytes are no fields, or too many.
        """
        at, end = 0, len(data)
        while at < end:
            tag, at = varint(data, at)
            number, wire_type = tag >> 3, tag & 7
            self.spend()
            if number == 0:
                raise ProtobufError("a field has the number 0")
            if wire_type == VARINT:
                value, at = varint(data, at)
                yield number, wire_type, value
                continue
            start, at = _extent(data, at, wire_type)
            if at > end:
                raise ProtobufError("the bytes end within a field")
            yield number, wire_type, data[start:at]

    def parts(self, data: memoryview) -> dict[int, memoryview]:
        """The fields of a message that has only fields of bytes, such as an entry of a map.

        Raises:
            ProtobufError: The bytes are no such message.
        """
        found: dict[int, memoryview] = {}
        for number, wire_type, value in self.fields(data):
            if wire_type != BYTES:
                raise ProtobufError(f"field {number} has the wire type {wire_type}, not that of bytes")
            found[number] = value
        return found

    def varints(self, data: memoryview) -> Iterator[int]:
        """The numbers of a packed field."""
        at = 0
        while at < len(data):
            self.spend()
            value, at = varint(data, at)
            yield value

    def spend(self) -> None:
        """Counts one field or number.

        Raises:
            ProtobufError: It is one too many.
        """
        self._left -= 1
        if self._left < 0:
            raise ProtobufError(f"there are more than {MAX_FIELDS} fields")


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The unsigned number that begins at a place, and the place behind it.

    Raises:
        ProtobufError: The bytes end within it, or it has more than 64 bits.
    """
    value = 0
    try:
        for shift in range(0, 64, 7):
            byte = data[at]
            at += 1
            if byte < 0x80:
                return (value | byte << shift) & 0xFFFF_FFFF_FFFF_FFFF, at
            value |= (byte & 0x7F) << shift
    except IndexError as error:
        raise ProtobufError("the bytes end within a number") from error
    raise ProtobufError("a number has more than 64 bits")


def _extent(data: memoryview, at: int, wire_type: int) -> tuple[int, int]:
    if wire_type == BYTES:
        length, at = varint(data, at)
        return at, at + length
    if wire_type in {FIXED32, FIXED64}:
        return at, at + (4 if wire_type == FIXED32 else 8)
    raise ProtobufError(f"a field has the wire type {wire_type}, which Kubernetes does not use")


def text(data: bytes | memoryview) -> str:
    """The text that bytes encode.

    Raises:
        ProtobufError: They are not UTF-8.
    """
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise ProtobufError("a text is not UTF-8") from error


def signed(value: int, bits: int) -> int:
    """The two's complement number in the lowest bits of an unsigned one."""
    sign = 1 << (bits - 1)
    return (value & (sign - 1)) - (value & sign)
