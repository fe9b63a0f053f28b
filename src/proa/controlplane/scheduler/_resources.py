"""What a pod asks for and what a node has to give, in whole numbers that are cheap to add."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Container, Pod

Amounts: TypeAlias = Counter[str]
"""Amounts by resource: processors in thousandths, everything else in its own unit (bytes, pieces)."""


def amounts(quantities: Mapping[str, Quantity]) -> Amounts:
    """Return quantities as whole numbers, rounded up."""
    return Counter({name: _amount(name, str(quantity)) for name, quantity in quantities.items()})


@lru_cache(maxsize=4096)
def _amount(name: str, quantity: str) -> int:
    value = Quantity(quantity).value
    return math.ceil(value * 1000 if name == "cpu" else value)


def requests(pod: Pod) -> Amounts:
    """Return what a pod asks for.

    The containers run together, so their requests add up. Init containers run one after another before
    them, so only the greediest counts; those that keep running (`restartPolicy: Always`) add to whatever
    comes later. What the pod asks for as a whole takes the place of the sum, resource by resource.
    """
    staying: Amounts = Counter()
    starting: Amounts = Counter()
    for container in pod.spec.init_containers:
        wanted = _requests(container)
        if container.restart_policy == "Always":
            staying += wanted
            starting |= staying
        else:
            starting |= staying + wanted
    total = _sum(_requests(container) for container in pod.spec.containers) + staying
    total |= starting
    if pod.spec.resources is not None:
        total |= amounts(pod.spec.resources.requests)
    return total + amounts(pod.spec.overhead)


def _requests(container: Container) -> Amounts:
    wanted = container.resources.requests
    limits = {name: value for name, value in container.resources.limits.items() if name not in wanted}
    return amounts({**limits, **wanted})


def _sum(parts: Iterable[Amounts]) -> Amounts:
    total: Amounts = Counter()
    for part in parts:
        total += part
    return total
