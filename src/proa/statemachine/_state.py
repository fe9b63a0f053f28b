"""States: what is done in each, and by its return annotation what may follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from proa.statemachine._latest import Latest

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a machine's run. It is returned like a state, and declared like one."""


class State(ABC, Generic[R]):
    """One state of a machine. `R` is what a run of the machine carries from state to state.

    ::

        class Pulling(State[PodRun]):
            async def next(self, run: PodRun, pod: Latest[Pod]) -> Starting | ImagePullBackOff:
                ...

    The return annotation of `next` is the set of edges: mypy refuses to return anything else, `Machine`
    refuses what makes no sense, and an edge that was not declared is an error when it is taken. A state can
    hold what it was entered with; dataclasses suit.
    """

    @abstractmethod
    async def next(self, run: R, obj: Latest[Any], /) -> State[R] | Done:
        """Do what is to be done in this state, and return the state that follows.

        It is cancelled when an interrupt or the deletion takes the machine elsewhere, at whatever it awaits.

        Args:
            run: What this run of the machine carries.
            obj: The object that the machine is about, as it is now and as it changes.
        """

    def status(self, run: R, obj: Any, /) -> object:
        """Return what is to be told about the object while it is in this state; None says nothing.

        It is asked once, when the state is entered, before `next`. What is done with it is up to who runs
        the machine: `Operator` writes it to the object's status.
        """
        del run, obj
        return None


class Final(State[R]):
    """A state that nothing follows: subclass it to give it a status."""

    async def next(self, run: R, obj: Latest[Any], /) -> Done:
        """End the run."""
        del run, obj
        return Done()
