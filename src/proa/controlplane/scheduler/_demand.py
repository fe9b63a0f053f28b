"""What one pod takes of a node, and what is taken of one in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from proa.controlplane.scheduler._resources import Amounts, requests
from proa.kube.models.core_v1 import Pod

# What a pod that asks for nothing is taken to use when nodes are compared, so that such pods spread too.
ASSUMED_CPU = 100
ASSUMED_MEMORY = 200 * 2**20


class HostPort(NamedTuple):
    """A port of the node that a container takes."""

    ip: str
    protocol: str
    port: int

    def conflicts(self, other: HostPort) -> bool:
        """Tell whether both cannot be on one node; 0.0.0.0 takes the port of every address."""
        return self[1:] == other[1:] and (self.ip == other.ip or "0.0.0.0" in {self.ip, other.ip})  # noqa: S104


@dataclass(frozen=True)
class Demand:
    """What one pod takes of a node."""

    requests: Amounts
    ports: frozenset[HostPort]

    @classmethod
    def of(cls, pod: Pod) -> Demand:
        """Return what `pod` takes."""
        return cls(requests(pod), frozenset(_ports(pod)))

    @property
    def cpu(self) -> int:
        """Thousandths of a processor, as nodes are compared by."""
        return self.requests["cpu"] or ASSUMED_CPU

    @property
    def memory(self) -> int:
        """Bytes of memory, as nodes are compared by."""
        return self.requests["memory"] or ASSUMED_MEMORY


@dataclass
class Usage:
    """What is taken of a node."""

    requested: Amounts = field(default_factory=Counter)
    pods: int = 0
    cpu: int = 0
    memory: int = 0
    ports: Counter[HostPort] = field(default_factory=Counter)

    def add(self, demand: Demand, sign: int = 1) -> None:
        """Take what a pod demands, or give it back with a `sign` of -1."""
        for name, amount in demand.requests.items():
            self.requested[name] += sign * amount
        self.pods += sign
        self.cpu += sign * demand.cpu
        self.memory += sign * demand.memory
        for port in demand.ports:
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]


def _ports(pod: Pod) -> Iterable[HostPort]:
    staying = (one for one in pod.spec.init_containers if one.restart_policy == "Always")
    for container in (*pod.spec.containers, *staying):
        for port in container.ports:
            if port.host_port:
                yield HostPort(port.host_ip or "0.0.0.0", port.protocol or "TCP", port.host_port)  # noqa: S104
