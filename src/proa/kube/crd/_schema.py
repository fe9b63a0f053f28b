"""Types to structural schemas (OpenAPI v3 as Kubernetes restricts it).

The rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec
from msgspec import inspect

from proa.kube.crd._docs import attribute_docs, class_doc
from proa.kube.crd._markers import Rule
from proa.kube.errors import KubeError
from proa.kube.models import Duration, MicroTime, Quantity, Resource

Schema = dict[str, Any]
QUANTITY = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$"
INT_OR_STRING: Schema = {
    "x-kubernetes-int-or-string": True,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
}
# Known to JSON Schema and msgspec, refused by Kubernetes.
NOT_STRUCTURAL = ("examples", "deprecated", "readOnly", "writeOnly", "$comment")


class CrdError(KubeError):
    """A type that cannot become a custom resource; the message names the field."""

    exit_code = 2


def schema_of(cls: type[msgspec.Struct], skipped: frozenset[str] = frozenset()) -> Schema:
    """Return the schema of a Struct, without the fields named in `skipped` (as in the API).

    Raises:
        CrdError: something in it has no structural schema.
    """
    return _Walk().struct(cls, cls.__name__, skipped)


class _Walk:
    """One walk through a type; knows the Structs that it is in."""

    def __init__(self) -> None:
        self._within: list[type] = []

    def struct(self, cls: type[msgspec.Struct], where: str, skipped: frozenset[str] = frozenset()) -> Schema:
        if cls in self._within:
            raise CrdError(
                f"{where}: {cls.__name__} holds itself, which no structural schema can say: "
                "give the inner field the type Any"
            )
        self._within.append(cls)
        try:
            return self._struct(cls, where, skipped)
        finally:
            self._within.pop()

    def _struct(self, cls: type[msgspec.Struct], where: str, skipped: frozenset[str]) -> Schema:
        info = inspect.type_info(cls)
        if not isinstance(info, inspect.StructType) or info.tag is not None or info.array_like:
            raise CrdError(f"{where}: {cls.__name__} is tagged or an array, not an object with fields")
        docs = attribute_docs(cls)
        hints = get_type_hints(cls, include_extras=True)
        properties, required = {}, []
        for field in info.fields:
            if field.encode_name in skipped:
                continue
            at = f"{where}.{field.name}"
            schema = self.of(field.type, at)
            if field.name in docs and "description" not in schema:
                schema["description"] = docs[field.name]
            if (default := _default(field, hints[field.name], at)) is not _NONE:
                schema["default"] = default
            if field.required:
                required.append(field.encode_name)
            properties[field.encode_name] = schema
        found: Schema = {"type": "object"}
        if description := class_doc(cls):
            found["description"] = description
        if properties:
            found["properties"] = properties
        if required:
            found["required"] = required
        rules: tuple[Rule, ...] = getattr(cls, "__rules__", ())
        if rules:
            found["x-kubernetes-validations"] = [rule.schema() for rule in rules]
        return found

    def of(self, info: inspect.Type, where: str) -> Schema:
        """Return the schema of any type."""
        if isinstance(info, inspect.Metadata):
            return self._annotated(info, where)
        if isinstance(info, inspect.UnionType):
            return self._union(info, where)
        if isinstance(info, inspect.StructType):
            if issubclass(info.cls, Resource):
                kept = {"x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
                return {"type": "object", **kept}
            return self.struct(info.cls, where)
        if isinstance(info, inspect.CollectionType):
            return self._array(info, where)
        if isinstance(info, inspect.DictType):
            return self._map(info, where)
        if isinstance(info, inspect.EnumType):
            return _enum([member.value for member in info.cls], where)
        if isinstance(info, inspect.LiteralType):
            return _enum(list(info.values), where)
        if isinstance(info, inspect.CustomType):
            return _custom(info.cls, where)
        for known, make in _SCALARS.items():
            if isinstance(info, known):
                return make(info)
        raise CrdError(f"{where}: a {type(info).__name__.removesuffix('Type')} has no structural schema")

    def _annotated(self, info: inspect.Metadata, where: str) -> Schema:
        extra = dict(info.extra_json_schema or {})
        for name in NOT_STRUCTURAL:
            extra.pop(name, None)
        schema = self.of(info.type, where) | extra
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys is not None:
            known = schema.get("items", {}).get("properties", {})
            if missing := [key for key in keys if key not in known]:
                raise CrdError(f"{where}: its items have no field {missing[0]!r} to tell them apart by")
        return schema

    def _union(self, info: inspect.UnionType, where: str) -> Schema:
        others = [member for member in info.types if not isinstance(member, inspect.NoneType)]
        nullable = len(others) < len(info.types)
        if len(others) == 1:
            schema = self.of(others[0], where)
        elif {type(member) for member in others} == {inspect.IntType, inspect.StrType}:
            schema = dict(INT_OR_STRING)
        else:
            names = ", ".join(sorted(type(member).__name__.removesuffix("Type") for member in others))
            raise CrdError(f"{where}: only `T | None` and `int | str` can be said, not a union of {names}")
        return schema | {"nullable": True} if nullable else schema

    def _array(self, info: inspect.CollectionType, where: str) -> Schema:
        schema: Schema = {"type": "array", "items": self.of(info.item_type, f"{where}[]")}
        if isinstance(info, inspect.SetType | inspect.FrozenSetType):
            schema["x-kubernetes-list-type"] = "set"
        return schema | _given(minItems=info.min_length, maxItems=info.max_length)

    def _map(self, info: inspect.DictType, where: str) -> Schema:
        key = info.key_type.type if isinstance(info.key_type, inspect.Metadata) else info.key_type
        if not isinstance(key, inspect.StrType):
            raise CrdError(f"{where}: the keys of a map are texts")
        bounds = _given(minProperties=info.min_length, maxProperties=info.max_length)
        if isinstance(info.value_type, inspect.AnyType):
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, **bounds}
        return {"type": "object", "additionalProperties": self.of(info.value_type, f"{where}[]"), **bounds}


def _given(**values: Any) -> Schema:
    return {key: value for key, value in values.items() if value is not None}


def _number(info: Any) -> Schema:
    bounds = _given(minimum=info.ge, maximum=info.le, multipleOf=info.multiple_of)
    if info.gt is not None:
        bounds |= {"minimum": info.gt, "exclusiveMinimum": True}
    if info.lt is not None:
        bounds |= {"maximum": info.lt, "exclusiveMaximum": True}
    return bounds


def _text(info: Any) -> Schema:
    return {
        "type": "string",
        **_given(minLength=info.min_length, maxLength=info.max_length, pattern=info.pattern),
    }


def _formatted(name: str) -> Callable[[Any], Schema]:
    return lambda _: {"type": "string", "format": name}


_SCALARS: dict[type[inspect.Type], Callable[[Any], Schema]] = {
    inspect.AnyType: lambda _: {"x-kubernetes-preserve-unknown-fields": True},
    inspect.RawType: lambda _: {"x-kubernetes-preserve-unknown-fields": True},
    inspect.BoolType: lambda _: {"type": "boolean"},
    inspect.IntType: lambda info: {"type": "integer", "format": "int64", **_number(info)},
    inspect.FloatType: lambda info: {"type": "number", "format": "double", **_number(info)},
    inspect.StrType: _text,
    inspect.BytesType: _formatted("byte"),
    inspect.DateTimeType: _formatted("date-time"),
    inspect.DateType: _formatted("date"),
    inspect.UUIDType: _formatted("uuid"),
}


def _custom(cls: type, where: str) -> Schema:
    if issubclass(cls, Quantity):
        return INT_OR_STRING | {"pattern": QUANTITY}
    if issubclass(cls, MicroTime):
        return {"type": "string", "format": "date-time"}
    if issubclass(cls, Duration):
        return {"type": "string", "format": "duration"}
    raise CrdError(f"{where}: {cls.__name__} has no structural schema")


def _enum(values: list[Any], where: str) -> Schema:
    for type_, name in ((str, "string"), (int, "integer")):
        if all(isinstance(value, type_) for value in values):
            return {"type": name, "enum": values}
    raise CrdError(f"{where}: the values of an enum are all texts or all whole numbers")


_NONE = object()


def _default(field: inspect.Field, hint: Any, where: str) -> Any:
    """Return a field's default as JSON, or `_NONE` where the server need not write one."""
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return _NONE
    if value is None:
        return _NONE
    plain = msgspec.to_builtins(value, enc_hook=str)
    if plain == [] or (plain == {} and not isinstance(value, msgspec.Struct)):
        return _NONE
    try:
        msgspec.convert(plain, hint, dec_hook=lambda type_, text: type_(text))
    except msgspec.ValidationError as error:
        raise CrdError(f"{where}: its default {plain!r} does not fit its type: {error}") from error
    return plain
