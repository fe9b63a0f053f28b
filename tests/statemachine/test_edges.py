"""Errors and time-outs as edges; states to wait in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from proa.app import Backoff
from proa.app.backoff import BackoffTimer
from proa.app.testing import virtual_time
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta
from proa.statemachine import (
    BackOff,
    Cell,
    Done,
    Final,
    Latest,
    Machine,
    Retry,
    State,
    Wait,
    generation_changed,
    on_error,
    within,
)


@dataclass
class Phone:
    """What a run carries."""

    answers_at: int = 0
    failures: BackoffTimer = field(default_factory=lambda: Backoff(initial=1, maximum=60).start())
    path: list[str] = field(default_factory=list)

    async def entered(self, state: State[Phone]) -> None:
        self.path.append(type(state).__name__)


class Slow(Final[Phone]):
    pass


class GivenUp(Final[Phone]):
    pass


class Redialling(BackOff[Phone, "Calling"]):
    pass


class Knocking(Retry[Phone, "Dialling", GivenUp]):
    pass


class Resting(Wait[Phone, "Talking"]):
    def wakes(self, before: ConfigMap, now: ConfigMap) -> bool:
        return generation_changed(before, now)


@dataclass
class Unreachable(State[Phone]):
    why: str

    async def next(self, phone: Phone, line: Latest[float]) -> Redialling:
        return Redialling(phone.failures, then=Calling())


def unreachable(error: ConnectionError) -> Unreachable:
    return Unreachable(str(error))


class Calling(State[Phone]):
    @within(5, to=Slow)
    @on_error(ConnectionError, to=unreachable)
    async def next(self, phone: Phone, line: Latest[float]) -> Talking | Unreachable | Slow:
        if asyncio.get_running_loop().time() < phone.answers_at:
            raise ConnectionRefusedError("nobody there")
        await asyncio.sleep(line.value)
        return Talking()


class Talking(State[Phone]):
    async def next(self, phone: Phone, line: Latest[float]) -> Done:
        return Done()


class Dialling(State[Phone]):
    async def next(self, phone: Phone, line: Latest[float]) -> Knocking:
        return Knocking(phone.failures, attempts=3, then=Dialling(), otherwise=GivenUp())


def rest(phone: Phone, obj: ConfigMap) -> Resting:
    return Resting(3600, then=Talking())


CALL = Machine("call", initial=Calling, states=[])


def test_the_edges_of_errors_and_time_outs_carry_their_reasons() -> None:
    assert [(edge.target.__name__, edge.label) for edge in CALL.edges[Calling]] == [
        ("Unreachable", "ConnectionError"),
        ("Slow", "after 5 s"),
        ("Talking", ""),
    ]


def test_type_variables_of_shipped_states_stand_for_what_the_subclass_says() -> None:
    knock = Machine("knock", initial=Dialling, states=[])
    assert [edge.target for edge in knock.edges[Knocking]] == [Dialling, GivenUp]
    assert [edge.target for edge in CALL.edges[Redialling]] == [Calling]


@virtual_time
async def test_an_error_takes_its_edge_and_is_backed_off_from_ever_longer() -> None:
    phone = Phone(answers_at=100)
    assert type(await CALL.run(phone, Cell(1.0), entered=phone.entered)) is Talking
    assert phone.path.count("Redialling") == 7  # after 1, 2, 4, 8, 16, 32 and 60 seconds
    assert asyncio.get_running_loop().time() == 124


@virtual_time
async def test_a_time_out_takes_its_edge() -> None:
    phone = Phone()
    assert type(await CALL.run(phone, Cell(6.0))) is Slow
    assert asyncio.get_running_loop().time() == 5


@virtual_time
async def test_an_error_that_is_not_declared_is_not_caught() -> None:
    with pytest.raises(TypeError):
        await CALL.run(Phone(), Cell("no number"))


@virtual_time
async def test_retry_gives_up_after_its_attempts() -> None:
    phone = Phone()
    await Machine("knock", initial=Dialling, states=[]).run(phone, Cell(0), entered=phone.entered)
    assert phone.path == ["Dialling", "Knocking"] * 3 + ["GivenUp"]
    assert phone.failures.attempts == 0


@virtual_time
async def test_a_wait_ends_early_when_the_specification_changes_and_for_no_other_change() -> None:
    def config(generation: int) -> ConfigMap:
        return ConfigMap(metadata=ObjectMeta(name="a", generation=generation))

    cell = Cell(config(1))
    running = asyncio.create_task(Machine("rest", initial=rest, states=[]).run(Phone(), cell))
    await asyncio.sleep(10)
    cell.set(config(1))
    await asyncio.sleep(10)
    assert not running.done()
    cell.set(config(2))
    await running
    assert asyncio.get_running_loop().time() == 20
