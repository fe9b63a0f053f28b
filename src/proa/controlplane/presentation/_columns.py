"""What a column of a table is, and those that many kinds have. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from proa.controlplane._json import Document, encode
from proa.controlplane.registry._resource import PrinterColumn

NONE = "<none>"
UNKNOWN = "<unknown>"


@dataclass(frozen=True)
class Column:
    """One column: its name, and how to find a cell of it. `wide` ones are printed with `-o wide` only."""

    name: str
    cell: Callable[[Document, datetime], Any]
    type: str = "string"
    wide: bool = False
    format: str = ""
    told: str = ""

    @property
    def description(self) -> str:
        """What the column shows, for clients that explain it."""
        return self.told or f"{self.name} of the object."


def _dig(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document.get(part) if type(document) is dict else None
    return document


def value(name: str, path: str, default: Any = "", *, kind: str = "string", wide: bool = False) -> Column:
    """A column that shows one field."""

    def cell(document: Document, _now: datetime) -> Any:
        found = _dig(document, path)
        return default if found in (None, "") else found

    return Column(name, cell, kind, wide)


def computed(
    name: str, show: Callable[[Document], Any], *, kind: str = "string", wide: bool = False
) -> Column:
    """A column that shows what a function makes of the object."""
    return Column(name, lambda document, _now: show(document), kind, wide)


def age_of(path: str, name: str) -> Column:
    """A column that shows how long ago the time in a field was."""

    def cell(document: Document, now: datetime) -> str:
        text = _dig(document, path)
        return age(text, now) if text else UNKNOWN

    return Column(name, cell)


def custom(column: PrinterColumn) -> Column:
    """A column that a custom resource's definition describes."""

    def cell(document: Document, now: datetime) -> Any:
        found = column.find(document)
        if not found:
            return None
        first = found[0]
        match column.type:
            case "date":
                return age(first, now) if type(first) is str else UNKNOWN
            case "integer" | "number":
                return first if type(first) in {int, float} else None
            case "boolean":
                return first if type(first) is bool else None
        return ",".join(one if type(one) is str else encode(one).decode() for one in found)

    wide = column.priority > 0
    return Column(column.name, cell, column.type, wide, column.format, column.description)


def age(text: str, now: datetime) -> str:
    """How long ago a time was, as short as kubectl says it."""
    seconds = int((now - parse_time(text)).total_seconds())
    return duration(max(seconds, 0))


def parse_time(text: str) -> datetime:
    """A time of an object."""
    return datetime.fromisoformat(text).astimezone(UTC)


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def duration(seconds: int) -> str:
    """A number of seconds in at most two units, as kubectl writes it: `45s`, `2m30s`, `12m`, `3h`, `9d`,
    `2y30d`.
    """
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 3 * _HOUR:
        minutes, rest = divmod(seconds, _MINUTE)
        return f"{minutes}m{rest}s" if minutes < 10 and rest else f"{minutes}m"
    if seconds < 2 * _DAY:
        hours, rest = divmod(seconds, _HOUR)
        minutes = rest // _MINUTE
        return f"{hours}h{minutes}m" if hours < 8 and minutes else f"{hours}h"
    if seconds < 2 * _YEAR:
        days, rest = divmod(seconds, _DAY)
        hours = rest // _HOUR
        return f"{days}d{hours}h" if days < 8 and hours else f"{days}d"
    years, rest = divmod(seconds, _YEAR)
    days = rest // _DAY
    return f"{years}y{days}d" if years < 8 and days else f"{years}y"


def joined(items: Any) -> str:
    """A list's items, separated by commas, or `<none>`."""
    return ",".join(str(item) for item in items) or NONE


def few(items: Sequence[str], most: int, separator: str = ",") -> str:
    """The first items of a list, and how many more there are."""
    shown = separator.join(items[:most])
    return f"{shown} + {len(items) - most} more..." if len(items) > most else shown


def pairs(name: str, path: str, *, wide: bool = True) -> Column:
    """A column that shows labels, or what looks like them."""

    def cell(document: Document, _now: datetime) -> str:
        return joined(f"{key}={item}" for key, item in sorted((_dig(document, path) or {}).items()))

    return Column(name, cell, wide=wide)


NAME = value("Name", "metadata.name")
AGE = age_of("metadata.creationTimestamp", "Age")
CREATED = value("Created At", "metadata.creationTimestamp", kind="date")
