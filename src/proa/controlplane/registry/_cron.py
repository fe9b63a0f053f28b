"""Whether a CronJob's schedule is one: five fields, a name such as `@daily`, or `@every 1h30m`.

What is due when is for the controllers to know. https://en.wikipedia.org/wiki/Cron
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from proa.kube.models import Duration

_NAMES = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_DAYS = "sun mon tue wed thu fri sat"
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS.split(), 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS.split())}),
)
_RANGE = re.compile(r"(?P<first>\*|\?|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?", re.ASCII)


def problem_of(schedule: str) -> str | None:
    """What is wrong with a schedule, in words; None if nothing."""
    if "TZ" in schedule:
        return "a time zone belongs into timeZone, not into the schedule"
    if schedule.startswith("@every "):
        return _problem_of_period(schedule.removeprefix("@every "))
    if schedule.startswith("@"):
        return (
            None if schedule in _NAMES else f"there is no {schedule}; there are {', '.join(sorted(_NAMES))}"
        )
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"expected exactly 5 fields, found {len(fields)}"
    for text, (low, high, names) in zip(fields, _FIELDS, strict=True):
        if not all(_is_range(one, low, high, names) for one in text.split(",")):
            return f"{text} is not a list of values, ranges and steps from {low} to {high}"
    return None


def _problem_of_period(text: str) -> str | None:
    try:
        Duration.parse(text.strip())
    except ValueError as error:
        return str(error)
    return None


def _is_range(text: str, low: int, high: int, names: dict[str, int]) -> bool:
    match = _RANGE.fullmatch(text)
    if match is None or match["step"] in {"0", "00"}:
        return False
    if match["first"] in {"*", "?"}:
        return match["last"] is None
    first = _number(match["first"], names)
    last = first if match["last"] is None else _number(match["last"], names)
    return low <= first <= last <= high


def _number(text: str, names: dict[str, int]) -> int:
    return int(text) if text.isdigit() else names.get(text.lower(), -1)


@cache
def zones() -> frozenset[str]:
    """The names of all time zones; reads a file the first time."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split())
