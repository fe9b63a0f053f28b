"""JSON documents: the one codec of the API server, and how a client's body is read."""

from __future__ import annotations

import copy
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
        if _expanded(value, {}) > MAX_YAML_VALUES:
            raise UnreadableError("its aliases stand for too many values")
        return decode(encode(value))
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableError(str(error).replace("\n", " ")) from error


MAX_YAML_VALUES = 2_000_000
"""More than a body of the largest size can hold without aliases."""


def _expanded(value: Any, known: dict[int, int]) -> int:
    """How many values there are once all aliases are written out; one that holds itself has too many."""
    if type(value) is not dict and type(value) is not list:
        return 1
    if id(value) not in known:
        known[id(value)] = (
            MAX_YAML_VALUES + 1
        )  # what it is while it is being counted: met again, it holds itself
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
