"""Moose roam, eat and sleep until they are released: an operator as a state machine.

    kubectl apply -f examples/operators/moose.yaml     # the CRD, and a moose
    python examples/operators/moose.py
    kubectl get moose -w; kubectl delete moose bulle

Draw it with `cd examples/operators && proa statemachine draw moose:MOOSE -o moose.svg`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar

import msgspec

from proa.app import App, run
from proa.kube import Api, Client
from proa.kube.models import Model, Namespaced, ResourceInfo
from proa.statemachine import Cell, Final, Latest, Machine, Operator, State, Wait

# The resource


class MooseSpec(Model, kw_only=True):
    """What a moose is."""

    height: float = 2.0
    antlers: bool = False


class MooseStatus(Model, kw_only=True):
    """What a moose is at."""

    phase: str | None = None
    message: str | None = None


class Moose(Namespaced, kw_only=True):
    """A tagged moose."""

    api_version: str = "animals.example.com/v1"
    kind: str = "Moose"
    spec: MooseSpec = msgspec.field(default_factory=MooseSpec)
    status: MooseStatus = msgspec.field(default_factory=MooseStatus)

    resource: ClassVar[ResourceInfo] = ResourceInfo(
        group="animals.example.com",
        version="v1",
        kind="Moose",
        plural="moose",
        singular="moose",
        namespaced=True,
    )


# What a run carries


@dataclass(frozen=True)
class Herd:
    """All moose of the operator that are awake, by name."""

    awake: frozenset[str] = frozenset()


@dataclass
class MooseRun:
    """One moose, and the herd that all share."""

    name: str
    herd: Cell[Herd]
    food: float = 0.0

    def wake(self) -> None:
        self.herd.update(lambda herd: replace(herd, awake=herd.awake | {self.name}))

    def rest(self) -> None:
        self.herd.update(lambda herd: replace(herd, awake=herd.awake - {self.name}))


# The states


class Tagged(State[MooseRun]):
    """It was just seen for the first time."""

    async def next(self, run: MooseRun, moose: Latest[Moose]) -> Roaming:
        run.wake()
        return Roaming(seconds=5, then=Hungry())

    def status(self, run: MooseRun, moose: Moose) -> MooseStatus:
        return MooseStatus(phase="Tagged")


class Roaming(Wait[MooseRun, "Hungry"]):
    """It walks about, and meets those who do too."""

    def status(self, run: MooseRun, moose: Moose) -> MooseStatus:
        friends = sorted(run.herd.value.awake - {run.name})
        return MooseStatus(phase="Roaming", message=f"with {', '.join(friends) or 'nobody'}")


class Hungry(State[MooseRun]):
    """It eats until it is full: the larger, the longer."""

    async def next(self, run: MooseRun, moose: Latest[Moose]) -> Eating | Sleeping:
        if run.food < moose.value.spec.height:
            return Eating(seconds=2, then=Hungry())
        run.rest()
        return Sleeping(seconds=20, then=Waking())


class Eating(Wait[MooseRun, Hungry]):
    """It eats."""

    async def next(self, run: MooseRun, moose: Latest[Moose]) -> Hungry:
        run.food += random.uniform(0.5, 1.5)
        return await super().next(run, moose)

    def status(self, run: MooseRun, moose: Moose) -> MooseStatus:
        return MooseStatus(phase="Eating", message="*munch*")


class Sleeping(Wait[MooseRun, "Waking"]):
    """It sleeps."""

    def status(self, run: MooseRun, moose: Moose) -> MooseStatus:
        return MooseStatus(phase="Sleeping", message="zzz")


class Waking(State[MooseRun]):
    """A new day begins."""

    async def next(self, run: MooseRun, moose: Latest[Moose]) -> Roaming:
        run.food = 0.0
        run.wake()
        return Roaming(seconds=5, then=Hungry())


class Releasing(State[MooseRun]):
    """It is to go: the tag comes off."""

    async def next(self, run: MooseRun, moose: Latest[Moose]) -> Released:
        run.rest()
        return Released()

    def status(self, run: MooseRun, moose: Moose) -> MooseStatus:
        return MooseStatus(phase="Releasing", message="goodbye")


class Released(Final[MooseRun]):
    """It is free."""


def find(run: MooseRun, moose: Moose) -> Tagged | Sleeping | Waking:
    """Where an operator that was started anew goes on."""
    match moose.status.phase:
        case None | "Tagged":
            return Tagged()
        case "Sleeping":
            return Sleeping(seconds=20, then=Waking())
        case _:
            return Waking()


MOOSE = Machine("moose", initial=find, deleted=Releasing)


def operator(client: Client, herd: Cell[Herd]) -> Operator[Moose, MooseRun]:
    """The operator of all moose of all namespaces."""
    return Operator(
        Api(client, Moose),
        MOOSE,
        begin=lambda moose: MooseRun(moose.metadata.name or "", herd),
        finalizer="animals.example.com/tag",
    )


async def main(app: App) -> None:
    """Run until stopped."""
    client = await app.start("client", Client.from_env())
    await app.start("operator", operator(client, Cell(Herd())))
    await app.run_until_stopped()


if __name__ == "__main__":
    raise SystemExit(run(main))
