"""Numbers that may be percentages. Pure."""

from __future__ import annotations

import re
from typing import Any

from proa.controlplane._errors import Cause, invalid_value

_PERCENT = re.compile(r"[0-9]+%")


def amount(value: Any, path: str) -> list[Cause]:
    """A number that is not negative, or a percentage; none at all is fine."""
    if type(value) is int:
        why = "must be greater than or equal to 0"
        return [invalid_value(path, value, why)] if value < 0 else []
    if value is None or _PERCENT.fullmatch(value):
        return []
    return [invalid_value(path, value, "must be an integer or a percentage (for example '5%')")]


def most_all(value: Any, path: str) -> list[Cause]:
    """At most all: a percentage up to 100."""
    if type(value) is str and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        return [invalid_value(path, value, "must not be greater than 100%")]
    return []


def is_zero(value: Any) -> bool:
    """Whether it comes to nothing."""
    if type(value) is str:
        return not _PERCENT.fullmatch(value) or int(value[:-1]) == 0
    return not value
