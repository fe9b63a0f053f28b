"""What Kubernetes' expressions have, and the runtime has not, in terms of what it has. Pure.

- `Object.spec{replicas: 1}` and `JSONPatch{op: "add", ...}` are maps.
- comprehensions with two variables (`list.all(index, item, ...)`) are ones with one, over pairs.
- texts that their schema says are times, durations or bytes are converted where they are read: the runtime
  cannot hold such values within maps.
- functions whose names the runtime has for other types, or that give optional values, have names of our own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ._syntax import (
    Call,
    Entries,
    Index,
    Items,
    Literal,
    MalformedError,
    Name,
    Node,
    Object,
    Operation,
    Select,
    parse,
    written,
)

Schema = Mapping[str, Any]


class Typed:
    """The schemas of an expression's variables; the same as another if it is about the same objects."""

    __slots__ = ("schemas",)

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self.schemas = schemas

    def __hash__(self) -> int:
        return hash(tuple((name, id(schema)) for name, schema in self.schemas.items()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Typed) or self.schemas.keys() != other.schemas.keys():
            return False
        return all(schema is other.schemas[name] for name, schema in self.schemas.items())


UNTYPED = Typed({})


@lru_cache(4096)
def translated(source: str, typed: Typed = UNTYPED) -> str:
    """An expression that the runtime understands; what it understands anyway stays as it is.

    Raises:
        MalformedError: It uses a struct for what it is not.
    """
    try:
        tree = parse(source)
    except MalformedError:
        return source  # the runtime says better what is wrong
    translator = _Translator()
    new = translator.node(tree, dict(typed.schemas))[0]
    return written(new) if translator.changed else source


_RENAMED = {"indexOf": "__indexOf", "lastIndexOf": "__lastIndexOf", "reverse": "__reverse"}
_PREDICATES = {"all": "all", "exists": "exists", "exists_one": "exists_one", "existsOne": "exists_one"}
_NETWORKS = frozenset({"ip", "cidr", "masked"})
_TRANSFORMS = frozenset({"transformList", "transformMap", "transformMapEntry"})
_CONVERSIONS: dict[str, Callable[[Node], Node]] = {
    "date-time": lambda node: Call(None, "timestamp", (node,)),
    "datetime": lambda node: Call(None, "timestamp", (node,)),
    "date": lambda node: Call(None, "timestamp", (Operation("+", (node, Literal('"T00:00:00Z"'))),)),
    "duration": lambda node: Call(None, "duration", (node,)),
    "byte": lambda node: Call(Name("base64"), "decode", (node,)),
}
_Scope = dict[str, Schema]
_Known = tuple[Node, Schema | None]
"""A translated node, and the schema of its value where that is known."""


class _Translator:
    def __init__(self) -> None:
        self.changed = False
        self._made = 0

    def node(self, node: Node, scope: _Scope) -> _Known:
        """A node translated, with times converted."""
        new, schema = self._plain(node, scope)
        return self._converted(new, schema)

    def _converted(self, node: Node, schema: Schema | None) -> _Known:
        if schema is None:
            return node, None
        inner = schema.get("optional")
        conversion = _conversion(inner if inner is not None else schema)
        if conversion is None:
            return node, schema
        self.changed = True
        if inner is None:
            return conversion(node), None
        name = self._fresh()
        return Call(node, "optMap", (name, conversion(name))), None

    def _fresh(self) -> Name:
        self._made += 1
        return Name(f"__{self._made}")

    def _plain(self, node: Node, scope: _Scope) -> _Known:
        match node:
            case Literal():
                return node, None
            case Name(name):
                return node, scope.get(name)
            case Select(operand, field, optional):
                return self._select(operand, field, scope, optional=optional)
            case Index(operand, index, optional):
                target, schema = self.node(operand, scope)
                of = item_of(schema, index)
                new = Index(target, self.node(index, scope)[0], optional)
                return new, ({"optional": of} if optional and of is not None else of)
            case Call():
                return self._call(node, scope)
            case Items(items):
                return Items(tuple((mark, self.node(item, scope)[0]) for mark, item in items)), None
            case Entries(entries):
                pairs = [(m, self.node(k, scope)[0], self.node(v, scope)[0]) for m, k, v in entries]
                return Entries(tuple(pairs)), None
            case Object():
                return self._object(node, scope), None
            case Operation("?:", (condition, *branches)):
                known = [self.node(branch, scope) for branch in branches]
                schemas = [one for _, one in known if one is not None]
                chosen = Operation("?:", (self.node(condition, scope)[0], *(one for one, _ in known)))
                return chosen, schemas[0] if all(
                    one == schemas[0] for one in schemas[1:]
                ) and schemas else None
            case Operation(operator, operands):
                return Operation(operator, tuple(self.node(one, scope)[0] for one in operands)), None
        raise AssertionError(node)

    def _select(self, operand: Node, field: str, scope: _Scope, *, optional: bool) -> _Known:
        target, schema = self.node(operand, scope)
        if schema is not None and "optional" in schema:
            of = field_of(schema["optional"], field)
            return Select(target, field, optional), None if of is None else {"optional": of}
        of = field_of(schema, field)
        return Select(target, field, optional), {"optional": of} if optional and of is not None else of

    def _object(self, node: Object, scope: _Scope) -> Node:
        if node.type_name.partition(".")[0] not in {"Object", "JSONPatch"}:
            fields = [(mark, name, self.node(value, scope)[0]) for mark, name, value in node.fields]
            return Object(node.type_name, tuple(fields))
        self.changed = True
        if node.type_name.startswith("Object"):
            for _, name, value in node.fields:
                _check_names(value, f"{node.type_name}.{name}")
        return Entries(
            tuple(
                (mark, Literal(json.dumps(name.strip("`"))), self.node(value, scope)[0])
                for mark, name, value in node.fields
            )
        )

    def _call(self, call: Call, scope: _Scope) -> _Known:
        target, function, arguments = call.target, call.function, call.arguments
        if target is None:
            if function == "has" and len(arguments) == 1 and isinstance(arguments[0], Select):
                return Call(None, "has", (self._plain(arguments[0], scope)[0],)), None
            return self._ordinary(None, None, call, scope)
        if isinstance(target, Name) and target.name == "cel" and function == "bind" and len(arguments) == 3:
            value, schema = self.node(arguments[1], scope)
            body, of = self.node(arguments[2], _bound(scope, arguments[0], schema))
            return Call(target, "bind", (arguments[0], value, body)), of
        on, schema = self.node(target, scope)
        two = len(arguments) >= 3 and isinstance(arguments[0], Name) and isinstance(arguments[1], Name)
        if two and (function in _PREDICATES or function in _TRANSFORMS):
            return self._over_pairs(on, schema, call, scope), None
        if function in {"all", "exists", "exists_one", "existsOne", "map", "filter", "sortBy"} and len(
            arguments
        ) in {2, 3}:
            return self._over_items(on, schema, call, scope)
        if function in {"optMap", "optFlatMap"} and len(arguments) == 2:
            inner = (schema or {}).get("optional")
            body = self.node(arguments[1], _bound(scope, arguments[0], inner))[0]
            return Call(on, function, (arguments[0], body)), None
        return self._ordinary(on, schema, call, scope)

    def _ordinary(self, on: Node | None, schema: Schema | None, call: Call, scope: _Scope) -> _Known:
        arguments = tuple(self.node(one, scope)[0] for one in call.arguments)
        match on, call.function:
            case Name("format"), "named":
                self.changed = True
                return Select(Call(None, "__namedFormat", arguments), "format", optional=True), None
            case None, "string" if _is_network(call.arguments):
                self.changed = True
                return Call(None, "__string", arguments), None
            case None, _:
                return Call(None, call.function, arguments), None
            case _, "validate":
                self.changed = True
                return Select(Call(on, "__validate", arguments), "problems", optional=True), None
            case _, function if function in _RENAMED:
                self.changed = True
                return Call(on, _RENAMED[function], arguments), None
            case Name("optional"), "of" | "ofNonZeroValue":
                inner = self._plain(call.arguments[0], scope)[1]
                return Call(on, call.function, arguments), None if inner is None else {"optional": inner}
            case _, "value" | "orValue":
                return Call(on, call.function, arguments), (schema or {}).get("optional")
        return Call(on, call.function, arguments), None

    def _over_items(self, on: Node, schema: Schema | None, call: Call, scope: _Scope) -> _Known:
        function, (variable, *parts) = _PREDICATES.get(call.function, call.function), call.arguments
        self.changed |= function != call.function
        inner = _bound(scope, variable, element_of(schema))
        if function == "sortBy":
            self.changed = True
            keyed = Items(((False, self.node(parts[0], inner)[0]), (False, variable)))
            return Call(Call(on, "map", (variable, keyed)), "__sortedByFirst", ()), schema
        known = [self.node(part, inner) for part in parts]
        new = Call(on, function, (variable, *(one for one, _ in known)))
        if function == "filter":
            return new, schema
        of = known[-1][1]
        return new, {"items": of} if function == "map" and of is not None else None

    def _over_pairs(self, on: Node, schema: Schema | None, call: Call, scope: _Scope) -> Node:
        self.changed = True
        first, second, *parts = call.arguments
        pair, inner = self._fresh(), _bound(_bound(scope, first, None), second, values_of(schema))
        key, value = (Index(pair, Literal(index)) for index in ("0", "1"))

        def within(part: Node) -> Node:
            body = self.node(part, inner)[0]
            bound = Call(Name("cel"), "bind", (second, value, body))
            return Call(Name("cel"), "bind", (first, key, bound))

        pairs, bodies = Call(on, "__pairs", ()), [within(part) for part in parts]
        if call.function in _PREDICATES:
            return Call(pairs, _PREDICATES[call.function], (pair, *bodies))
        if call.function == "transformMap":
            bodies[-1] = Items(((False, key), (False, bodies[-1])))
        made = Call(pairs, "map", (pair, *bodies))
        after = {"transformMap": "__mapOfPairs", "transformMapEntry": "__merged"}.get(call.function)
        return Call(made, after, ()) if after else made


def _is_network(arguments: tuple[Node, ...]) -> bool:
    """Whether an address or a network is meant, which are maps here."""
    return len(arguments) == 1 and isinstance(arguments[0], Call) and arguments[0].function in _NETWORKS


def _check_names(node: Node, path: str) -> None:
    """Initialisers within a field's value are of the field's type.

    Raises:
        MalformedError: One is of another.
    """
    match node:
        case Object(name, _) if name.startswith("Object") and name != path:
            raise MalformedError(f"type mismatch: {path} cannot be initialised by {name}")
        case Object():
            return
        case Items(items):
            for _, item in items:
                _check_names(item, path)
        case Operation("?:", (_, *branches)):
            for branch in branches:
                _check_names(branch, path)
        case Call(target, _, arguments):
            for one in (*arguments, *([target] if target is not None else ())):
                _check_names(one, path)


def _conversion(schema: Schema) -> Callable[[Node], Node] | None:
    if schema.get("type") != "string" or schema.get("x-kubernetes-int-or-string"):
        return None
    return _CONVERSIONS.get(schema.get("format", ""))


def field_of(schema: Schema | None, field: str) -> Schema | None:
    if schema is None:
        return None
    found = schema.get("properties", {}).get(field.strip("`"))
    if found is None:
        found = next(
            (one for name, one in schema.get("properties", {}).items() if escaped(name) == field), None
        )
    return found if isinstance(found, dict) else values_of(schema)


def item_of(schema: Schema | None, index: Node) -> Schema | None:
    if schema is not None and "properties" in schema and isinstance(index, Literal):
        return field_of(schema, index.text.strip("'\""))
    return values_of(schema)


def values_of(schema: Schema | None) -> Schema | None:
    """What the items of a list, and the values of a map, are."""
    if schema is None:
        return None
    found = schema.get("items", schema.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def element_of(schema: Schema | None) -> Schema | None:
    """What a comprehension goes over: the items of a list, and the keys of a map."""
    found = (schema or {}).get("items")
    return found if isinstance(found, dict) else None


def _bound(scope: _Scope, variable: Node, schema: Schema | None) -> _Scope:
    if not isinstance(variable, Name):
        return scope
    inner = {name: one for name, one in scope.items() if name != variable.name}
    return inner if schema is None else {**inner, variable.name: schema}


RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"}
    | {"import", "let", "loop", "package", "namespace", "return", "var", "void", "while"}
)


def escaped(name: str) -> str:
    """A field's name as an identifier."""
    if name in RESERVED:
        return f"__{name}__"
    for text, escape in (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")):
        name = name.replace(text, escape)
    return name
