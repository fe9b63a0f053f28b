"""JSON documents: the one codec of the API server, and how a client's body is read."""

from __future__ import annotations

import copy
import re
from typing import Any

import msgspec

Document = dict[str, Any]
"""A JSON object: how the API server handles Kubernetes objects."""

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class UnreadableError(ValueError):
    """The bytes are not JSON (or YAML); the message says where."""


def decode(data: bytes) -> Any:
    """The value that JSON bytes hold.

    Raises:
        UnreadableError: The bytes are not JSON, or are nested too deeply.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(str(error)) from error


def decode_yaml(data: bytes) -> Any:
    """The value that one YAML document holds, by the safe loader.

    Raises:
        UnreadableError: The bytes are not YAML, hold several documents, or hold values that JSON has not.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = yaml.load(data, Loader=loader)  # noqa: S506 - both are safe loaders
        if _expanded(value, {}) > MAX_VALUES:
            raise UnreadableError("it has too many values, or its aliases stand for too many")
        return decode(encode(value))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableError(str(error).replace("\n", " ")) from error


MAX_VALUES = 100_000
"""How many values a document may hold: of any size, they cost a server time and memory, each of them."""


class TooManyValuesError(UnreadableError):
    """A document has more than `MAX_VALUES` values."""

    def __init__(self) -> None:
        super().__init__(f"it holds more than {MAX_VALUES} values")


_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def may_hold_too_many(data: bytes) -> bool:
    """Whether there is reason to count the values of a JSON text; quick, for commas in strings count, too."""
    return len(data) > MAX_VALUES and sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES


def check_values(data: bytes) -> None:
    """Counts the values of a JSON text, roughly, before anything is made of them. For threads: it takes up to
    some tens of milliseconds, a little at a time.

    Raises:
        TooManyValuesError: There are too many.
    """
    count = end = 0
    for found in _STRING.finditer(data):
        between = data[end : found.start()]
        count += between.count(b",") + between.count(b"[") + between.count(b"{")
        if count > MAX_VALUES:
            raise TooManyValuesError
        end = found.end()
    rest = data[end:]
    if count + rest.count(b",") + rest.count(b"[") + rest.count(b"{") > MAX_VALUES:
        raise TooManyValuesError


def _expanded(value: Any, known: dict[int, int]) -> int:
    """How many values there are once all aliases are written out; one that holds itself has too many."""
    if type(value) is not dict and type(value) is not list:
        return 1
    if id(value) not in known:
        known[id(value)] = MAX_VALUES + 1  # what it is while it is being counted: met again, it holds itself
        items = value.values() if type(value) is dict else value
        known[id(value)] = 1 + sum(_expanded(item, known) for item in items)
    return known[id(value)]


def clone(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if type(value) is dict:
        return {key: clone(item) for key, item in value.items()}
    if type(value) is list:
        return [clone(item) for item in value]
    return value if type(value) in _SCALARS else copy.deepcopy(value)


_SCALARS = frozenset({str, int, float, bool, type(None)})
