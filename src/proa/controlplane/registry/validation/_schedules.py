"""The schedules that Kubernetes takes: five fields, names such as `@daily`, or `@every 1h30m`. Pure."""

from __future__ import annotations

import re

_NAMES = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_DURATION = re.compile(r"[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_ZONE = re.compile(r"(CRON_)?TZ=\S* +")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)


def is_schedule(text: str) -> bool:
    """Whether Kubernetes would take it."""
    text = _ZONE.sub("", text, count=1) if _ZONE.match(text) else text
    if text.startswith("@every "):
        return _DURATION.fullmatch(text.removeprefix("@every ")) is not None
    if text.startswith("@"):
        return text in _NAMES
    fields = text.split()
    return len(fields) == 5 and all(
        _is_field(field, least, most, names)
        for field, (least, most, names) in zip(fields, _FIELDS, strict=True)
    )


def _is_field(field: str, least: int, most: int, names: dict[str, int]) -> bool:
    return all(_is_range(part, least, most, names) for part in field.split(","))


def _is_range(part: str, least: int, most: int, names: dict[str, int]) -> bool:
    span, slash, step = part.partition("/")
    if slash and not (step.isdecimal() and int(step) > 0):
        return False
    if span in {"*", "?"}:
        return True
    ends = [names.get(end.lower(), end) for end in span.split("-")]
    numbers = [int(end) for end in ends if str(end).isdecimal()]
    if len(numbers) != len(ends) or len(ends) > 2:
        return False
    return least <= numbers[0] <= numbers[-1] <= most
