"""Helpers for tests of what stands on this package; none needs a server, sockets or real time.

- `FakeSource`: a collection in memory, to watch and to make fail, for one reflector or controller.
- `MemoryServer`: an API server in memory, for programs that write too; `Faults` make it fail, by a seed.
- `Scenario` and `simulate`: a program in a world where everything goes wrong, many times over;
  `python -m proa.runtime.testing FILE.py:SCENARIO --seeds 2000` runs it. `crashing`: a program of several
  parts, each of which crashes by itself, too.
"""

from proa.runtime.testing._faults import CALM, Faults, Rates
from proa.runtime.testing._server import Connection, MemoryServer
from proa.runtime.testing._simulation import Scenario, SimulationError, World, crashing, simulate
from proa.runtime.testing._source import FakeSource, gone

__all__ = [
    "CALM",
    "Connection",
    "FakeSource",
    "Faults",
    "MemoryServer",
    "Rates",
    "Scenario",
    "SimulationError",
    "World",
    "crashing",
    "gone",
    "simulate",
]
