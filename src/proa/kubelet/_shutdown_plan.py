"""In which turns pods are ended when the machine goes down. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from proa.kubelet._standing import CRITICAL

_LEAST: Final = -(2**31)
_MOST: Final = 2**31 - 1


class Turn(NamedTuple):
    """Pods from a priority on, up to that of the next turn, and how many seconds they have."""

    priority: int
    seconds: float


def of_two(whole: timedelta, critical: timedelta) -> list[Turn]:
    """First the ordinary pods, then the critical ones in the last part of the whole time."""
    if not whole:
        return []
    last = critical.total_seconds()
    return [Turn(_LEAST, whole.total_seconds() - last), Turn(CRITICAL, last)]


def by_priority(periods: Mapping[str, timedelta]) -> list[Turn]:
    """Turns by priority, the lowest first. Pods below all of them go with the first."""
    turns = sorted(Turn(int(priority), period.total_seconds()) for priority, period in periods.items())
    return [Turn(_LEAST, turns[0].seconds), *turns[1:]]


def turn_of(priority: int, turns: list[Turn]) -> Turn:
    """The turn of a pod of this priority."""
    return next(turn for turn in reversed(turns) if turn.priority <= priority)


def is_priority(text: str) -> bool:
    """Whether a text is a priority."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and _LEAST <= int(text) <= _MOST
