"""CEL's functions for quantities and semantic versions, as Kubernetes adds them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from proa.controlplane._quantities import is_quantity, quantity

from ._declare import Tagged, function, holds

if TYPE_CHECKING:
    from cel_expr_python.cel import FunctionDecl

_QUANTITY, _SEMVER = "quantity", "semver"
_NUMBER = r"(0|[1-9]\d*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)


def number_functions() -> list[FunctionDecl]:
    """Quantities and versions; they share the names of comparisons."""
    return [
        function("isQuantity", free=[("s", "b", is_quantity)]),
        function("quantity", free=[("s", "m", _quantity)]),
        function(
            "isSemver",
            free=[
                ("s", "b", lambda text: holds(_semver, text)),
                ("sb", "b", lambda text, loose: holds(lambda one: _semver(one, loose=loose), text)),
            ],
        ),
        function(
            "semver",
            free=[("s", "m", _semver), ("sb", "m", lambda text, loose: _semver(text, loose=loose))],
        ),
        function("major", [("m", "i", lambda version: version[_SEMVER][0])]),
        function("minor", [("m", "i", lambda version: version[_SEMVER][1])]),
        function("patch", [("m", "i", lambda version: version[_SEMVER][2])]),
        function("isGreaterThan", [("mm", "b", lambda a, b: _order(a) > _order(b))]),
        function("isLessThan", [("mm", "b", lambda a, b: _order(a) < _order(b))]),
        function("compareTo", [("mm", "i", lambda a, b: (_order(a) > _order(b)) - (_order(a) < _order(b)))]),
        function("add", [("mm", "m", lambda a, b: _made(_number(a) + _number(b))), ("mi", "m", _plus)]),
        function(
            "sub",
            [
                ("mm", "m", lambda a, b: _made(_number(a) - _number(b))),
                ("mi", "m", lambda a, b: _plus(a, -b)),
            ],
        ),
        function("sign", [("m", "i", lambda a: (_number(a) > 0) - (_number(a) < 0))]),
        function("isInteger", [("m", "b", lambda a: _number(a) % 1 == 0)]),
        function("asInteger", [("m", "i", lambda a: int(_number(a)))]),
        function("asApproximateFloat", [("m", "d", lambda a: float(_number(a)))]),
    ]


def _number(value: Tagged) -> Decimal:
    return Decimal(value[_QUANTITY])


def _made(number: Decimal) -> Tagged:
    return {_QUANTITY: str(number.normalize())}


def _plus(value: Tagged, number: int) -> Tagged:
    return _made(_number(value) + number)


def _quantity(text: str) -> Tagged:
    if not is_quantity(text):
        raise ValueError(f"{text!r} is no quantity")
    return _made(Decimal(str(quantity(text))))


def _semver(text: str, *, loose: bool = False) -> Tagged:
    """A version; a loose one may begin with `v`, have zeros in front, and lack its last numbers."""
    if loose:
        text = _completed(text.removeprefix("v"))
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no semantic version")
    return {_SEMVER: [*(int(number) for number in match.group(1, 2, 3)), match[4] or ""]}


def _completed(text: str) -> str:
    numbers, mark, rest = next((text.partition(mark) for mark in re.findall(r"[-+]", text)), (text, "", ""))
    parts = [part.lstrip("0") or "0" if part else "" for part in numbers.split(".")]
    return ".".join([*parts, *["0"] * (3 - len(parts))]) + mark + rest


def _order(value: Tagged) -> Any:
    """What quantities, and versions, are compared by (semver.org, clause 11)."""
    if _QUANTITY in value:
        return _number(value)
    *numbers, before = value[_SEMVER]
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in before.split(".")]
    return (*numbers, not before, parts)
