"""Defining machines, and going through them; without Kubernetes, in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from proa.app.testing import virtual_time
from proa.statemachine import Cell, Done, Final, Latest, Machine, State, UndeclaredEdgeError


@dataclass
class Kettle:
    """What a run carries."""

    path: list[str] = field(default_factory=list)

    async def entered(self, state: State[Kettle]) -> None:
        self.path.append(type(state).__name__)


class Solid(State[Kettle]):
    async def next(self, run: Kettle, water: Latest[int]) -> Liquid:
        await water.until(lambda celsius: celsius > 0)
        return Liquid()


class Liquid(State[Kettle]):
    async def next(self, run: Kettle, water: Latest[int]) -> Solid | Vapour | Spilt:
        celsius = await water.until(lambda celsius: celsius <= 0 or celsius > 100)
        if celsius == 0:
            return Spilt()
        return Solid() if celsius < 0 else Vapour()


class Vapour(State[Kettle]):
    async def next(self, run: Kettle, water: Latest[int]) -> Done:
        return Done()


class Spilt(State[Kettle]):
    async def next(self, run: Kettle, water: Latest[int]) -> Vapour:
        return object()  # type: ignore[return-value]


class Emptying(State[Kettle]):
    async def next(self, run: Kettle, water: Latest[int]) -> Emptied:
        await asyncio.sleep(1)
        return Emptied()


class Emptied(Final[Kettle]):
    pass


def resume(kettle: Kettle, celsius: int) -> Solid | Liquid | Done:
    if celsius > 100:
        return Done()
    return Solid() if celsius < 0 else Liquid()


async def expanded(kettle: Kettle, water: Latest[int]) -> Vapour:
    await water.until(lambda celsius: celsius < -200)
    return Vapour()


WATER = Machine("water", initial=Solid, deleted=Emptying, interrupts=[expanded])


def test_the_edges_are_what_the_annotations_say() -> None:
    edges = {kind.__name__: [edge.target.__name__ for edge in edges] for kind, edges in WATER.edges.items()}
    assert edges == {
        "Solid": ["Liquid"],
        "Emptying": ["Emptied"],
        "Vapour": ["Done"],
        "Liquid": ["Solid", "Vapour", "Spilt"],
        "Emptied": ["Done"],
        "Spilt": ["Vapour"],
    }
    assert [entry.label for entry in WATER.entries] == ["initial", "deleted", "expanded"]


@virtual_time
async def test_a_run_goes_from_state_to_state_and_returns_the_last() -> None:
    kettle, water = Kettle(), Cell(-5)
    running = asyncio.create_task(WATER.run(kettle, water, entered=kettle.entered))
    for celsius in (20, -1, 30, 120):
        await asyncio.sleep(1)
        water.set(celsius)
    assert type(await running) is Vapour
    assert kettle.path == ["Solid", "Liquid", "Solid", "Liquid", "Vapour"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_deletion_leaves_any_state_for_its_branch_once() -> None:
    for celsius in (-5, 20):
        kettle, deleted = Kettle(), asyncio.Event()
        running = asyncio.create_task(
            WATER.run(kettle, Cell(celsius), entered=kettle.entered, deleted=deleted)
        )
        await asyncio.sleep(1)
        deleted.set()
        assert type(await running) is Emptied
        assert kettle.path[-2:] == ["Emptying", "Emptied"]
        assert len(kettle.path) == (3 if celsius < 0 else 4)


@virtual_time
async def test_what_is_deleted_already_enters_no_other_state() -> None:
    kettle, deleted = Kettle(), asyncio.Event()
    deleted.set()
    await WATER.run(kettle, Cell(-5), entered=kettle.entered, deleted=deleted)
    assert kettle.path == ["Emptying", "Emptied"]


@virtual_time
async def test_an_interrupt_leaves_any_state_and_happens_once() -> None:
    kettle, water = Kettle(), Cell(-5)
    running = asyncio.create_task(WATER.run(kettle, water, entered=kettle.entered))
    await asyncio.sleep(1)
    water.set(-250)
    assert type(await running) is Vapour
    assert kettle.path == ["Solid", "Vapour"]


@virtual_time
async def test_a_function_finds_where_to_resume() -> None:
    machine = Machine("water", initial=resume, states=[])
    kettle = Kettle()
    assert await machine.run(kettle, Cell(200), entered=kettle.entered) is None
    running = asyncio.create_task(machine.run(kettle, water := Cell(50), entered=kettle.entered))
    await asyncio.sleep(1)
    water.set(101)
    await running
    assert kettle.path == ["Liquid", "Vapour"]


@virtual_time
async def test_an_undeclared_edge_is_an_error_when_it_is_taken() -> None:
    with pytest.raises(
        UndeclaredEdgeError, match="water: Spilt led to object, which its annotation does not"
    ):
        await Machine("water", initial=resume, states=[]).run(Kettle(), Cell(0))


@virtual_time
async def test_what_a_state_raises_and_has_not_declared_reaches_the_caller() -> None:
    class BrokenError(Exception):
        pass

    async def entered(state: State[Kettle]) -> None:
        raise BrokenError(type(state).__name__)

    with pytest.raises(BrokenError, match="Solid"):
        await WATER.run(Kettle(), Cell(0), entered=entered, deleted=asyncio.Event())
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_cancelling_a_run_leaves_nothing_behind() -> None:
    running = asyncio.create_task(WATER.run(Kettle(), Cell(0), deleted=asyncio.Event()))
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_the_latest_value_is_never_missed_and_those_before_it_may_be() -> None:
    cell = Cell(0)
    seen = []

    async def read() -> None:
        async for value in cell:
            seen.append(value)
            await asyncio.sleep(10)

    reading = asyncio.create_task(read())
    for value in range(1, 5):
        await asyncio.sleep(1)
        cell.set(value)
    await asyncio.sleep(20)
    assert seen == [0, 4]
    reading.cancel()


@virtual_time
async def test_shared_state_is_updated_in_one_step() -> None:
    stock = Cell(0)

    async def take() -> None:
        for _ in range(100):
            stock.update(lambda now: now + 1)
            await asyncio.sleep(0)

    await asyncio.gather(*(take() for _ in range(10)))
    assert stock.value == 1000
