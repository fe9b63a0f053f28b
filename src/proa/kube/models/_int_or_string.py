"""`IntOrString`: a number, or text such as a port's name or a percentage."""

from __future__ import annotations

import re
from typing import TypeAlias

IntOrString: TypeAlias = int | str
"""A plain `int` or `str`: `80`, `"http"`, `"25%"`. On the wire, `80` and `"80"` are not the same."""

_PERCENTAGE = re.compile(r"-?[0-9]+%")


def scaled(value: IntOrString, total: int, *, round_up: bool) -> int:
    """Return `value` as an absolute number, a percentage being taken of `total`.

    Follows `GetScaledValueFromIntOrPercent` of apimachinery: `scaled("25%", 10, round_up=True)` is 3.

    Raises:
        ValueError: `value` is neither a number nor a percentage.
    """
    if isinstance(value, int):
        return value
    if not _PERCENTAGE.fullmatch(value):
        raise ValueError(f"{value!r} is neither a number nor a percentage such as '25%'")
    product = int(value[:-1]) * total
    return -(-product // 100) if round_up else product // 100
