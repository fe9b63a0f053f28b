"""Lists of a job's indexes, such as `1,3-5`. Pure."""

from __future__ import annotations

from itertools import pairwise

Ranges = list[range]


def ranges_of(text: str, completions: int) -> Ranges | None:
    """The intervals of a list; None if it is malformed: they increase, and end below the completions."""
    found: Ranges = []
    last = -1
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2 or not all(end.isascii() and end.isdecimal() and len(end) < 12 for end in ends):
            return None
        first, final = int(ends[0]), int(ends[-1])
        if first <= last or (len(ends) == 2 and final <= first) or final >= completions:
            return None
        found.append(range(first, final + 1))
        last = final
    return found


def overlap(first: Ranges, second: Ranges) -> bool:
    """Whether some index is in both of two lists."""
    both = sorted([*first, *second], key=lambda one: one.start)
    return any(later.start < earlier.stop for earlier, later in pairwise(both))
