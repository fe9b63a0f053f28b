"""What is due by the calendar, where all timers count the time that the machine is awake."""

from __future__ import annotations

LOOK = 60.0
"""Seconds between looks at the clock: it may be set, and a laptop sleeps while it goes on."""


def look_in(seconds: float | None) -> float | None:
    """Return in how many seconds to look again for what is due in `seconds` by the clock; None is never."""
    return None if seconds is None else min(seconds, LOOK)
