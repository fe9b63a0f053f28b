"""Strategic merge patch: merge patch in which lists of objects merge by a key that their type declares.

Directives: `$patch` (merge, replace, delete) in an object or a list's item, `$retainKeys`,
`$deleteFromPrimitiveList/FIELD` and `$setElementOrder/FIELD`.
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.schema import definitions

from ._errors import PatchError

_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_NO_SCHEMA: Document = {}


def strategic_merge_patch(document: Document, patch: Any, type_name: str) -> Document:
    """The document with the patch merged in, lists by the keys that the type declares.

    Raises:
        PatchError: The patch is not an object, a list's item lacks its key, or a directive is unknown.
    """
    if type(patch) is not dict:
        raise PatchError("a strategic merge patch is an object", malformed=True)
    merged = _merge_object(document, patch, {"$ref": type_name})
    return {} if merged is None else merged


def _resolve(schema: Document) -> Document:
    while "$ref" in schema:
        schema = definitions()[schema["$ref"]]
    return schema


def _field(schema: Document, name: str) -> Document:
    schema = _resolve(schema)
    found: Any = schema.get("properties", _NO_SCHEMA).get(name) or schema.get("additionalProperties")
    return dict(found) if isinstance(found, dict) else _NO_SCHEMA


def _merge_object(document: Any, patch: Document, schema: Document) -> Document | None:
    """The merged object; None if the patch deletes it."""
    directive = patch.get("$patch", "merge")
    plain = {key: value for key, value in patch.items() if not key.startswith("$")}
    if directive == "delete":
        return None
    if directive == "replace":
        return dict(_cleaned(plain))
    if directive != "merge":
        raise PatchError(f"unknown $patch directive {directive!r}", malformed=True)
    result: Document = dict(document) if type(document) is dict else {}
    _retain(result, patch.get("$retainKeys"), plain)
    _delete_primitives(result, patch)
    for key, value in plain.items():
        _merge_field(result, key, value, _field(schema, key), patch.get(_ORDER + key))
    for key, order in patch.items():
        if key.startswith(_ORDER) and key.removeprefix(_ORDER) not in plain:
            name = key.removeprefix(_ORDER)
            _reorder(result, name, order, _field(schema, name))
    return result


def _merge_field(result: Document, key: str, value: Any, schema: Document, order: Any) -> None:
    if value is None:
        result.pop(key, None)
    elif type(value) is dict:
        merged = _merge_object(result.get(key), value, schema)
        if merged is None:
            result.pop(key, None)
        else:
            result[key] = merged
    elif type(value) is list and "merge" in schema.get("x-kubernetes-patch-strategy", "").split(","):
        result[key] = _merge_list(result.get(key), value, schema, order)
    else:
        result[key] = _cleaned(value)


def _retain(result: Document, keys: Any, plain: Document) -> None:
    if keys is None:
        return
    if type(keys) is not list or not plain.keys() <= set(keys):
        raise PatchError("$retainKeys must list every field that the patch sets", malformed=True)
    for key in [key for key in result if key not in keys]:
        del result[key]


def _delete_primitives(result: Document, patch: Document) -> None:
    for key, values in patch.items():
        name = key.removeprefix(_DELETE)
        if key.startswith(_DELETE) and type(result.get(name)) is list:
            if type(values) is not list:
                raise PatchError(f"{key} must be a list", malformed=True)
            result[name] = [item for item in result[name] if item not in values]


def _merge_list(current: Any, patch: list[Any], schema: Document, order: Any) -> list[Any]:
    items = list(current) if type(current) is list else []
    merge_key = schema.get("x-kubernetes-patch-merge-key")
    if merge_key is None:
        merged = items + [item for item in patch if item not in items]
        return _ordered(merged, order, _itself) if type(order) is list else merged
    for change in patch:
        if type(change) is not dict:
            raise PatchError("an item of a list that merges by key is an object", malformed=True)
    if any(change.get("$patch") == "replace" for change in patch):
        return [_cleaned(change) for change in patch if set(change) != {"$patch"}]
    for change in patch:
        _merge_item(items, change, merge_key, schema["items"])
    if type(order) is list:
        return _ordered(items, [entry.get(merge_key) for entry in order], lambda item: item.get(merge_key))
    return items


def _merge_item(items: list[Any], change: Document, merge_key: str, schema: Document) -> None:
    if merge_key not in change:
        raise PatchError(f"an item of the patch lacks its merge key {merge_key!r}", malformed=True)
    for index, item in enumerate(items):
        if type(item) is dict and item.get(merge_key) == change[merge_key]:
            merged = _merge_object(item, change, schema)
            if merged is None:
                items[:] = [other for other in items if other.get(merge_key) != change[merge_key]]
            else:
                items[index] = merged
            return
    added = _merge_object({}, change, schema)
    if added is not None:
        items.append(added)


def _reorder(result: Document, name: str, order: Any, schema: Document) -> None:
    current = result.get(name)
    if type(current) is not list or type(order) is not list:
        return
    merge_key = schema.get("x-kubernetes-patch-merge-key")
    if merge_key is None:
        result[name] = _ordered(current, order, _itself)
    else:
        keys = [entry.get(merge_key) for entry in order]
        result[name] = _ordered(current, keys, lambda item: item.get(merge_key))


def _ordered(items: list[Any], order: list[Any], key: Callable[[Any], Any]) -> list[Any]:
    """The items in the given order; an item that it does not name keeps its place behind the one it
    follows.
    """
    listed = sorted((item for item in items if key(item) in order), key=lambda item: order.index(key(item)))
    result = list(listed)
    for index, item in enumerate(items):
        if key(item) in order:
            continue
        before = next((other for other in reversed(items[:index]) if other in result), None)
        result.insert(result.index(before) + 1 if before is not None else 0, item)
    return result


def _itself(item: Any) -> Any:
    return item


def _cleaned(value: Any) -> Any:
    """A value that is taken over whole: nulls and directives in it have done their work."""
    if type(value) is dict:
        return _without_directives(value.items())
    if type(value) is list:
        return [_cleaned(item) for item in value if item is not None]
    return value


def _without_directives(items: Iterable[tuple[str, Any]]) -> Document:
    return {key: _cleaned(value) for key, value in items if value is not None and not key.startswith("$")}
