"""Helpers for tests of what stands on this package; none needs a server, sockets or real time.

- `FakeSource`: a collection in memory, to watch and to make fail, for one reflector or controller.
- `MemoryServer`: an API server in memory, for programs that write too; `Faults` make it fail, by a seed.
"""

from proa.runtime.testing._faults import CALM, Faults, Rates
from proa.runtime.testing._server import Connection, MemoryServer
from proa.runtime.testing._source import FakeSource, gone

__all__ = ["CALM", "Connection", "FakeSource", "Faults", "MemoryServer", "Rates", "gone"]
