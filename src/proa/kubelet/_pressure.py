"""When the node runs short of something, and which pod has to go for it, by Kubernetes' rules.

`Pressure` remembers for how long it has been short, as conditions must not flap; all else is pure.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Pod
from proa.kubelet._host_facts import HostFacts

CRITICAL: Final = 2_000_000_000
"""The priority from which on a pod is never evicted: `system-cluster-critical`."""

_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)%")


class _Signal(NamedTuple):
    resource: str
    condition: str
    available: Callable[[HostFacts], int]
    capacity: Callable[[HostFacts], int]


_SIGNALS: Final[Mapping[str, _Signal]] = {
    "memory.available": _Signal("memory", "MemoryPressure", lambda m: m.memory_available, lambda m: m.memory),
    "nodefs.available": _Signal(
        "ephemeral-storage", "DiskPressure", lambda m: m.disk_available, lambda m: m.disk
    ),
    "imagefs.available": _Signal(
        "ephemeral-storage", "DiskPressure", lambda m: m.disk_available, lambda m: m.disk
    ),
    "nodefs.inodesFree": _Signal("inodes", "DiskPressure", lambda m: m.inodes_free, lambda m: m.inodes),
    "pid.available": _Signal(
        "pids", "PIDPressure", lambda m: m.max_processes - m.processes, lambda m: m.max_processes
    ),
}


class Shortage(NamedTuple):
    """One thing that the node is short of, for the messages."""

    resource: str
    condition: str
    threshold: str
    available: int


def problems(thresholds: Mapping[str, str]) -> Iterator[str]:
    """Say what is wrong with thresholds, a line for each problem."""
    for signal, least in thresholds.items():
        if signal not in _SIGNALS:
            yield f"{signal} is none of {', '.join(_SIGNALS)}"
        elif not _PERCENT.fullmatch(least):
            try:
                Quantity(least)
            except ValueError:
                yield f"{signal}: {least!r} is neither a quantity nor a percentage"


def shortages(machine: HostFacts, thresholds: Mapping[str, str]) -> list[Shortage]:
    """What a machine has less of than the thresholds say. What it cannot tell it is not short of."""
    found = []
    for name, least in thresholds.items():
        signal = _SIGNALS[name]
        capacity, available = signal.capacity(machine), signal.available(machine)
        share = _PERCENT.fullmatch(least)
        wanted = capacity * float(share[1]) / 100 if share else float(Quantity(least).value)
        if capacity and available < wanted:
            found.append(Shortage(signal.resource, signal.condition, least, available))
    return found


class Pressure:
    """The conditions of pressure that the node is under: from the first shortage until some time after it.

    Args:
        thresholds: What must be available, by Kubernetes' signals.
        transition_seconds: How long a condition outlasts its shortage.
    """

    def __init__(
        self,
        thresholds: Mapping[str, str],
        transition_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._thresholds = thresholds
        self._transition_seconds = transition_seconds
        self._clock = clock
        self._seen_at: dict[str, float] = {}

    def look(self, machine: HostFacts) -> list[Shortage]:
        """Note what the machine is short of now, and return it."""
        found = shortages(machine, self._thresholds)
        self._seen_at |= {one.condition: self._clock() for one in found}
        return found

    @property
    def conditions(self) -> frozenset[str]:
        """The conditions that hold."""
        earliest = self._clock() - self._transition_seconds
        return frozenset(condition for condition, at in self._seen_at.items() if at >= earliest)


@dataclass(frozen=True)
class Candidate:
    """A pod that may have to go: what it uses of something and what it asked for."""

    pod: Pod
    used: int
    requested: int


def rank(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Order pods by who has to go first.

    Those that use more than they asked for, then those of lower priority, then those that are further above
    what they asked for. Critical pods are left out.
    """
    return sorted(
        (one for one in candidates if not is_critical(one.pod)),
        key=lambda one: (one.used <= one.requested, one.pod.spec.priority or 0, one.requested - one.used),
    )


def is_critical(pod: Pod) -> bool:
    """Whether the node never evicts it: by its priority, or as it comes from the node itself."""
    from_file = pod.metadata.annotations.get("kubernetes.io/config.source", "api") != "api"
    return from_file or (pod.spec.priority or 0) >= CRITICAL


def requested(pod: Pod, resource: str) -> int:
    """What a pod's containers ask for together."""
    asked = (container.resources.requests.get(resource) for container in pod.spec.containers)
    return sum(int(quantity.value) for quantity in asked if quantity is not None)


def is_best_effort(pod: Pod) -> bool:
    """Whether none of its containers asks for anything."""
    containers = [*pod.spec.init_containers, *pod.spec.containers]
    return not any(container.resources.requests or container.resources.limits for container in containers)


def refusal(pod: Pod, conditions: Collection[str]) -> str | None:
    """Why a pod may not begin on a node that is under pressure; None when it may."""
    if not conditions or is_critical(pod):
        return None
    if conditions == {"MemoryPressure"} and not is_best_effort(pod):
        return None
    return f"The node was low on resource: [{' '.join(sorted(conditions))}]. "
