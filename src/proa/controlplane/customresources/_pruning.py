"""Documents without what their schema does not have, and with its defaults. Pure.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning
"""

from __future__ import annotations

from typing import Any

from proa.controlplane._json import Document, clone

_IDENTITY = frozenset({"apiVersion", "kind", "metadata"})


def pruned(value: Any, schema: Document, path: str, dropped: list[str]) -> Any:
    """The value without the fields that the schema does not have; their paths are added to `dropped`."""
    if type(value) is dict:
        return _pruned_object(value, schema, path, dropped)
    if type(value) is list and type(schema.get("items")) is dict:
        items = schema["items"]
        return [pruned(item, items, f"{path}[{index}]", dropped) for index, item in enumerate(value)]
    return value


def _pruned_object(value: Document, schema: Document, path: str, dropped: list[str]) -> Document:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    keeps_all = schema.get("x-kubernetes-preserve-unknown-fields") or others is True
    embedded = schema.get("x-kubernetes-embedded-resource")
    kept: Document = {}
    for key, item in value.items():
        inner = f"{path}.{key}" if path else key
        if key in properties and not (embedded and key in _IDENTITY):
            kept[key] = pruned(item, properties[key], inner, dropped)
        elif type(others) is dict:
            kept[key] = pruned(item, others, inner, dropped)
        elif keeps_all or (embedded and key in _IDENTITY):
            kept[key] = item
        else:
            dropped.append(inner)
    return kept


def put_defaults(value: Any, schema: Document) -> None:
    """Fills in, in place, what is left out and has a default; a null that may not be is left out, too."""
    if type(value) is dict:
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        for key, inner in properties.items():
            if "default" in inner and (
                key not in value or (value[key] is None and not inner.get("nullable"))
            ):
                value[key] = clone(inner["default"])
            if key in value:
                put_defaults(value[key], inner)
        if type(others) is dict:
            for key, item in value.items():
                if item is None and not others.get("nullable") and "default" in others:
                    value[key] = clone(others["default"])
                if key not in properties:
                    put_defaults(value[key], others)
    elif type(value) is list and type(schema.get("items")) is dict:
        for item in value:
            put_defaults(item, schema["items"])
