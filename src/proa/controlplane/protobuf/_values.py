"""What single values become in JSON: scalars, and messages whose JSON form is not an object."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from proa.controlplane._json import Document, UnreadableError
from proa.controlplane._json import decode as decode_json

from ._wire import ProtobufError, Value, signed, text

_EPOCH = datetime(1970, 1, 1)


def _double(data: bytes) -> float:
    number: float = struct.unpack("<d", data)[0]
    return number


def _json(data: bytes) -> Any:
    try:
        return decode_json(data) if data else None
    except UnreadableError as error:
        raise ProtobufError(f"it holds JSON that cannot be read: {error}") from error


SCALARS: dict[str, Callable[[Value], Any]] = {
    "string": text,
    "bool": bool,
    "int32": lambda number: signed(number, 32),
    "int64": lambda number: signed(number, 64),
    "double": _double,
    "bytes": lambda data: base64.b64encode(data).decode(),
    "json": _json,
}


def _time(document: Document, timespec: str = "seconds") -> str | None:
    """RFC 3339, or nothing for Go's zero time, whose message is empty."""
    if not document:
        return None
    try:
        moment = _EPOCH + timedelta(seconds=document.get("seconds", 0))
        moment += timedelta(microseconds=document.get("nanos", 0) // 1000)
    except OverflowError as error:
        raise ProtobufError("a time is outside of the years 1 to 9999") from error
    return moment.isoformat(timespec=timespec) + "Z"


def _int_or_string(document: Document) -> int | str:
    value: int | str = document.get("strVal", "") if document.get("type") else document.get("intVal", 0)
    return value


_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
LIFTED: dict[str, Callable[[Document], Any]] = {
    f"{_META}.Time": _time,
    f"{_META}.MicroTime": lambda document: _time(document, "microseconds"),
    f"{_META}.FieldsV1": lambda document: document.get("Raw"),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": lambda document: document.get("raw"),
    "io.k8s.apimachinery.pkg.api.resource.Quantity": lambda document: document.get("string") or "0",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    **{
        f"io.k8s.api.{group}.v1.ExtraValue": lambda document: document.get("items", [])
        for group in ("authentication", "authorization", "certificates")
    },
}
"""Messages that are written otherwise than as objects, each with what its fields become."""
