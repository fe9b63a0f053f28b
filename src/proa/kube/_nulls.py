"""Documents with nulls where their type has none, as Go writes nil slices and maps."""

from __future__ import annotations

from functools import cache
from typing import Any

from msgspec import inspect


def without_nulls(value: Any, type_: type) -> Any:
    """Return the document without the nulls that the type cannot hold; free-form JSON keeps its own."""
    return _pruned(value, _type_info(type_))


# Describing a type with all that it holds takes milliseconds.
_type_info = cache(inspect.type_info)


def _pruned(value: Any, info: inspect.Type) -> Any:
    if isinstance(info, inspect.UnionType):
        matching = [member for member in info.types if _shape(member) is type(value)]
        return _pruned(value, matching[0]) if matching else value
    if isinstance(info, inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in info.fields}
        return {
            key: _pruned(item, fields[key])
            for key, item in value.items()
            if key in fields and _holds(fields[key], item)
        }
    if isinstance(info, inspect.DictType) and isinstance(value, dict):
        values = info.value_type
        return {key: _pruned(item, values) for key, item in value.items() if _holds(values, item)}
    if isinstance(info, inspect.ListType) and isinstance(value, list):
        return [_pruned(item, info.item_type) for item in value if _holds(info.item_type, item)]
    return value


def _holds(info: inspect.Type, item: object) -> bool:
    if item is not None or isinstance(info, inspect.AnyType):
        return True
    return isinstance(info, inspect.UnionType) and info.includes_none


def _shape(info: inspect.Type) -> type | None:
    """Return the JSON container that a type is written as, if it is one."""
    if isinstance(info, inspect.StructType | inspect.DictType):
        return dict
    return list if isinstance(info, inspect.ListType) else None
