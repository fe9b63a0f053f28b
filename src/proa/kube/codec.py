"""The one JSON codec: typed objects to bytes and back."""

from __future__ import annotations

import operator
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from proa.kube.errors import DecodeError
from proa.kube.models import Duration, MicroTime, Quantity, Resource

__all__ = ["decode", "encode"]

T = TypeVar("T")


def _as_text(value: object) -> str:
    if isinstance(value, Quantity | MicroTime | Duration):
        return str(value)
    raise NotImplementedError


_ENCODER = msgspec.json.Encoder(enc_hook=_as_text)


def encode(value: object) -> bytes:
    """Return `value` as JSON: a model, or plain dicts, lists and scalars with models among them.

    Raises:
        TypeError: something in it has no JSON form.
    """
    return _ENCODER.encode(value)


def decode(data: bytes | memoryview | str, type_: type[T]) -> T:
    """Read JSON as `type_`, dropping fields that the type does not declare.

    Go writes nil slices and maps as null: a null where the type has none is taken as absent.

    Raises:
        DecodeError: not JSON, not the type, or an object of another kind. The message names type and JSON
        path.
    """
    try:
        value = decoder(type_).decode(data)
    except msgspec.ValidationError:
        value = _decode_with_nulls(data, type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"cannot read {name_of(type_)}: {error}") from error
    if isinstance(value, Resource) and value.kind != value.resource.kind:
        raise DecodeError(f"cannot read {name_of(type_)}: the object is a {value.kind} ({value.api_version})")
    return value


def decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    """Return the one decoder of a type. It knows nothing of nulls; `decode` does."""
    return _decoder(type_)  # type: ignore[arg-type]


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    # The hook is called with type and text: `call` makes a Quantity of them without a Python frame.
    return msgspec.json.Decoder(type_, dec_hook=operator.call)


def name_of(type_: type) -> str:
    """Return how messages call a type."""
    return getattr(type_, "__name__", str(type_))


def _decode_with_nulls(data: bytes | memoryview | str, type_: type[T]) -> T:
    try:
        document = _without_nulls(msgspec.json.decode(data), inspect.type_info(type_))
        converted: T = msgspec.convert(document, type_, dec_hook=operator.call)
    except msgspec.DecodeError as error:
        raise DecodeError(f"cannot read {name_of(type_)}: {error}") from error
    return converted


def _without_nulls(value: Any, info: inspect.Type) -> Any:
    """Return the document without the nulls that the type cannot hold; free-form JSON keeps its own."""
    if isinstance(info, inspect.UnionType):
        matching = [member for member in info.types if _shape(member) is type(value)]
        return _without_nulls(value, matching[0]) if matching else value
    if isinstance(info, inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in info.fields}
        return {
            key: _without_nulls(item, fields[key])
            for key, item in value.items()
            if key in fields and (item is not None or _nullable(fields[key]))
        }
    if isinstance(info, inspect.ListType) and isinstance(value, list):
        return [
            _without_nulls(item, info.item_type)
            for item in value
            if item is not None or _nullable(info.item_type)
        ]
    if isinstance(info, inspect.DictType) and isinstance(value, dict):
        return {
            key: _without_nulls(item, info.value_type)
            for key, item in value.items()
            if item is not None or _nullable(info.value_type)
        }
    return value


def _nullable(info: inspect.Type) -> bool:
    if isinstance(info, inspect.UnionType):
        return info.includes_none
    return isinstance(info, inspect.AnyType | inspect.NoneType)


def _shape(info: inspect.Type) -> type | None:
    """Return the JSON container that a type is written as, if it is one."""
    if isinstance(info, inspect.StructType | inspect.DictType):
        return dict
    return list if isinstance(info, inspect.ListType) else None
