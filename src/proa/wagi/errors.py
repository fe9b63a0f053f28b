"""What can go wrong with handlers.

- `WagiError`
    - `ConfigError`: `modules.toml` is wrong; `problems` has a line for each mistake.
    - `SourceError`: a module could not be fetched, or is not what its digest says.
    - `HandlerError`: a request was not answered as the protocol wants; `status` is what the client gets.
"""

from collections.abc import Sequence
from typing import ClassVar

from proa.app import ProaError

__all__ = ["ConfigError", "HandlerError", "SourceError", "WagiError"]


class WagiError(ProaError):
    """Base of everything that this package raises."""


class ConfigError(WagiError):
    """A configuration file is wrong.

    Attributes:
        problems: One line for each, with file and line.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n  ".join(self.problems))


class SourceError(WagiError):
    """A module cannot be had from where the configuration says."""

    exit_code: ClassVar[int] = 2


class HandlerError(WagiError):
    """A request that a handler did not answer properly. The message is for the log, never for the client.

    Attributes:
        status: The HTTP status that the client gets, with an empty body.
        reason: A word for metrics: `trap`, `deadline`, `memory`, `response`, `overload` or `failed`.
        detail: More for the log, such as the backtrace of a trap; may have many lines.
        is_late: Whether a part of the response was on its way already.
    """

    def __init__(self, status: int, reason: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.is_late = False
