"""What an expression may cost at most, by what its variables' schemas allow. Pure.

The units are those of cel-go's estimator, as are its factors: one for each step, a tenth for each character
that is looked at. Kubernetes refuses rules that may cost too much when they are written.
https://kubernetes.io/docs/reference/using-api/cel/#resource-use-by-expressions
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
)
from ._syntax import parse as _parse
from ._translation import Schema, Typed, element_of, field_of, item_of, values_of

MAX_REQUEST = 3 * 1024 * 1024
MOST = 2**64
_LOOK = 0.1
_PATTERN = 0.25
_LOOPS = {"all": 3.0, "exists": 4.0, "exists_one": 4.0, "existsOne": 4.0, "filter": 13.0, "map": 12.0}
_LOOPS |= {"transformList": 12.0, "transformMap": 32.0, "transformMapEntry": 32.0, "sortBy": 12.0}
_OVER_LISTS = frozenset(
    {"isSorted", "sum", "min", "max", "indexOf", "lastIndexOf", "distinct", "sort", "flatten"}
)
_OVER_TEXTS = frozenset(
    {"lowerAscii", "upperAscii", "substring", "trim", "replace", "split", "join", "url", "ip", "cidr", "isIP"}
    | {"isCIDR", "isURL", "quantity", "isQuantity", "semver", "isSemver", "timestamp", "duration", "format"}
    | {"charAt", "quote", "decode", "encode"}
)
_MOST_FORMAT = 250


@dataclass(frozen=True, slots=True)
class _Estimate:
    """What it costs to get a value, how long that may be, and its schema where that is known."""

    cost: float
    size: float = 1
    schema: Schema | None = None


_Scope = Mapping[str, _Estimate]


def estimate(source: str, typed: Typed) -> float:
    """The most that an expression may cost; nothing for what cannot be parsed: the compiler says so."""
    try:
        tree = _parse(source)
    except MalformedError:
        return 0
    scope = {name: _Estimate(1, size_of(schema), schema) for name, schema in typed.schemas.items()}
    return min(_of(tree, scope).cost, MOST)


def size_of(schema: Schema | None) -> float:
    """How many characters, items or entries a value may have."""
    if schema is None:
        return MAX_REQUEST
    match schema.get("type"):
        case "string":
            if "maxLength" in schema:
                return 4.0 * int(schema["maxLength"])
            listed = schema.get("enum")
            fixed = {"date": 12, "date-time": 32, "duration": 32}.get(schema.get("format", ""))
            return max(len(str(one)) for one in listed) if listed else fixed or MAX_REQUEST - 2
        case "array":
            items = schema.get("items")
            most = (MAX_REQUEST - 2) // (smallest(items if isinstance(items, dict) else None) + 1)
            return float(schema.get("maxItems", most))
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            most = (MAX_REQUEST - 2) // (smallest(schema["additionalProperties"]) + 6)
            return float(schema.get("maxProperties", most))
        case "object" | "integer" | "number" | "boolean":
            return float(len(schema.get("properties", {})) or 1)
    return MAX_REQUEST


def smallest(schema: Schema | None) -> int:
    """How many bytes a value takes at least."""
    if schema is None:
        return 1
    match schema.get("type"):
        case "string" | "array":
            return 2
        case "boolean":
            return 4
        case "object":
            properties: Mapping[str, Any] = schema.get("properties", {})
            needed = [name for name in schema.get("required", ()) if isinstance(properties.get(name), dict)]
            return 2 + sum(len(name) + 4 + smallest(properties[name]) for name in needed)
    return 1


def _of(node: Node, scope: _Scope) -> _Estimate:
    match node:
        case Literal(text):
            return _Estimate(0, len(text))
        case Name(name):
            return scope.get(name, _Estimate(1, MAX_REQUEST))
        case Select(operand, field, _):
            return _part(_of(operand, scope), lambda schema: field_of(schema, field))
        case Index(operand, index, _):
            found = _part(_of(operand, scope), lambda schema: item_of(schema, index))
            return _Estimate(found.cost + _of(index, scope).cost, found.size, found.schema)
        case Items(items):
            parts = [_of(item, scope) for _, item in items]
            return _Estimate(10 + sum(one.cost for one in parts), len(parts), {"items": _only(parts)})
        case Entries(entries):
            parts = [_of(one, scope) for _, key, value in entries for one in (key, value)]
            return _Estimate(30 + sum(one.cost for one in parts), len(entries))
        case Object(_, fields):
            return _Estimate(40 + sum(_of(value, scope).cost for _, _, value in fields), len(fields))
        case Operation(operator, operands):
            return _operation(operator, [_of(one, scope) for one in operands])
        case Call():
            return _call(node, scope)
    raise AssertionError(node)


def _only(parts: list[_Estimate]) -> Schema | None:
    return parts[0].schema if len(parts) == 1 else None


def _part(whole: _Estimate, find: Any) -> _Estimate:
    schema = (whole.schema or {}).get("optional", whole.schema)
    found = find(schema)
    return _Estimate(whole.cost + 1, size_of(found), found)


def _operation(operator: str, operands: list[_Estimate]) -> _Estimate:
    cost = sum(one.cost for one in operands)
    match operator:
        case "&&" | "||":
            return _Estimate(cost)
        case "?:":
            condition, then, otherwise = operands
            longer = max((then, otherwise), key=lambda one: one.size)
            return _Estimate(condition.cost + max(then.cost, otherwise.cost), longer.size, longer.schema)
        case "+":
            size = sum(one.size for one in operands)
            texts = any(_is_text(one) for one in operands)
            return _Estimate(cost + (size * _LOOK if texts else 1), size)
        case "==" | "!=" | "<" | "<=" | ">" | ">=":
            looked = min(one.size for one in operands)
            return _Estimate(cost + max(1.0, looked * _LOOK))
        case "in":
            return _Estimate(cost + operands[1].size)
    return _Estimate(cost + 1)


def _is_text(one: _Estimate) -> bool:
    return one.schema is None or one.schema.get("type") == "string"


def _call(call: Call, scope: _Scope) -> _Estimate:
    target, function, arguments = call.target, call.function, call.arguments
    if isinstance(target, Name) and (target.name, function) == ("cel", "bind") and len(arguments) == 3:
        value = _of(arguments[1], scope)
        body = _of(arguments[2], _bound(scope, arguments[0], _Estimate(1, value.size, value.schema)))
        return _Estimate(value.cost + body.cost, body.size, body.schema)
    if target is not None and function in _LOOPS and arguments and isinstance(arguments[0], Name):
        return _loop(_of(target, scope), call, scope)
    if target is not None and function == "optMap" and len(arguments) == 2:
        on = _of(target, scope)
        body = _of(arguments[1], _bound(scope, arguments[0], _Estimate(1, on.size, on.schema)))
        return _Estimate(on.cost + body.cost, body.size, body.schema)
    given = [_of(one, scope) for one in arguments]
    known = [_of(target, scope), *given] if target is not None else given
    cost = sum(one.cost for one in known)
    on = known[0] if known else _Estimate(0)
    return _function(function, cost, on, given)


def _function(function: str, cost: float, on: _Estimate, given: list[_Estimate]) -> _Estimate:
    first = given[0].size if given else 1.0
    match function:
        case "has" | "size" | "type" | "dyn":
            return _Estimate(cost + (function != "has"), on.size, on.schema)
        case "matches" | "find" | "findAll":
            return _Estimate(cost + (1 + on.size) * _LOOK * max(1.0, first * _PATTERN), on.size)
        case "validate":
            return _Estimate(cost + (1 + first) * _LOOK * _MOST_FORMAT * _PATTERN)
        case "contains":
            return _Estimate(cost + on.size * _LOOK * max(1.0, first * _LOOK))
        case "startsWith" | "endsWith":
            return _Estimate(cost + max(1.0, first * _LOOK))
        case "check":
            return _Estimate(cost + 350_000)
        case "orValue" | "value" | "first" | "last":
            inner = (on.schema or {}).get("optional", on.schema)
            return _Estimate(cost + 1, on.size, inner)
        case _ if function.startswith("sets.") or function in {"intersects", "equivalent"}:
            return _Estimate(cost + on.size * first)
        case _ if function in _OVER_LISTS:
            each = 1 + (size_of(values_of(on.schema)) * _LOOK if _has_texts(on) else 0)
            return _Estimate(cost + on.size * each, on.size, on.schema)
        case _ if function in _OVER_TEXTS:
            return _Estimate(cost + max(1.0, on.size * _LOOK), on.size)
    return _Estimate(cost + 1)


def _has_texts(one: _Estimate) -> bool:
    inner = values_of(one.schema)
    return inner is not None and inner.get("type") == "string"


def _loop(on: _Estimate, call: Call, scope: _Scope) -> _Estimate:
    names = [one for one in call.arguments if isinstance(one, Name)]
    two = (
        len(call.arguments) > 2
        and len(names) > 1
        and call.function != "map"
        and call.arguments[1] is names[1]
    )
    item = values_of(on.schema)
    own = item if two else element_of(on.schema)
    variable = _Estimate(1, size_of(own) if on.schema is not None else MAX_REQUEST, own)
    inner = _bound(scope, call.arguments[1 if two else 0], variable)
    if two:
        inner = _bound(inner, call.arguments[0], _Estimate(1, 32))
    bodies = [_of(one, inner) for one in call.arguments[2 if two else 1 :]]
    cost = on.cost + on.size * (_LOOPS[call.function] + sum(one.cost for one in bodies))
    schema = on.schema if call.function == "filter" else {"items": bodies[-1].schema} if bodies else None
    return _Estimate(min(cost, MOST), on.size, schema)


def _bound(scope: _Scope, variable: Node, value: _Estimate) -> _Scope:
    return {**scope, variable.name: value} if isinstance(variable, Name) else scope
