"""What in a document does not fit its type, and where: the slow twin of `Conformer`, run only when that
met something.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane._quantities import is_quantity

from ._definitions import definitions
from ._scalars import reader


@dataclass(slots=True)
class Problems:
    """Fields that the type does not have, and values of the wrong JSON type, by their paths."""

    unknown: list[str] = field(default_factory=list)
    mistyped: list[str] = field(default_factory=list)


def problems(type_name: str, document: Any) -> Problems:
    """All that does not fit, in the document's order."""
    found = Problems()
    _walk({"$ref": type_name}, document, "", found)
    return found


def _walk(schema: Document, value: Any, path: str, found: Problems) -> None:
    name = ""
    while "$ref" in schema:
        name = schema["$ref"]
        schema = definitions()[name]
    if value is None:
        return
    if not _fits(schema, name, value) or not _readable(schema, name, value):
        found.mistyped.append(
            f"{path or '<root>'}: expected {_expected(schema, name)}, not {_shown(schema, value)}"
        )
    elif "properties" in schema:
        _walk_struct(schema["properties"], value, path, found)
    elif isinstance(schema.get("additionalProperties"), dict):
        for key, item in value.items():
            _walk(schema["additionalProperties"], item, f"{path}[{key}]", found)
    elif "items" in schema:
        for index, item in enumerate(value):
            _walk(schema["items"], item, f"{path}[{index}]", found)


def _walk_struct(properties: Document, value: Document, path: str, found: Problems) -> None:
    for key, item in value.items():
        inner = f"{path}.{key}" if path else key
        if key in properties:
            _walk(properties[key], item, inner, found)
        else:
            found.unknown.append(inner)


def _fits(schema: Document, name: str, value: Any) -> bool:
    kind = type(value)
    if name.endswith(".IntOrString"):
        return kind in {int, str}
    if name.endswith(".Quantity"):
        return kind in {int, float, str} and is_quantity(value)
    if "properties" in schema:
        return kind is dict
    match schema.get("type"):
        case "string":
            return kind is str
        case "integer":
            return kind is int
        case "number":
            return kind in {int, float}
        case "boolean":
            return kind is bool
        case "array":
            return kind is list
        case "object":
            return kind is dict
    return True


def _readable(schema: Document, name: str, value: Any) -> bool:
    found = reader(name, schema.get("format", ""))
    if found is None:
        return True
    try:
        found[0](value)
    except ValueError:
        return False
    return True


def _expected(schema: Document, name: str) -> str:
    if name.endswith(".IntOrString"):
        return "integer or string"
    if name.endswith(".Quantity"):
        return "a quantity such as 250m or 1Gi"
    found = reader(name, schema.get("format", ""))
    return found[1] if found else str(schema.get("type", "object"))


_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


def _shown(schema: Document, value: Any) -> str:
    if schema.get("format") == "byte" and type(value) is str:
        return "other text"
    name = _NAMES.get(type(value), type(value).__name__)
    return f'the {name} "{value[:64]}"' if type(value) is str else name
