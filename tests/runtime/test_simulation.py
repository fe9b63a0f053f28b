"""A controller in a world in which everything goes wrong, against the embedded API server and one in memory.

A seed that fails is repeated by the command in its message. Here run some; `make simulate` runs 2,000.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import runpy
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proa.app.testing import capture_logs
from proa.controlplane.testing import SimulatedServer
from proa.kube import Client
from proa.runtime import Action
from proa.runtime.testing import MemoryServer, Scenario, SimulationError, simulate

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "operators" / "copier.py"
COPIER = runpy.run_path(str(EXAMPLE))
COPYING: Scenario = COPIER["COPYING"]
COMMAND = "python -m proa.runtime.testing examples/operators/copier.py:COPYING"


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_after_quiet_the_embedded_server_holds_what_the_controller_is_to_make(first: int) -> None:
    with capture_logs("error"):
        for seed in range(first, first + 25):
            try:
                simulate(COPYING, seed, SimulatedServer)
            except SimulationError as error:
                server = "--server proa.controlplane.testing:SimulatedServer"
                pytest.fail(f"{error}\nrepeat it with: {COMMAND} {server} --seed {seed}")


def test_after_quiet_the_world_is_as_the_controller_is_to_make_it() -> None:
    with capture_logs("error"):
        for seed in range(200):
            try:
                simulate(COPYING, seed)
            except SimulationError as error:
                pytest.fail(f"{error}\nrepeat it with: {COMMAND} --seed {seed}")


def forgetful(client: Client) -> Any:
    """A copier that leaves copies of what was deleted."""

    async def leave(_obj: object) -> Action:
        return Action.await_change()

    copier = COPIER["Copier"](client)
    copier._remove = leave
    return copier.running()


@pytest.mark.parametrize("server", [MemoryServer, SimulatedServer])
def test_a_controller_that_forgets_something_is_found_out_and_the_seed_repeats_it(
    server: type[MemoryServer],
) -> None:
    broken = dataclasses.replace(COPYING, program=forgetful)

    def found(seeds: Iterable[int]) -> SimulationError:
        with capture_logs("error"):
            for seed in seeds:
                try:
                    simulate(broken, seed, server)
                except SimulationError as error:
                    return error
        pytest.fail("nothing was found")

    error = found(range(100))
    assert "the copies are" in str(error)
    assert str(found([error.seed])) == str(error)


def test_a_program_that_never_ends_or_ends_by_itself_fails_its_seed() -> None:
    @asynccontextmanager
    async def hanging(_client: Client) -> AsyncIterator[None]:
        yield
        await asyncio.sleep(10**9)

    def failing(_client: Client) -> Any:
        raise ValueError("broken")

    with pytest.raises(SimulationError, match="TimeoutError"):
        simulate(dataclasses.replace(COPYING, program=hanging), 0)
    with pytest.raises(SimulationError, match="ValueError: broken"):
        simulate(dataclasses.replace(COPYING, program=failing), 0)


@pytest.mark.parametrize(
    "server", ["proa.runtime.testing:MemoryServer", "proa.controlplane.testing:SimulatedServer"]
)
def test_a_seed_gives_the_same_run_in_every_process(server: str) -> None:
    script = (
        "import logging, zlib; logging.disable(50)\n"
        "from proa.runtime.testing import simulate\n"
        "from proa.runtime.testing.__main__ import find, server_type\n"
        f"scenario, server = find({str(EXAMPLE)!r} + ':COPYING'), server_type({server!r})\n"
        "def asked(seed):\n"
        "    requests = simulate(scenario, seed, server).requests\n"
        "    return [(one.method, one.path, one.query) for one in requests]\n"
        "print([zlib.crc32(repr(asked(seed)).encode()) for seed in range(10)])\n"
    )

    def run(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert run("1") == run("2")


def test_the_command_says_how_it_went() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proa.runtime.testing", f"{EXAMPLE}:COPYING", "--seeds", "5"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("5 seeds went well in")
