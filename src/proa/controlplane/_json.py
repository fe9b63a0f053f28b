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
        return decode(encode(yaml.load(data, Loader=loader)))  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableError(str(error).replace("\n", " ")) from error


def clone(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if type(value) is dict:
        return {key: clone(item) for key, item in value.items()}
    if type(value) is list:
        return [clone(item) for item in value]
    return value if type(value) in _SCALARS else copy.deepcopy(value)


_SCALARS = frozenset({str, int, float, bool, type(None)})
