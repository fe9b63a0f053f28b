"""Which programs are quick enough to be run at the front, learned from how long they took."""

from collections import Counter
from collections.abc import Callable
from typing import Final

__all__ = ["Pace"]

_QUICK_RUNS: Final = 50


class Pace:
    """The programs that are slow: one that was so once, until it has been quick many times since.

    Attributes:
        on_change: Called whenever `slow` has become other programs.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._to_prove: dict[str, int] = {}
        self._held: Counter[str] = Counter()

    @property
    def slow(self) -> list[str]:
        """The slow programs."""
        return [*self._to_prove]

    def mark(self, program: str) -> None:
        """A program was slow."""
        is_new = program not in self._to_prove
        self._to_prove[program] = _QUICK_RUNS
        if is_new:
            self.on_change()

    def ran(self, program: str, *, is_slow: bool = False) -> None:
        """A program was run elsewhere than at the front."""
        left = self._to_prove.get(program)
        if left is None:
            return
        if is_slow:
            self._to_prove[program] = _QUICK_RUNS
        elif left > 1 or self._held[program]:
            self._to_prove[program] = max(1, left - 1)
        else:
            del self._to_prove[program]
            self.on_change()

    def hold(self, program: str) -> None:
        """Take it for slow at least until `let_go`: a run of it that began at the front goes on."""
        self._held[program] += 1
        self.mark(program)

    def let_go(self, program: str) -> None:
        """Undo `hold`."""
        self._held[program] -= 1
        if not self._held[program]:
            del self._held[program]
