"""What goes wrong between a client and a server, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How probable each fault is, from 0 to 1, each time it could happen."""

    refused: float = 0.03
    """A request does not reach the server: nothing is done."""
    lost: float = 0.03
    """A request is carried out, and its answer is lost."""
    failing: float = 0.03
    """The server answers 500, 503 or 429, and does nothing."""
    conflict: float = 0.03
    """Someone else changes an object right before a write to it arrives."""
    slow: float = 0.1
    """An answer takes seconds instead of milliseconds."""
    cut: float = 0.02
    """A watch breaks off instead of telling of the next change."""
    late: float = 0.1
    """A watch tells of the next change seconds later."""
    twice: float = 0.05
    """A watch tells of a change that it has told of before, as it may after it was resumed."""
    expired: float = 0.05
    """The server has forgotten where a watch wants to resume."""


CALM = Rates(refused=0, lost=0, failing=0, conflict=0, slow=0, cut=0, late=0, twice=0, expired=0)
"""Nothing goes wrong."""


class Faults:
    """Draws faults: the same ones for the same seed and the same questions.

    `rates` can be replaced at any time; `CALM` ends all trouble.
    """

    def __init__(self, seed: int = 0, rates: Rates = CALM) -> None:
        self.rates = rates
        self.random = random.Random(seed)  # noqa: S311 - repeatable is the point

    def happens(self, rate: float) -> bool:
        """Whether something of that rate happens now."""
        return rate > 0 and self.random.random() < rate

    def seconds(self) -> float:
        """How long something slow takes."""
        return self.random.uniform(0.5, 20.0)
