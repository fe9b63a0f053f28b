"""For tests of what speaks to an API server.

- `KubeApi`: a server in a thread of the test's process, with a client and faults at hand: what the pytest
  fixture `kube_api` gives. For every kind of test. Start reading at `_kube_api.py`; `docs/testing.md` is its
  manual.
- `api_server`: a server in the test's own event loop.
- `SimulatedServer`: a server in virtual time whose faults a seed draws, for `proa.runtime.testing.simulate`.
- `fake_kubelet`: lives the pods' lives in their statuses; `eventually`: waits for what others do.
"""

from ._faults import Fault, Faults, Seen
from ._kube_api import KubeApi
from ._servers import api_server, eventually, fake_kubelet
from ._simulated import SimulatedServer

__all__ = [
    "Fault",
    "Faults",
    "KubeApi",
    "Seen",
    "SimulatedServer",
    "api_server",
    "eventually",
    "fake_kubelet",
]
