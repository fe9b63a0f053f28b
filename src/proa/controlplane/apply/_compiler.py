"""From schemas to shapes: which of a type's values have one owner, and which have parts with their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proa.controlplane._json import Document

from ._shapes import ABSENT, DEDUCED, LEAF, KeyedList, Map, SetList, Shape, Struct

Resolve = Callable[[str], Document]
"""From a `$ref` to the schema that it names."""


class Shapes:
    """Makes shapes of schemas, and keeps those of named types.

    Args:
        resolve: From a `$ref` to the schema that it names.
        nulls: From the name of a type to its fields that are written as null where they are not set.
    """

    def __init__(self, resolve: Resolve, nulls: Callable[[str], Iterable[str]]) -> None:
        self._resolve = resolve
        self._nulls = nulls
        self._named: dict[str, Shape] = {}

    def of(self, schema: Document) -> Shape:
        """The shape of a schema's values."""
        if "$ref" in schema:
            return self._reference(schema)
        atomic = "atomic" in {schema.get("x-kubernetes-map-type"), schema.get("x-kubernetes-list-type")}
        if atomic:
            return LEAF
        if "properties" in schema:
            return self._struct(Struct(), schema)
        if isinstance(schema.get("additionalProperties"), dict):
            return Map(self.of(schema["additionalProperties"]))
        if schema.get("type") == "array":
            return self._list(schema)
        return DEDUCED if schema.get("type") in {None, "object"} else LEAF

    def _reference(self, schema: Document) -> Shape:
        name = schema["$ref"]
        if schema.get("x-kubernetes-map-type") == "atomic" or name.rpartition(".")[2] in _SCALARS:
            return LEAF
        if name not in self._named:
            target = self._resolve(name)
            if "properties" in target and target.get("x-kubernetes-map-type") != "atomic":
                struct = self._named[name] = Struct()
                self._struct(struct, target)
                struct.implied |= dict.fromkeys(self._nulls(name))
            else:
                self._named[name] = self.of(target)
        return self._named[name]

    def _struct(self, struct: Struct, schema: Document) -> Struct:
        required = schema.get("required", ())
        if schema.get("x-kubernetes-preserve-unknown-fields") or "properties" not in schema:
            struct.other = DEDUCED
        for name, value in schema.get("properties", {}).items():
            struct.fields[name] = self.of(value)
            if name in required and ("items" in value or "additionalProperties" in value):
                struct.implied[name] = None
            elif value.get("default", ABSENT) in ({}, "", 0, False):
                struct.implied[name] = value["default"]
        return struct

    def _list(self, schema: Document) -> Shape:
        keys = schema.get("x-kubernetes-list-map-keys", ())
        match schema.get("x-kubernetes-list-type"):
            case "set":
                return SetList()
            case "map" if keys:
                item = schema["items"]
                fields = (self._resolve(item["$ref"]) if "$ref" in item else item).get("properties", {})
                defaults = {key: fields[key]["default"] for key in keys if "default" in fields.get(key, {})}
                return KeyedList(keys, defaults, self.of(item))
        return LEAF

    def root(self, name: str, schema: Document, ignored: Iterable[Iterable[str]]) -> Struct:
        """The shape of whole objects of a named type, in which the paths that are `ignored` have no owner."""
        struct = self._struct(Struct(), schema)
        struct.implied |= dict.fromkeys(self._nulls(name))
        shared = self._reference({"$ref": OBJECT_META})
        assert isinstance(shared, Struct)
        metadata = Struct()
        metadata.fields, metadata.implied = shared.fields, shared.implied
        struct.fields["metadata"], struct.implied["metadata"] = metadata, {}
        split = [tuple(path) for path in ignored]
        struct.ignored = frozenset(path[0] for path in split if len(path) == 1)
        metadata.ignored = frozenset(path[1] for path in split if len(path) == 2)
        return struct


OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_SCALARS = frozenset({"Time", "MicroTime", "Quantity", "IntOrString", "Duration"})
