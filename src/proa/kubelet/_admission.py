"""Whether a pod may begin on this node, by Kubernetes' rules. Pure, but for what `Admission` is told."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple, Protocol

from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Pod, Toleration
from proa.kubelet._pressure import Pressure
from proa.kubelet._standing import Amounts, amounts, is_best_effort, is_critical, requests

_MEMORY_TAINT: Final = "node.kubernetes.io/memory-pressure"


class Refusal(NamedTuple):
    """Why a pod may not begin."""

    reason: str
    message: str


SHUTTING_DOWN: Final = Refusal("NodeShutdown", "Pod was rejected as the node is shutting down.")


class Asking(Protocol):
    """A pod on the node, by what it asks for."""

    @property
    def asked(self) -> Amounts:
        """How much of what."""


class Admission:
    """Refuses pods.

    Attributes:
        shutting_down: Whether the node takes no pods any more.
    """

    def __init__(self, pressure: Pressure, allocatable: Mapping[str, Quantity]) -> None:
        self.shutting_down = False
        self._pressure = pressure
        self._allocatable = allocatable

    def refusal(self, pod: Pod, others: Collection[Asking]) -> Refusal | None:
        """Why the node does not take a pod beside the others that are active; None when it does."""
        if self.shutting_down:
            return SHUTTING_DOWN
        pressed = under_pressure(pod, self._pressure.conditions)
        return pressed or beyond_room(pod, others, self._allocatable)


def under_pressure(pod: Pod, conditions: Collection[str]) -> Refusal | None:
    """Whether the node's conditions keep a pod away.

    One that asks for memory may begin when it is memory that is short: it can be held to that.
    """
    if not conditions or is_critical(pod):
        return None
    tolerates = any(map(_tolerates_short_memory, pod.spec.tolerations))
    if conditions == {"MemoryPressure"} and (tolerates or not is_best_effort(pod)):
        return None
    return Refusal(
        "Evicted", f"Pod was rejected: The node had condition: [{', '.join(sorted(conditions))}]. "
    )


def beyond_room(pod: Pod, others: Collection[Asking], allocatable: Mapping[str, Quantity]) -> Refusal | None:
    """Whether the node has too little left beside other pods, of anything that it has at all."""
    room = amounts(allocatable)
    wanted = requests(pod) + Amounts({"pods": 1})
    for resource in sorted(wanted.keys() & room.keys()):
        used = len(others) if resource == "pods" else sum(other.asked.get(resource, 0) for other in others)
        if used + wanted[resource] > room[resource]:
            counts = f"{resource}, requested: {wanted[resource]}, used: {used}, capacity: {room[resource]}"
            message = f"Pod was rejected: Node didn't have enough resource: {counts}"
            return Refusal(f"OutOf{resource}", message)
    return None


def _tolerates_short_memory(toleration: Toleration) -> bool:
    is_meant = toleration.key in {None, "", _MEMORY_TAINT} and toleration.effect in {None, "", "NoSchedule"}
    return is_meant and (toleration.operator == "Exists" or toleration.key == _MEMORY_TAINT)
