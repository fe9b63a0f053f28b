"""What a node must have left: thresholds of eviction, by Kubernetes' signals. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from proa.kube.models import Quantity
from proa.kubelet._host_facts import HostFacts

_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)%")
_KIBIBYTE: Final = 1024
_RESERVABLE: Final = ("cpu", "memory", "ephemeral-storage")


class _Signal(NamedTuple):
    resource: str
    condition: str
    available: Callable[[HostFacts], int]
    capacity: Callable[[HostFacts], int]
    in_bytes: bool = True


# Images and modules are on the file system of the node: `imagefs` is `nodefs`.
_SPACE: Final = _Signal("ephemeral-storage", "DiskPressure", lambda m: m.disk_available, lambda m: m.disk)
_FILES: Final = _Signal("inodes", "DiskPressure", lambda m: m.inodes_free, lambda m: m.inodes, in_bytes=False)
SIGNALS: Final[Mapping[str, _Signal]] = {
    "memory.available": _Signal("memory", "MemoryPressure", lambda m: m.memory_available, lambda m: m.memory),
    "nodefs.available": _SPACE,
    "nodefs.inodesFree": _FILES,
    "imagefs.available": _SPACE,
    "imagefs.inodesFree": _FILES,
    "pid.available": _Signal(
        "pids",
        "PIDPressure",
        lambda m: m.max_processes - m.processes,
        lambda m: m.max_processes,
        in_bytes=False,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One thing that the node must not have less of.

    Attributes:
        signal: Kubernetes' name for it.
        least: A quantity, or a percentage of what there is in all.
        grace: Seconds that it may be less before a pod is evicted for it: more than 0 for soft thresholds.
        soft: Whether pods that go for it have time for their hooks.
        reclaim: How much more than `least` there must be before all is well again.
    """

    signal: str
    least: str
    grace: float = 0.0
    soft: bool = False
    reclaim: str = "0"

    @property
    def resource(self) -> str:
        """What pods use of it and ask for."""
        return SIGNALS[self.signal].resource

    @property
    def condition(self) -> str:
        """The node's condition for it."""
        return SIGNALS[self.signal].condition

    def available(self, host: HostFacts) -> int:
        """How much there is now."""
        return SIGNALS[self.signal].available(host)

    def is_crossed(self, host: HostFacts, *, already: bool = False) -> bool:
        """Whether there is too little; if it was so `already`, it takes more to be well again.

        What the host cannot tell, it is not short of.
        """
        capacity = SIGNALS[self.signal].capacity(host)
        least = _amount(self.least, capacity) + (_amount(self.reclaim, capacity) if already else 0.0)
        return capacity > 0 and self.available(host) < least

    def describe(self, host: HostFacts) -> str:
        """Both amounts, for messages."""
        signal = SIGNALS[self.signal]
        capacity, available = signal.capacity(host), signal.available(host)
        least = self.least
        if _PERCENT.fullmatch(least):
            least = _text(int(_amount(least, capacity)), in_bytes=signal.in_bytes)
        return f"Threshold quantity: {least}, available: {_text(available, in_bytes=signal.in_bytes)}."


def reserved(hard: Mapping[str, str], host: HostFacts) -> dict[str, int]:
    """What of the host no pod can be promised, since pods are evicted for it, by resource."""
    found: dict[str, int] = {}
    for signal in ("memory.available", "nodefs.available"):
        if signal in hard:
            found[SIGNALS[signal].resource] = int(_amount(hard[signal], SIGNALS[signal].capacity(host)))
    return found


def hard(least: Mapping[str, str], reclaim: Mapping[str, str]) -> list[Threshold]:
    """Those that pods are evicted for at once."""
    return [
        Threshold(signal=signal, least=amount, reclaim=reclaim.get(signal, "0"))
        for signal, amount in least.items()
    ]


def soft(
    least: Mapping[str, str], grace: Mapping[str, timedelta], reclaim: Mapping[str, str]
) -> list[Threshold]:
    """Those that must be crossed for some time."""
    return [
        Threshold(
            signal=signal,
            least=amount,
            grace=grace[signal].total_seconds(),
            soft=True,
            reclaim=reclaim.get(signal, "0"),
        )
        for signal, amount in least.items()
    ]


def wrong_amounts(amounts: Mapping[str, str]) -> Iterator[str]:
    """Say what is wrong with amounts by signal, a line for each problem."""
    for signal, amount in amounts.items():
        if signal not in SIGNALS:
            yield f"{signal} is none of {', '.join(SIGNALS)}"
        elif not _is_amount(amount):
            yield f"{signal}: {amount!r} is neither a quantity nor a percentage"


def wrong_reserves(amounts: Mapping[str, str]) -> Iterator[str]:
    """Say what is wrong with amounts by resource, a line for each problem."""
    for resource, amount in amounts.items():
        if resource not in _RESERVABLE:
            yield f"{resource} is none of {', '.join(_RESERVABLE)}"
        elif not _is_amount(amount) or _PERCENT.fullmatch(amount):
            yield f"{resource}: {amount!r} is no quantity"


def _is_amount(text: str) -> bool:
    if share := _PERCENT.fullmatch(text):
        return float(share[1]) <= 100
    try:
        return Quantity(text).value >= 0
    except ValueError:
        return False


def _amount(text: str, capacity: int) -> float:
    share = _PERCENT.fullmatch(text)
    return capacity * float(share[1]) / 100 if share else float(Quantity(text).value)


def _text(amount: int, *, in_bytes: bool) -> str:
    return f"{amount // _KIBIBYTE}Ki" if in_bytes else str(amount)
