"""Messages into documents: what Go's server would see in the JSON form of the same object."""

from __future__ import annotations

from typing import Any

from proa.controlplane._json import Document

from ._table import Field, messages
from ._values import LIFTED, SCALARS
from ._wire import BYTES, ProtobufError, Reader, Value, text

_KEY, _VALUE = 1, 2
_NOTHING = memoryview(b"")


class DocumentReader:
    """Reads the messages of one body.

    It goes only as deep as the types do, whatever the bytes say: no type holds itself.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, name: str, data: memoryview) -> Document:
        """The document of a message, given by its full name.

        Raises:
            ProtobufError: The bytes are not such a message.
        """
        document: Document = {}
        self._fill(document, name, data)
        return document

    def _fill(self, document: Document, name: str, data: memoryview) -> None:
        fields = messages()[name]
        for number, wire_type, value in self._reader.fields(data):
            field = fields.get(number)
            if field is None:
                continue
            try:
                self._put(document, field, wire_type, value)
            except ProtobufError as error:
                error.path.append(field.name)
                raise

    def _put(self, document: Document, field: Field, wire_type: int, value: Value) -> None:
        if wire_type != field.wire_type:
            if field.shape != "[]" or wire_type != BYTES:
                raise ProtobufError(f"a value of type {field.type} has the wire type {wire_type}")
            value = list(self._reader.varints(value))
        match field.shape:
            case "+":
                self._fill(document, field.type, value)
            case "[]":
                values = value if type(value) is list else [value]
                document.setdefault(field.name, []).extend(self._value(field.type, one) for one in values)
            case "{}":
                entry = self._reader.parts(value)
                key, item = text(entry.get(_KEY, _NOTHING)), entry.get(_VALUE, _NOTHING)
                document.setdefault(field.name, {})[key] = self._value(field.type, item)
            case _:
                self._put_one(document, field, value)

    def _put_one(self, document: Document, field: Field, value: Value) -> None:
        found = self._value(field.type, value)
        if found is None or (field.omits_zero and not found):
            document.pop(field.name, None)
        else:
            document[field.name] = found

    def _value(self, kind: str, value: Value) -> Any:
        if kind in SCALARS:
            return SCALARS[kind](value)
        document = self.read(kind, value)
        lift = LIFTED.get(kind)
        return document if lift is None else lift(document)
