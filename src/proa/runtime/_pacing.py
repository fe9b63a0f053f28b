"""When a watcher may ask again: fast when all is well, ever slower while nothing is."""

from __future__ import annotations

import random

from proa.app import Backoff

FLOOR = 1.0
"""Seconds from the start of one watch to the start of the next, however short the server makes them."""


class Pacing:
    """The pause before each new request, given when the last one began and what came of it.

    Only a watch that delivered something or stood for `FLOOR` seconds counts as progress and ends a back-off.
    A list that succeeds does not: else a server that refuses every watch would be listed at full speed.
    """

    def __init__(self, backoff: Backoff) -> None:
        # Drawn from the common generator, so that a simulation can repeat it.
        self._timer = backoff.start(random.getrandbits(32))
        self._began = 0.0
        self._delivered = False

    @property
    def failures(self) -> int:
        """How many requests in a row came to nothing."""
        return self._timer.attempts

    def began(self, now: float) -> None:
        """Note that a watch was started."""
        self._began, self._delivered = now, False

    def delivered(self) -> None:
        """Note that the watch brought an event or a bookmark."""
        if not self._delivered:
            self._delivered = True
            self._timer.reset()

    def ended(self, now: float) -> float:
        """Return the seconds to wait after the watch ended cleanly."""
        stood = now - self._began
        if stood >= FLOOR:
            self._timer.reset()
            return 0.0
        return FLOOR - stood if self._delivered else max(FLOOR - stood, self._timer.next())

    def failed(self) -> float:
        """Return the seconds to wait after a failure."""
        return self._timer.next()
