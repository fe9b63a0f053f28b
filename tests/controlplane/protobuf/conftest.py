"""What the tests of protobuf bodies share: an encoder that writes messages as Go does."""

import base64
import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from proa.controlplane._json import Document, encode
from proa.controlplane.protobuf._table import Field, messages

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Encoder:
    """Writes documents as protobuf, with the same table of fields as the decoder under test."""

    def varint(self, number: int) -> bytes:
        number %= 1 << 64
        encoded = bytearray()
        while number > 0x7F:
            encoded.append(number & 0x7F | 0x80)
            number >>= 7
        return bytes([*encoded, number])

    def field(self, number: int, value: bytes | float) -> bytes:
        match value:
            case int():
                return self.varint(number << 3) + self.varint(value)
            case float():
                return self.varint(number << 3 | 1) + struct.pack("<d", value)
        return self.varint(number << 3 | 2) + self.varint(len(value)) + value

    def body(self, api_version: str, kind: str, raw: bytes) -> bytes:
        type_meta = self.field(1, api_version.encode()) + self.field(2, kind.encode())
        return (
            b"k8s\0" + self.field(1, type_meta) + self.field(2, raw) + self.field(3, b"") + self.field(4, b"")
        )

    def message(self, name: str, document: Document) -> bytes:
        fields = messages()[name].items()
        return b"".join(self._field(number, field, document) for number, field in fields)

    def _field(self, number: int, field: Field, document: Document) -> bytes:
        if field.shape == "+":
            return self.field(number, self.message(field.type, document))
        if field.name not in document:
            # Go writes the zero of a field that is no pointer.
            return self.field(number, self.value(field.type, ZEROS[field.type])) if field.omits_zero else b""
        value = document[field.name]
        match field.shape:
            case "[]":
                return b"".join(self.field(number, self.value(field.type, item)) for item in value)
            case "{}":
                return b"".join(self.field(number, self._entry(field, *item)) for item in value.items())
        return self.field(number, self.value(field.type, value))

    def _entry(self, field: Field, key: str, value: Any) -> bytes:
        return self.field(1, key.encode()) + self.field(2, self.value(field.type, value))

    def value(self, kind: str, value: Any) -> bytes | int | float:
        match kind:
            case "string":
                return str(value).encode()
            case "bytes":
                return base64.b64decode(value)
            case "json":
                return encode(value)
            case "bool" | "int32" | "int64":
                return int(value)
            case "double":
                return float(value)
        unlift = UNLIFTED.get(kind.rpartition(".")[2])
        return self.message(kind, unlift(value) if unlift else value)


ZEROS = {"string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0, "double": 0.0}


def time_parts(value: str) -> Document:
    since = datetime.fromisoformat(value) - EPOCH
    return {"seconds": since // timedelta(seconds=1), "nanos": since.microseconds * 1000}


def int_or_string(value: int | str) -> Document:
    is_text = isinstance(value, str)
    return {"type": int(is_text), "intVal": 0 if is_text else value, "strVal": value if is_text else ""}


UNLIFTED: dict[str, Callable[[Any], Document]] = {
    "Time": time_parts,
    "MicroTime": time_parts,
    "Quantity": lambda value: {"string": value},
    "IntOrString": int_or_string,
    "RawExtension": lambda value: {"raw": value},
    "FieldsV1": lambda value: {"Raw": value},
    "ExtraValue": lambda value: {"items": value},
}


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder()
