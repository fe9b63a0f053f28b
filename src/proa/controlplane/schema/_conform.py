"""Documents made to conform to their type, fast.

Kubernetes decodes a request into a typed object and encodes that again; what a client sees is the result:
fields that the type does not have are gone, so are empty maps, empty lists and nulls, and embedded
structs are there even when nobody set them. `Conformer` does the same to a document, and fills in
defaults on the way. It is one pass over the document with functions made once per type. Where something
is amiss it only notes that; `problems` then says what.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane._quantities import canonical, is_quantity

from ._constants import CONSTANTS, NULLS, POINTERS, short
from ._defaults import RULES
from ._definitions import definitions, zero_omitted
from ._scalars import reader

Convert = Callable[[Any], Any]
_ABSENT = object()


class NonconformingError(Exception):
    """A value has the wrong JSON type; `problems` finds out where."""


class Noticed(threading.local):
    """What a conformer notices besides; large documents are worked on in threads."""

    dropped = False


class Conformer:
    """Makes documents of one type conform.

    Calling it returns a new document; the given one must not be used after, for they share values.

    Raises:
        NonconformingError: Some value is not of its field's JSON type.
    """

    def __init__(self, type_name: str) -> None:
        self._types: dict[str, Convert] = {}
        self._noticed = Noticed()
        self._convert = self._named(type_name)

    def __call__(self, document: Document) -> Document:
        """The document as Kubernetes would store it, defaults filled in."""
        self._noticed.dropped = False
        converted: Document = self._convert(document)
        return converted

    @property
    def dropped(self) -> bool:
        """Whether the last call in this thread met fields that the type does not have."""
        return self._noticed.dropped

    def _named(self, name: str) -> Convert:
        if name not in self._types:
            self._types[name] = self._later(name)
            self._types[name] = self._compile(definitions()[name], name)
        return self._types[name]

    def _later(self, name: str) -> Convert:
        """A stand-in for a type that is being compiled: types may be recursive."""

        def convert(value: Any) -> Any:
            return self._types[name](value)

        return convert

    def _compile(self, schema: Document, name: str = "") -> Convert:
        if "$ref" in schema:
            return self._named(schema["$ref"])
        if "properties" in schema:
            return self._struct(schema, name)
        if isinstance(schema.get("additionalProperties"), dict):
            return self._map(self._compile(schema["additionalProperties"]))
        if schema.get("type") == "array":
            return self._list(self._compile(schema["items"]))
        return _scalar(schema, name)

    def _struct(self, schema: Document, name: str) -> Convert:
        kept_when_empty = POINTERS.get(short(name), frozenset())
        omitted = zero_omitted(name)
        fields = {
            key: (
                self._compile(value),
                _is_collection(value),
                _zero(value) if key in omitted else _empty(value, key, kept_when_empty),
            )
            for key, value in schema["properties"].items()
        }
        implied = [
            (key, self._implied(value))
            for key, value in schema["properties"].items()
            if "default" in value and not (key in omitted and value["default"] == _zero(value))
        ]
        implied += [(key, lambda: None) for key in NULLS.get(short(name), ())]
        constants = list(CONSTANTS.get(short(name), {}).items())
        rule = RULES.get(short(name))
        noticed = self._noticed

        def convert(value: Any) -> Any:
            if type(value) is not dict:
                raise NonconformingError
            result: Document = {}
            for key, item in value.items():
                if item is None:
                    if key not in fields:
                        noticed.dropped = True
                    continue
                try:
                    field, collection, empty = fields[key]
                except KeyError:
                    noticed.dropped = True
                    continue
                if (item == empty and type(item) is type(empty)) or (
                    collection and not item and type(item) in _COLLECTIONS
                ):
                    continue
                result[key] = field(item)
            for key, default in constants:
                if key not in result:
                    result[key] = default
            for key, make in implied:
                if key not in result:
                    result[key] = make()
            if rule is not None:
                rule(result)
            return result

        return convert

    def _implied(self, schema: Document) -> Callable[[], Any]:
        default = schema["default"]
        if default == {} and "$ref" in schema:
            convert = self._compile(schema)
            return lambda: convert({})
        return lambda: default

    @staticmethod
    def _map(convert: Convert) -> Convert:
        def convert_map(value: Any) -> Any:
            if type(value) is not dict:
                raise NonconformingError
            return {key: convert(item) for key, item in value.items() if item is not None}

        return convert_map

    @staticmethod
    def _list(convert: Convert) -> Convert:
        def convert_list(value: Any) -> Any:
            if type(value) is not list:
                raise NonconformingError
            return [convert(item) for item in value if item is not None]

        return convert_list


_COLLECTIONS = frozenset({dict, list})


def _is_collection(schema: Document) -> bool:
    return "items" in schema or "additionalProperties" in schema


def _empty(schema: Document, key: str, kept: frozenset[str]) -> Any:
    """The value that means the same as none at all: Go's zero value, unless the field is a pointer or
    always written.
    """
    if "default" in schema or key in kept:
        return _ABSENT
    if schema.get("type") == "string" and "format" not in schema:
        return ""
    return _ABSENT


def _zero(schema: Document) -> Any:
    """The value that Go does not write where a field has `omitempty`."""
    return {"string": "", "integer": 0, "number": 0, "boolean": False}.get(schema.get("type", ""), _ABSENT)


def _scalar(schema: Document, name: str) -> Convert:
    kind = schema.get("type")
    if name.endswith(".Quantity"):
        return _quantity
    if name.endswith(".IntOrString"):
        accepted = frozenset({str, int})
    elif kind in JSON_TYPES:
        accepted = JSON_TYPES[kind]
    else:
        return lambda value: value

    def convert(value: Any) -> Any:
        if type(value) not in accepted:
            raise NonconformingError
        return value

    found = reader(name, schema.get("format", ""))
    return _read(accepted, found[0]) if found else convert


def _read(accepted: frozenset[type], read: Convert) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) not in accepted:
            raise NonconformingError
        try:
            return read(value)
        except ValueError:
            raise NonconformingError from None

    return convert


def _quantity(value: Any) -> Any:
    if type(value) not in _QUANTITY_TYPES or not is_quantity(value):
        raise NonconformingError
    try:
        return canonical(str(value))
    except ValueError:  # beyond all bounds
        raise NonconformingError from None


_QUANTITY_TYPES = frozenset({str, int, float})
JSON_TYPES: dict[str, frozenset[type]] = {
    "string": frozenset({str}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "object": frozenset({dict}),
    "array": frozenset({list}),
}
