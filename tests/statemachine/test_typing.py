"""What a type checker says of machines: the lint run fails where an error expected here is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_type

from proa.app.backoff import BackoffTimer
from proa.kube.models.core_v1 import Pod, PodStatus
from proa.statemachine import BackOff, Cell, Done, Final, Latest, Machine, State, on_error, within


@dataclass
class PodRun:
    failures: BackoffTimer


class OtherRun: ...


class ImagePullBackOff(BackOff[PodRun, "Pulling"]):
    def status(self, run: PodRun, pod: Pod) -> PodStatus:
        return PodStatus(phase="Pending", reason="ImagePullBackOff")


class Foreign(Final[OtherRun]): ...


class Starting(State[PodRun]):
    async def next(self, run: PodRun, pod: Latest[Pod]) -> Done:
        assert_type(pod.value, Pod)
        assert_type(await pod.until(lambda now: now.status.phase == "Running"), Pod)
        return Pulling()  # type: ignore[return-value]


class Pulling(State[PodRun]):
    async def next(self, run: PodRun, pod: Latest[Pod]) -> Starting | ImagePullBackOff:
        if pod.value.spec.node_name:
            return ImagePullBackOff(run.failures, then=Starting())  # type: ignore[arg-type]
        if pod.value.metadata.labels:
            return ImagePullBackOff(run.failures, then=Pulling())
        return Foreign()  # type: ignore[return-value]


class Elsewhere(State[PodRun]):
    async def next(self, run: PodRun, pod: Latest[Pod]) -> Foreign:  # type: ignore[override]
        return Foreign()


class Wrong(State[PodRun]):
    async def next(self, run: OtherRun, pod: Latest[Pod]) -> Done:  # type: ignore[override]
        return Done()


class Silent(State[PodRun]):
    def status(self, run: PodRun, pod: Pod) -> str:
        return "has no next"


def gave_up(error: OSError) -> Done:
    return Done()


class Guarded(State[PodRun]):
    @within(5, to=Done)
    @on_error(OSError, to=gave_up)
    async def next(self, run: PodRun, pod: Latest[Pod]) -> Starting | Done:
        return Starting()


class WrongError(State[PodRun]):
    @on_error(KeyError, to=gave_up)  # type: ignore[arg-type]
    async def next(self, run: PodRun, pod: Latest[Pod]) -> Done:
        return Done()


async def uses(machine: Machine[PodRun], run: PodRun, pod: Pod) -> None:
    assert_type(await Guarded().next(run, Cell(pod)), Starting | Done)
    Silent()  # type: ignore[abstract]
    await machine.run(OtherRun(), Cell(pod))  # type: ignore[arg-type]
    Machine[PodRun]("m", initial=Foreign)  # type: ignore[arg-type]


def test_a_machine_of_correct_states_is_defined() -> None:
    machine = Machine("pulling", initial=Pulling, states=[Starting])
    assert_type(machine, Machine[PodRun])
    assert len(machine.edges) == 3
