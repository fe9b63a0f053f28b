"""What loggers and the pipeline behind them share: where events go, and the steps they belong to."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

Emit = Callable[[int, str, str, dict[str, Any]], None]


@dataclass(frozen=True)
class Sink:
    """Where events go: `emit(level, logger, event, fields)` for those at or above `level`."""

    level: int
    emit: Emit
    flush: Callable[[float], bool] = lambda timeout: True
    close: Callable[[], None] = lambda: None


class Step:
    """A step under way. Tasks that it started keep a reference, and must not seem inside once it is over."""

    __slots__ = ("name", "over")

    def __init__(self, name: str) -> None:
        self.name = name
        self.over = False


steps: ContextVar[tuple[Step, ...]] = ContextVar("proa_steps", default=())
"""The steps that the current task is in, or began in; some may be over."""


def current_steps() -> tuple[str, ...]:
    """Return the names of the steps that the current task is in, outermost first."""
    return tuple(step.name for step in steps.get() if not step.over)
