"""`Quantity`: the fixed-point numbers of resources: `100m` processors, `1.5Gi` of memory."""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal, Inexact, localcontext
from typing import Self, SupportsIndex, TypeAlias

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_PATTERN = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
    r"(?:(?P<binary>[KMGTPE]i)|(?P<decimal>[numkMGTPE])|[eE](?P<exponent>[+-]?[0-9]+))?"
)
_LONGEST = 64
_LARGEST_EXPONENT = 100
# More digits than any sum or product of what the two limits let in.
_EXACT = Context(prec=1000, traps=[Inexact])

Number: TypeAlias = "str | int | Decimal"
"""What arithmetic with a quantity takes besides quantities: text is read as a quantity."""


class Quantity(str):
    """A number with a suffix: the text that it came as, and its exact value.

    Follows `k8s.io/apimachinery/pkg/api/resource`: suffixes `n u m k M G T P E`, `Ki Mi Gi Ti Pi Ei` and
    exponents
    (`1e3`). Arithmetic is exact. Results are in canonical form and keep the format (binary, decimal or
    exponent) of the left operand, unless that is zero. Comparison is by value, with text and numbers too:
    `Quantity("1") == "1000m"`. `sum(quantities)` works without a start value.

    Raises:
        ValueError: text that is no quantity, on construction or as an operand.
    """

    __slots__ = ("_style", "value")

    value: Decimal
    """The exact number."""
    _style: str

    def __new__(cls, text: str | int | Decimal) -> Self:
        """Read a quantity."""
        self = super().__new__(cls, text)
        self.value, self._style = _parse(str.__str__(self))
        return self

    def canonical(self) -> Quantity:
        """Return the form that an API server stores: no fraction, the largest suffix that allows it."""
        return _format(self.value, self._style)

    def __add__(self, other: Number) -> Quantity:
        return self._plus(_quantity(other))

    def __radd__(self, other: Number) -> Quantity:
        return _quantity(other)._plus(self)

    def __sub__(self, other: Number) -> Quantity:
        return self._plus(-_quantity(other))

    def __rsub__(self, other: Number) -> Quantity:
        return _quantity(other)._plus(-self)

    def __mul__(self, factor: SupportsIndex | Decimal) -> Quantity:
        number = factor if isinstance(factor, Decimal) else Decimal(factor.__index__())
        return _format(_EXACT.multiply(self.value, number), self._style)

    __rmul__ = __mul__

    def __neg__(self) -> Quantity:
        return _format(_EXACT.minus(self.value), self._style)

    def __abs__(self) -> Quantity:
        return _format(_EXACT.abs(self.value), self._style)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str | int | Decimal):
            return NotImplemented
        return self.value == _number(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Number) -> bool:
        return self.value < _number(other)

    def __le__(self, other: Number) -> bool:
        return self.value <= _number(other)

    def __gt__(self, other: Number) -> bool:
        return self.value > _number(other)

    def __ge__(self, other: Number) -> bool:
        return self.value >= _number(other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __int__(self) -> int:
        """Round up to a whole number, away from zero, as Kubernetes' `Value()` does."""
        return int(self.value.to_integral_value(ROUND_UP))

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"Quantity({str.__repr__(self)})"

    def __reduce__(self) -> tuple[type[Quantity], tuple[str]]:
        return Quantity, (str.__str__(self),)

    def _plus(self, other: Quantity) -> Quantity:
        return _format(_EXACT.add(self.value, other.value), self._style if self.value else other._style)


def _quantity(operand: Number) -> Quantity:
    return operand if isinstance(operand, Quantity) else Quantity(operand)


def _number(operand: Number) -> Decimal:
    return _quantity(operand).value if isinstance(operand, str) else Decimal(operand)


def _parse(text: str) -> tuple[Decimal, str]:
    """Return the value and the style: `binary`, `decimal` or `exponent`."""
    match = _PATTERN.fullmatch(text) if len(text) <= _LONGEST else None
    if not match:
        raise ValueError(f"{text!r} is no quantity such as '100m', '1.5Gi' or '1e3'")
    with localcontext(_EXACT):
        number = Decimal(match["number"])
        if match["binary"]:
            return number * 1024 ** _BINARY.index(match["binary"]), "binary"
        if match["exponent"]:
            exponent = int(match["exponent"])
            if abs(exponent) > _LARGEST_EXPONENT:
                raise ValueError(f"{text!r} has an exponent beyond {_LARGEST_EXPONENT}")
            return number.scaleb(exponent), "exponent"
        return number.scaleb(_DECIMAL[match["decimal"] or ""]), "decimal"


def _format(value: Decimal, style: str) -> Quantity:
    """Write the canonical form; what is finer than a nano unit is rounded up, away from zero."""
    scaled = int(_EXACT.scaleb(value.copy_abs(), 9).to_integral_value(ROUND_UP))
    sign = "-" if value < 0 else ""
    if not scaled:
        return Quantity("0")
    if style == "binary" and scaled % 10**9 == 0 and scaled >= 1024 * 10**9:
        return Quantity(sign + _binary(scaled // 10**9))
    return Quantity(sign + _scientific(scaled, exponent=style == "exponent"))


def _binary(number: int) -> str:
    power = 0
    while number % 1024 == 0 and power < len(_BINARY) - 1:
        number //= 1024
        power += 1
    return f"{number}{_BINARY[power]}"


def _scientific(nanos: int, *, exponent: bool) -> str:
    power = -9
    while nanos % 1000 == 0 and (exponent or power < max(_SUFFIX)):
        nanos //= 1000
        power += 3
    if exponent:
        return f"{nanos}e{power}" if power else str(nanos)
    return f"{nanos}{_SUFFIX[power]}"
