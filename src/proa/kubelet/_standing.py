"""What a pod asks for and how important it is: by this the node admits pods, and evicts them. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Container, Pod

CRITICAL: Final = 2_000_000_000
"""The priority from which on a pod is never evicted: `system-cluster-critical`."""

Amounts = Counter[str]
"""By resource; processors in thousandths."""


@dataclass(frozen=True)
class Candidate:
    """A pod that may have to go: what it uses of something and what it asked for."""

    pod: Pod
    used: int
    requested: int


def rank(candidates: Iterable[Candidate], resource: str) -> list[Candidate]:
    """Order pods by who has to go first for a resource.

    Those that use more than they asked for, then those of lower priority, then those that are further above
    what they asked for. Processes cannot be asked for: there it is priority and number. Critical pods are
    left out.
    """
    return sorted(
        (one for one in candidates if not is_critical(one.pod)),
        key=lambda one: (
            resource != "pids" and one.used <= one.requested,
            one.pod.spec.priority or 0,
            one.requested - one.used,
        ),
    )


def is_critical(pod: Pod) -> bool:
    """Whether the node never evicts it: by its priority, or as it comes from the node itself."""
    from_file = pod.metadata.annotations.get("kubernetes.io/config.source", "api") != "api"
    return from_file or (pod.spec.priority or 0) >= CRITICAL


def is_best_effort(pod: Pod) -> bool:
    """Whether none of its containers asks for processors or memory, or is limited in them."""
    containers = [*pod.spec.init_containers, *pod.spec.containers]
    return not any(
        amount
        for container in containers
        for given in (container.resources.requests, container.resources.limits)
        for resource, amount in given.items()
        if resource in {"cpu", "memory"}
    )


def is_guaranteed(pod: Pod) -> bool:
    """Whether each container is limited in processors and memory, and asks for just that."""
    containers = [*pod.spec.init_containers, *pod.spec.containers]
    return all(
        resource in limits and requests.get(resource, limits[resource]) == limits[resource]
        for limits, requests in ((one.resources.limits, one.resources.requests) for one in containers)
        for resource in ("cpu", "memory")
    )


def requests(pod: Pod) -> Amounts:
    """What a pod asks for.

    Containers run together: theirs add up, with those of sidecars. Init containers run one after the other
    before them: of these the greediest counts. What the pod asks for as a whole goes before all that.
    """
    sidecars, starting = Amounts(), Amounts()
    for container in pod.spec.init_containers:
        asked = _of_container(container)
        if container.restart_policy == "Always":
            sidecars += asked
            starting |= sidecars
        else:
            starting |= sidecars + asked
    running = sum((_of_container(container) for container in pod.spec.containers), Amounts()) + sidecars
    whole = _amounts(pod.spec.resources.requests) if pod.spec.resources is not None else {}
    return Amounts({**(running | starting), **whole}) + Amounts(_amounts(pod.spec.overhead))


def amounts(quantities: Mapping[str, Quantity]) -> Amounts:
    """Quantities as whole numbers, rounded up."""
    return Amounts(_amounts(quantities))


def _of_container(container: Container) -> Amounts:
    return Amounts(_amounts({**container.resources.limits, **container.resources.requests}))


def _amounts(quantities: Mapping[str, Quantity]) -> dict[str, int]:
    return {
        name: math.ceil(quantity.value * (1000 if name == "cpu" else 1))
        for name, quantity in quantities.items()
    }
