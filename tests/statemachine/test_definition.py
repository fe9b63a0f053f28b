"""What defining a machine refuses. Each group of states has a run type of its own: that tells them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Never

import pytest

from proa.statemachine import Done, Final, Latest, Machine, MachineError, State, on_error


class A: ...


class B: ...


class C: ...


class Begin(State[A]):
    async def next(self, run: A, obj: Latest[Any]) -> End:
        return End()


class End(Final[A]): ...


class Forgotten(State[A]):
    async def next(self, run: A, obj: Latest[Any]) -> End:
        return End()


class Trap(State[B]):
    async def next(self, run: B, obj: Latest[Any]) -> Trap:
        return self


class Pit(State[C]):
    async def next(self, run: C, obj: Latest[Any]) -> Never:
        raise NotImplementedError


class Unannotated(State[C]):
    async def next(self, run, obj):  # type: ignore[no-untyped-def] # noqa: ANN001
        return Done()


class Stateless(State[C]):
    async def next(self, run: C, obj: Latest[Any]) -> Done | None:  # type: ignore[override]
        return None


class Vague(State[C]):
    async def next(self, run: C, obj: Latest[Any]) -> State[C]:
        return self


class Misspelt(State[C]):
    async def next(self, run: C, obj: Latest[Any]) -> Ende:  # type: ignore[name-defined] # noqa: F821
        return End()


class Hidden(State[C]):
    @on_error(OSError, to=lambda _: Pit())
    async def next(self, run: C, obj: Latest[Any]) -> Done:
        return Done()


def pit(error: OSError) -> Pit:
    return Pit()


class Undeclared(State[C]):
    @on_error(OSError, to=pit)
    async def next(self, run: C, obj: Latest[Any]) -> Done:
        return Done()


@dataclass
class Loaded(Final[C]):
    weight: int


def problems(**arguments: Any) -> str:
    with pytest.raises(MachineError) as caught:
        Machine("m", **arguments)
    return "; ".join(caught.value.problems)


def test_a_state_of_the_same_run_that_nothing_leads_to_is_refused() -> None:
    assert problems(initial=Begin) == "Forgotten cannot be reached: no edge leads to it"
    assert problems(initial=Begin, states=[Begin, End, Trap]).startswith("Trap cannot be reached")
    Machine("m", initial=Begin, states=[Begin, End])
    Machine("m", initial=Begin, deleted=Forgotten)


@pytest.mark.parametrize("state", [Trap, Pit])
def test_a_state_without_a_way_out_is_refused(state: type[State[Any]]) -> None:
    expected = f"{state.__name__} has no way out: a state that nothing follows returns Done"
    assert problems(initial=state, states=[]) == expected


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (
            Unannotated,
            "Unannotated.next has no return annotation: it is what says where the edges lead",
        ),
        (Stateless, "Stateless.next is annotated with None, which is no state; say Done for the end"),
        (Vague, "Vague.next is annotated with State, which stands for any state: name each one"),
        (Misspelt, "name 'Ende' is not defined; define and import states at module level"),
        (Hidden, "what is taken for OSError has no return annotation"),
        (Undeclared, "Undeclared.next goes to Pit for OSError, which its annotation does not name"),
        (Loaded, "initial Loaded cannot be made without weight: give a function that makes it"),
        (C, "initial C is annotated with C, which is no state"),
    ],
)
def test_an_annotation_that_says_nothing_is_refused_with_its_place(state: type, problem: str) -> None:
    assert problem in problems(initial=state, states=[])


def test_every_problem_is_told_at_once() -> None:
    found = problems(initial=Stateless, deleted=Trap, states=[Pit])
    assert found.count(";") >= 2
