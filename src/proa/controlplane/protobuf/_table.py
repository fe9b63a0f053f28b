"""Which field of a message has which number, name and type: read from the data file when first needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from proa.controlplane.schema._definitions import load

from ._values import SCALARS
from ._wire import BYTES, FIXED64, VARINT

_TYPE = re.compile(r"(\[\]|\{\}|\+)?([^?]+)(\?)?")
_WIRE_TYPES = {"bool": VARINT, "int32": VARINT, "int64": VARINT, "double": FIXED64}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

    name: str
    """As JSON has it."""
    type: str
    """A scalar's name, or a message's full one."""
    shape: str
    """`[]` repeated, `{}` a map from strings, `+` the type's fields stand among ours, or empty."""
    omits_zero: bool
    """Whether Go leaves a zero out of the JSON form: its field is no pointer, so the wire has it always."""
    wire_type: int
    """How one value is encoded."""


@cache
def messages() -> dict[str, dict[int, Field]]:
    """All messages by full name (as OpenAPI has it), their fields by number. Read-only."""
    table: dict[str, dict[str, list[str]]] = load("protobuf")
    return {
        f"{package}.{message}": dict(_field(entry, package) for entry in entries)
        for package, contents in table.items()
        for message, entries in contents.items()
    }


def _field(entry: str, package: str) -> tuple[int, Field]:
    number, name, described = entry.split(" ")
    matched = _TYPE.fullmatch(described)
    assert matched, entry
    shape, kind, omits_zero = matched.groups(default="")
    kind = kind if kind in SCALARS or "." in kind else f"{package}.{kind}"
    wire_type = BYTES if shape == "{}" else _WIRE_TYPES.get(kind, BYTES)
    return int(number), Field(name, kind, shape, bool(omits_zero), wire_type)
