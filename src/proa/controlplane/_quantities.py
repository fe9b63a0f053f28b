"""Quantities such as `250m` and `1Gi`, exactly. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from proa.kube.models import Quantity

QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(|[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,3})")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


@lru_cache(4096)
def quantity(value: str | float) -> Decimal:
    """The number that a quantity means.

    Raises:
        ValueError: It is not a quantity.
    """
    match = QUANTITY.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is not a quantity")
    number, suffix = Decimal(match[1]), match[2]
    if suffix in _BINARY:
        return number * Decimal(1024 ** _BINARY[suffix])
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:]))


@lru_cache(4096)
def canonical(value: str) -> str:
    """A quantity as Kubernetes writes it: `0.5` is `500m`, and `1024Mi` is `1Gi`.

    Raises:
        ValueError: It is not a quantity.
    """
    return str.__str__(Quantity(value).canonical())


@lru_cache(4096)
def is_quantity(value: str | float) -> bool:
    """Whether it is a quantity."""
    return QUANTITY.fullmatch(str(value)) is not None
