"""Times and durations as Go writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import total_ordering
from typing import Self

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_TERM = re.compile(r"(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)(?P<unit>ns|us|µs|μs|ms|s|m|h)")


def now() -> datetime:
    """Return the current time in UTC to the second, the precision of Kubernetes' `Time`."""
    return datetime.now(UTC).replace(microsecond=0)


class MicroTime(datetime):
    """A timezone-aware time, always written with six fractional digits: Go rejects any other number."""

    __slots__ = ()

    def __new__(cls, *arguments: object, **keywords: object) -> Self:
        """Make one as `datetime` does, or from the API's text."""
        if len(arguments) == 1 and isinstance(arguments[0], str):
            return cls.fromisoformat(arguments[0])
        return super().__new__(cls, *arguments, **keywords)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return self.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@total_ordering
class Duration:
    """A length of time in whole nanoseconds, read and written as Go's `time.Duration`: `1h2m3.5s`."""

    __slots__ = ("nanoseconds",)

    def __init__(self, nanoseconds: int = 0) -> None:
        self.nanoseconds = nanoseconds

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read `1h30m`, `-1.5s`, `300ms` or `0`.

        Raises:
            ValueError: the text is no such duration.
        """
        sign = -1 if text.startswith("-") else 1
        rest = text[1:] if text[:1] in {"+", "-"} else text
        if rest == "0":
            return cls()
        total, position = 0, 0
        while match := _TERM.match(rest, position):
            total += _nanoseconds(match["number"], _UNITS[match["unit"]])
            position = match.end()
        if not position or position != len(rest):
            raise ValueError(f"{text!r} is no duration such as '1h30m' or '1.5s'")
        return cls(sign * total)

    @classmethod
    def of(cls, delta: timedelta) -> Duration:
        """Return a `timedelta` as a duration, exactly."""
        return cls((delta // timedelta(microseconds=1)) * 1_000)

    def timedelta(self) -> timedelta:
        """Return it as a `timedelta`, rounded down to microseconds."""
        return timedelta(microseconds=self.nanoseconds // 1_000)

    def total_seconds(self) -> float:
        """Return it in seconds."""
        return self.nanoseconds / 1e9

    def __add__(self, other: Duration) -> Duration:
        return Duration(self.nanoseconds + other.nanoseconds)

    def __sub__(self, other: Duration) -> Duration:
        return Duration(self.nanoseconds - other.nanoseconds)

    def __neg__(self) -> Duration:
        return Duration(-self.nanoseconds)

    def __mul__(self, factor: int) -> Duration:
        return Duration(self.nanoseconds * factor)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanoseconds == other.nanoseconds

    def __lt__(self, other: Duration) -> bool:
        return self.nanoseconds < other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    def __bool__(self) -> bool:
        return self.nanoseconds != 0

    def __repr__(self) -> str:
        return f"Duration.parse({str(self)!r})"

    def __str__(self) -> str:
        magnitude = abs(self.nanoseconds)
        return ("-" if self.nanoseconds < 0 else "") + _text(magnitude)


def _nanoseconds(number: str, unit: int) -> int:
    """Return `number` units, cut off below a nanosecond as Go does."""
    whole, _, fraction = number.partition(".")
    total = int(whole or 0) * unit
    return total + int(fraction or 0) * unit // int(10 ** len(fraction))


def _text(nanoseconds: int) -> str:
    """Write as Go's `Duration.String`: below a second in one unit, else in hours, minutes and seconds."""
    if not nanoseconds:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < _UNITS[unit] * 1_000:
            return _decimal(nanoseconds, _UNITS[unit]) + unit
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = _decimal(rest, _UNITS["s"]) + "s"
    return (f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else "") + seconds


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
