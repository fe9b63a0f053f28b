"""The one JSON codec: typed objects to bytes and back."""

from __future__ import annotations

import gc
import operator
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeVar

import msgspec

from proa.kube.errors import DecodeError
from proa.kube.models import Duration, DynamicObject, MicroTime, PartialObjectMetadata, Quantity, Resource

__all__ = ["decode", "encode"]

T = TypeVar("T")
# From this size on (lists of a few pods), holding back the garbage collector pays.
LARGE = 2**16


def _as_text(value: object) -> str:
    if isinstance(value, Quantity | MicroTime | Duration):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form")


# Called with type and text, and gives `type(text)`. Quantities repeat over and over, so that nearly all are
# found made already: no Python frame runs, and the objects of a list share them.
_SCALAR: Callable[[type, Any], Any] = lru_cache(maxsize=8192, typed=True)(operator.call)
_ENCODER = msgspec.json.Encoder(enc_hook=_as_text)


def encode(value: object) -> bytes:
    """Return `value` as JSON: a model, or plain dicts, lists and scalars with models among them.

    Raises:
        TypeError: something in it has no JSON form.
    """
    return _ENCODER.encode(value.to_document() if isinstance(value, DynamicObject) else value)


def decode(data: bytes | memoryview | str, type_: type[T]) -> T:
    """Read JSON as `type_`, dropping fields that the type does not declare.

    Go writes nil slices and maps as null: a null where the type has none is taken as absent.

    Raises:
        DecodeError: not JSON, not the type, or an object of another kind. The message names type and JSON
        path.
    """
    if issubclass(type_, DynamicObject):
        value: T = _decode_dynamic(data, type_)
    else:
        try:
            value = decode_exactly(data, type_)
        except msgspec.ValidationError:
            value = _decode_with_nulls(data, type_)
    if isinstance(value, Resource) and not _is_of_its_kind(value):
        raise DecodeError(f"cannot read {name_of(type_)}: the object is a {value.kind} ({value.api_version})")
    return value


def _is_of_its_kind(value: Resource) -> bool:
    if isinstance(value, PartialObjectMetadata) and value.kind == "PartialObjectMetadata":
        return True
    return not hasattr(value, "resource") or value.kind == value.resource.kind


def decode_exactly(data: bytes | memoryview | str, type_: type[T]) -> T:
    """Read JSON as `type_`, with all nulls where the type allows them.

    Raises:
        msgspec.ValidationError: not of the type.
        DecodeError: not JSON.
    """
    try:
        if len(data) < LARGE:
            return decoder(type_).decode(data)
        return _decode_uncollected(data, type_)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"cannot read {name_of(type_)}: {error}") from error


def _decode_uncollected(data: bytes | memoryview | str, type_: type[T]) -> T:
    """Decode with the cyclic garbage collector held back: what is made is many objects, none of them garbage.

    A list takes half of the time so; what the collector has missed it does after, in one go. The state is
    restored whatever happens: errors and signals pass through the `finally`, and of two threads or nested
    calls only the one that found the collector on turns it on again. Decoding holds Python's global lock, so
    that nobody else runs meanwhile. Programs that call `proa.app.garbage.tune()` gain nothing more.
    """
    enabled = gc.isenabled()
    try:
        gc.disable()
        return decoder(type_).decode(data)
    finally:
        if enabled:
            gc.enable()


def decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    """Return the one decoder of a type. It knows nothing of nulls; `decode` does."""
    return _decoder(type_)  # type: ignore[arg-type]


@cache
def _decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_, dec_hook=_SCALAR)


def name_of(type_: type) -> str:
    """Return how messages call a type."""
    return getattr(type_, "__name__", str(type_))


def _decode_dynamic(data: bytes | memoryview | str, type_: type[Any]) -> Any:
    try:
        return type_.from_document(decode_exactly(data, dict[str, Any]))
    except msgspec.ValidationError as error:
        raise DecodeError(f"cannot read {name_of(type_)}: {error}") from error


def _decode_with_nulls(data: bytes | memoryview | str, type_: type[T]) -> T:
    from proa.kube._nulls import without_nulls

    try:
        document = without_nulls(msgspec.json.decode(data), type_)
        converted: T = msgspec.convert(document, type_, dec_hook=_SCALAR)
    except msgspec.DecodeError as error:
        raise DecodeError(f"cannot read {name_of(type_)}: {error}") from error
    return converted
