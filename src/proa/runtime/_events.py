"""The vocabulary of watching: five events, said of one kind of object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias

from proa.runtime._object import K


@dataclass(frozen=True, slots=True)
class Init:
    """A fresh list begins; one that was begun and not ended is void."""


@dataclass(frozen=True, slots=True)
class InitApply(Generic[K]):
    """The fresh list holds `obj`."""

    obj: K


@dataclass(frozen=True, slots=True)
class InitDone:
    """The fresh list is complete."""


@dataclass(frozen=True, slots=True)
class Apply(Generic[K]):
    """`obj` was added or modified."""

    obj: K


@dataclass(frozen=True, slots=True)
class Delete(Generic[K]):
    """`obj` is gone. When that was found out by listing, `obj` is the last state known of it."""

    obj: K


Event: TypeAlias = Init | InitApply[K] | InitDone | Apply[K] | Delete[K]
