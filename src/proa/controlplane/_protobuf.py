"""Kubernetes' protobuf form of objects, read into documents: kubectl's `create` commands send nothing else.

Only reading: every client that sends protobuf accepts JSON. The fields' numbers and what an absent value
means are in the package's data (`protobuf.json`, made by tools/compact_protobuf.py).
https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from proa.controlplane._json import Document, UnreadableError, decode
from proa.controlplane.schema import type_of_kind
from proa.controlplane.schema._definitions import protobuf_messages

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DEPTH = 64

Fields = dict[int, tuple[str, str, str]]


@cache
def messages() -> dict[str, Fields]:
    """The fields of each message by number: name, type, and mode (see tools/compact_protobuf.py)."""
    return {
        message: {int(number): (name, kind, mode) for number, (name, kind, mode) in fields.items()}
        for message, fields in protobuf_messages().items()
    }


def decode_protobuf(data: bytes) -> Document:
    """The object that a request's protobuf body holds.

    Raises:
        UnreadableError: It is not Kubernetes' protobuf, or of a kind that is not known.
    """
    if not data.startswith(_MAGIC):
        raise UnreadableError("a protobuf body begins with k8s and a zero byte")
    try:
        envelope = dict(_fields(data[len(_MAGIC) :]))
        about = {number: _text(value) for number, value in _fields(envelope.get(1, b""))}
        version, kind = about.get(1, ""), about.get(2, "")
        document = _message(_type(version, kind), envelope.get(2, b""), 0)
    except (IndexError, ValueError, TypeError, struct.error, OverflowError) as error:
        raise UnreadableError(f"malformed protobuf: {error}") from error
    return {"kind": kind, "apiVersion": version, **document}


def _type(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    name = f"{_META}DeleteOptions" if kind == "DeleteOptions" else type_of_kind(group, version, kind)
    if name is None or name not in messages():
        raise UnreadableError(f"there is no kind {kind} in {api_version} that has a protobuf form")
    return name


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of an encoded message: number, and bytes or a whole number."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: Any
        if wire == 0:
            value, at = _varint(data, at)
        elif wire in {1, 5}:
            size = 8 if wire == 1 else 4
            value, at = data[at : at + size], at + size
        elif wire == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"there is no wire type {wire}")
        if at > len(data):
            raise ValueError("it ends too early")
        yield number, value


def _message(name: str, data: bytes, depth: int) -> Document:
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    known, result = messages()[name], Document()
    for number, value in _fields(data):
        if number not in known:
            continue
        field, kind, mode = known[number]
        if mode == "i":
            result |= _message(kind, value, depth + 1)
        elif mode == "r":
            result.setdefault(field, []).append(_value(kind, value, depth))
        elif mode == "m":
            entry = dict(_fields(value))
            key = _text(entry.get(1, b""))
            result.setdefault(field, {})[key] = _value(kind, entry.get(2, b""), depth)
        else:
            found = _value(kind, value, depth)
            if mode != "z" or found not in _ZEROS:
                result[field] = found
    return result


_ZEROS = (None, "", 0, False)


def _text(value: Any) -> str:
    return str(value, "utf-8")


def _value(kind: str, value: Any, depth: int) -> Any:
    match kind:
        case "s":
            return _text(value)
        case "b":
            return bool(value)
        case "n":
            return value - (1 << 64) if value >> 63 else value
        case "y":
            return base64.b64encode(value).decode()
        case "d":
            return struct.unpack("<d", value)[0]
    special = _SPECIAL.get(kind.rpartition(".")[2])
    return special(value) if special else _message(kind, value, depth + 1)


def _quantity(value: bytes) -> str:
    return _text(dict(_fields(value)).get(1, b"0"))


def _int_or_string(value: bytes) -> int | str:
    fields = dict(_fields(value))
    if fields.get(1, 0):
        return _text(fields.get(3, b""))
    number: int = _value("n", fields.get(2, 0), 0)
    return number


def _time(value: bytes, timespec: str = "seconds") -> str | None:
    fields = dict(_fields(value))
    if not fields:
        return None
    seconds = _value("n", fields.get(1, 0), 0)
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=fields.get(2, 0) // 1000)
    return moment.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def _micro_time(value: bytes) -> str | None:
    return _time(value, "microseconds")


def _raw(value: bytes) -> Any:
    raw = dict(_fields(value)).get(1, b"")
    return decode(raw) if raw else None


def _items(value: bytes) -> list[str]:
    return [_text(item) for _, item in _fields(value)]


_SPECIAL: dict[str, Callable[[bytes], Any]] = {
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Time": _time,
    "MicroTime": _micro_time,
    "RawExtension": _raw,
    "FieldsV1": _raw,
    "ExtraValue": _items,
}
