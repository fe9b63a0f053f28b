"""Running a program in a world in which everything goes wrong, and looking what came of it.

Virtual time, one thread, one source of chance: a seed gives the same run again, in any process.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field

from proa.app.testing import run_virtual
from proa.kube import Client, KubeError
from proa.runtime._background import background
from proa.runtime.testing._faults import CALM, Faults, Rates
from proa.runtime.testing._server import Connection, MemoryServer

LONGEST = 86_400.0
"""Virtual seconds after which a run counts as one that never ends."""


@dataclass(frozen=True)
class World:
    """What a step of a scenario may use.

    Attributes:
        client: A client whose every request succeeds, for the hand of the user.
        random: Where chance comes from.
    """

    client: Client
    random: random.Random


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A program, what users do meanwhile, and what has to be true in the end.

    Attributes:
        program: Runs the program with a client: a controller, an operator, several of them.
        step: Does one thing that a user could do.
        check: Raises AssertionError unless the world is as the program is to make it.
        steps: How many things users do.
        rates: How often what goes wrong.
        quiet: Seconds without faults and changes in which the program has to get things right.
    """

    program: Callable[[Client], AbstractAsyncContextManager[object]]
    step: Callable[[World], Awaitable[object]]
    check: Callable[[MemoryServer], None]
    steps: int = 25
    rates: Rates = field(default_factory=Rates)
    quiet: float = 900.0


Part = Callable[[Client], AbstractAsyncContextManager[object]]
"""What runs beside others with one client."""


@asynccontextmanager
async def crashing(client: Client, *parts: Part, longest: float = 300.0) -> AsyncIterator[None]:
    """Keep parts running, but for the moments when one of them crashes and starts anew.

    Args:
        client: The client of all.
        parts: The parts.
        longest: The most seconds that one runs.
    """
    async with AsyncExitStack() as stack:
        for part in parts:
            chance = random.Random(random.random())  # noqa: S311 - repeatable is the point
            await stack.enter_async_context(
                background(_again_and_again(client, part, chance, longest), "part")
            )
        yield


async def _again_and_again(client: Client, part: Part, chance: random.Random, longest: float) -> None:
    while True:
        try:
            async with part(client):
                await asyncio.sleep(chance.uniform(1, longest))
        except KubeError:
            await asyncio.sleep(1)


class SimulationError(AssertionError):
    """A seed for which the world was not as it should be in the end. `seed` gives the same run again."""

    def __init__(self, seed: int, problem: str) -> None:
        super().__init__(f"seed {seed}: {problem}")
        self.seed = seed


def simulate(scenario: Scenario, seed: int, server: type[MemoryServer] = MemoryServer) -> MemoryServer:
    """Run a scenario once, against a server of the given type; return that as it is in the end.

    Between the steps of the users the server stops and starts again, forgets the past, and the program is
    killed and started anew.

    Raises:
        SimulationError: the check failed, the program ended by itself, or it left tasks behind.
    """
    random.seed(seed)  # what draws from the common generator, such as jitter, is part of the run
    try:
        return run_virtual(_bounded(_Run(scenario, seed, server)))
    except Exception as error:
        raise SimulationError(seed, f"{type(error).__name__}: {error}") from error


async def _bounded(run: _Run) -> MemoryServer:
    async with asyncio.timeout(LONGEST):
        return await run.run()


class _Run:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario, seed: int, server: type[MemoryServer]) -> None:
        self._scenario = scenario
        self._random = random.Random(seed)  # noqa: S311 - repeatable is the point
        self._server = server(Faults(self._random.randrange(2**32), scenario.rates))
        self._connection = Connection(self._server)
        self._program = AsyncExitStack()

    async def run(self) -> MemoryServer:
        try:
            await self._live()
        finally:
            await self._server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"the program left tasks behind: {left}"
        return self._server

    async def _live(self) -> None:
        reliable = Connection(self._server, reliable=True)
        async with self._server.client(connection=reliable) as user, aclosing(self._program):
            world = World(user, self._random)
            await self._start()
            for _ in range(self._scenario.steps):
                await self._scenario.step(world)
                await self._mischief()
                await asyncio.sleep(self._random.choice((0, 0, 0.01, 1, 10, 60)))
            self._server.start()
            self._server.faults.rates = CALM
            await asyncio.sleep(self._scenario.quiet)
            self._scenario.check(self._server)

    async def _start(self) -> None:
        self._connection = Connection(self._server)
        client = await self._program.enter_async_context(self._server.client(connection=self._connection))
        await self._program.enter_async_context(self._scenario.program(client))

    async def _mischief(self) -> None:
        match self._random.randrange(20):
            case 0:
                self._server.stop()
            case 1 | 2:
                self._server.start()
            case 3:
                self._server.forget()
            case 4:
                self._connection.cut = True  # killed: it cannot even say goodbye
                await self._program.aclose()
                await self._start()
