"""What goes wrong with machines.

::

    StateMachineError
    ├── MachineError              a machine that cannot be as it is written: names every problem
    └── UndeclaredEdgeError       a state returned one that its annotation does not name
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from proa.app import ProaError


class StateMachineError(ProaError):
    """The base of all errors of this package."""


class MachineError(StateMachineError):
    """A machine is not well defined. `problems` holds one sentence for each thing that is wrong."""

    exit_code: ClassVar[int] = 2

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        super().__init__(f"the machine {name} is not well defined: {'; '.join(problems)}")
        self.problems = tuple(problems)


class UndeclaredEdgeError(StateMachineError):
    """A state was left for one that its annotation does not name: a defect that mypy would have shown."""
