"""`python -m proa.runtime.testing PLACE:SCENARIO`: run a scenario with many seeds, or with one of them."""

from __future__ import annotations

import argparse
import importlib
import logging
import runpy
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from proa.app import garbage, logs
from proa.runtime.testing._server import MemoryServer
from proa.runtime.testing._simulation import Scenario, SimulationError, simulate


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every seed went well, 1 if one did not."""
    parser = argparse.ArgumentParser(prog="python -m proa.runtime.testing")
    parser.add_argument("scenario", help="FILE.py:NAME or MODULE:NAME of a Scenario")
    parser.add_argument("--seeds", type=int, default=200, help="run the seeds from 0 on, so many of them")
    parser.add_argument("--seed", type=int, help="run this one alone, and log what happens")
    parser.add_argument("--server", help="MODULE:NAME of a subclass of MemoryServer to run it against")
    chosen = parser.parse_args(arguments)
    scenario = find(chosen.scenario)
    server = server_type(chosen.server) if chosen.server else MemoryServer
    seeds = range(chosen.seeds) if chosen.seed is None else [chosen.seed]
    if chosen.seed is None:
        logging.disable(logging.CRITICAL)
    else:
        logs.configure(level="debug")
    garbage.tune()
    began = time.monotonic()
    try:
        for seed in seeds:
            simulate(scenario, seed, server)
    except SimulationError as error:
        against = f" --server {chosen.server}" if chosen.server else ""
        command = f"python -m proa.runtime.testing {chosen.scenario}{against} --seed {error.seed}"
        print(f"{error}\nRepeat it with: {command}")
        return 1
    print(f"{len(seeds)} seeds went well in {time.monotonic() - began:.1f} s")
    return 0


def find(place: str) -> Scenario:
    """Return the scenario at FILE.py:NAME or MODULE:NAME."""
    source, _, name = place.rpartition(":")
    if source.endswith(".py"):
        found = runpy.run_path(str(Path(source)))[name]
    else:
        found = getattr(importlib.import_module(source), name)
    assert isinstance(found, Scenario), f"{place} is no Scenario"
    return found


def server_type(place: str) -> type[MemoryServer]:
    """Return the type of server at MODULE:NAME."""
    module, _, name = place.rpartition(":")
    found: type[MemoryServer] = getattr(importlib.import_module(module), name)
    assert issubclass(found, MemoryServer), f"{place} is no MemoryServer"
    return found


if __name__ == "__main__":
    sys.exit(main())
