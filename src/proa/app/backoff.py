"""How long to wait before trying again."""

import random as _random
from dataclasses import dataclass

__all__ = ["Backoff", "BackoffTimer"]

# Beyond this many attempts every sensible factor has long reached its maximum; it keeps powers finite.
_MOST_DOUBLINGS = 1000


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """An exponential back-off: a value that can be shared, compared and written into settings.

    Attributes:
        initial: Seconds before the first retry.
        maximum: Seconds never exceeded.
        factor: What each delay is multiplied by to get the next one; at least 1.
        jitter: The share of a delay that is left to chance, from 0 (exactly the delay) to 1 (anything between
            nothing and the delay). It is taken off, not added, so that clients that have all reached the
            maximum still spread out and `maximum` holds.
    """

    initial: float = 0.8
    maximum: float = 30.0
    factor: float = 2.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.initial <= self.maximum:
            raise ValueError(f"initial must lie between 0 and maximum={self.maximum}, not {self.initial}")
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, not {self.factor}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must lie between 0 and 1, not {self.jitter}")

    def delay(self, attempt: int, random: _random.Random | None = None) -> float:
        """Return the seconds to wait after failed attempt number `attempt`, counted from 0.

        Args:
            attempt: How many attempts have failed before this one.
            random: Where jitter comes from; the process-wide generator by default.
        """
        delay = self._without_jitter(attempt)
        if self.jitter:
            delay *= 1 - self.jitter * (random or _random).random()
        return delay

    def _without_jitter(self, attempt: int) -> float:
        try:
            return min(self.maximum, self.initial * self.factor ** min(attempt, _MOST_DOUBLINGS))
        except OverflowError:
            return self.maximum

    def start(self, seed: int | None = None) -> "BackoffTimer":
        """Return a timer that counts attempts; a seed makes its jitter repeatable."""
        return BackoffTimer(self, seed)


class BackoffTimer:
    """Counts the attempts of one operation and says how long to wait after each."""

    def __init__(self, backoff: Backoff, seed: int | None = None) -> None:
        self.backoff = backoff
        self.attempts = 0
        # A generator of its own costs more than most that it is made for, and is thrown away unused.
        self._random = None if seed is None else _random.Random(seed)  # noqa: S311 - spreads load, guards nothing

    def next(self) -> float:
        """Note a failure and return the seconds to wait before the next attempt."""
        delay = self.backoff.delay(self.attempts, self._random)
        self.attempts += 1
        return delay

    def reset(self) -> None:
        """Note a success: the next failure starts over from the initial delay."""
        self.attempts = 0
