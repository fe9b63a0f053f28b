"""Waiting until an object is as one wants it.

::

    pod = await wait(pods, "web", field("status.phase", "Running") | deleted())
    await wait(crds, "moose.animals.example.com", established(), timeout=30)

A condition is a function of the object, or of None where there is none; they combine with `&`, `|` and `~`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Generic

from proa.app import ProaError
from proa.kube.models import Resource
from proa.runtime._events import Apply, Delete, InitApply, InitDone
from proa.runtime._object import K
from proa.runtime._watcher import Source, watcher

__all__ = [
    "Condition",
    "WaitTimeoutError",
    "available",
    "complete",
    "deleted",
    "established",
    "exists",
    "failed",
    "field",
    "has_condition",
    "ready",
    "wait",
]


class WaitTimeoutError(ProaError, TimeoutError):
    """The condition was not fulfilled in time."""


class Condition(Generic[K]):
    """What is waited for.

    Args:
        test: Whether an object, or None where there is none, is as wanted.
        name: What it is called in messages.
    """

    def __init__(self, test: Callable[[K | None], object], name: str = "condition") -> None:
        self._test = test
        self.name = name

    def __call__(self, obj: K | None) -> bool:
        """Whether it is fulfilled."""
        return bool(self._test(obj))

    def __and__(self, other: Condition[K]) -> Condition[K]:
        return Condition(lambda obj: self(obj) and other(obj), f"({self.name} and {other.name})")

    def __or__(self, other: Condition[K]) -> Condition[K]:
        return Condition(lambda obj: self(obj) or other(obj), f"({self.name} or {other.name})")

    def __invert__(self) -> Condition[K]:
        return Condition(lambda obj: not self(obj), f"not {self.name}")

    def __repr__(self) -> str:
        return f"<Condition {self.name}>"


def exists() -> Condition[Any]:
    """There is such an object."""
    return Condition(lambda obj: obj is not None, "exists")


def deleted(uid: str | None = None) -> Condition[Any]:
    """There is no such object; given a uid, another of its name does not count."""
    return Condition(lambda obj: obj is None or (uid is not None and obj.metadata.uid != uid), "deleted")


def field(path: str, value: object) -> Condition[Any]:
    """The field at `path`, such as `status.phase` by the names of the models, has a value."""

    def equals(obj: Resource | None) -> bool:
        found: object = obj
        for part in path.split("."):
            found = getattr(found, part, None)
        return obj is not None and found == value

    return Condition(equals, f"{path}={value}")


def has_condition(type_: str, status: str = "True") -> Condition[Any]:
    """`status.conditions` says so, about the newest specification where it says about which."""

    def says(obj: Any) -> bool:
        for condition in getattr(getattr(obj, "status", None), "conditions", ()):
            if condition.type == type_:
                observed = getattr(condition, "observed_generation", None)
                current = observed is None or observed >= (obj.metadata.generation or 0)
                return bool(condition.status == status and current)
        return False

    return Condition(says, f"{type_}={status}")


def established() -> Condition[Any]:
    """A CustomResourceDefinition is served."""
    return has_condition("Established")


def ready() -> Condition[Any]:
    """A pod or node is ready."""
    return has_condition("Ready")


def available() -> Condition[Any]:
    """A deployment or APIService is available, as of its newest specification where it says as of which."""

    def observed(obj: Any) -> bool:
        seen = getattr(getattr(obj, "status", None), "observed_generation", None)
        return seen is None or seen >= (obj.metadata.generation or 0)

    return has_condition("Available") & Condition(observed, "observed")


def complete() -> Condition[Any]:
    """A job has succeeded."""
    return has_condition("Complete")


def failed() -> Condition[Any]:
    """A job has failed."""
    return has_condition("Failed")


async def wait(
    source: Source[K], name: str, condition: Condition[K], *, timeout: float | None = None
) -> K | None:
    """Wait until an object fulfils a condition, which it may do already; return it, or None if there is none.

    Failures of the server are outlasted, as `watcher` does. A change that was undone before anyone looked may
    be missed.

    Args:
        source: An `Api` of the object's namespace, or of a cluster-scoped kind.
        name: The object's name.
        condition: What is waited for.
        timeout: Seconds to wait; None for ever.

    Raises:
        WaitTimeoutError: it took longer.
    """
    try:
        async with asyncio.timeout(timeout):
            return await _wait(source, name, condition)
    except TimeoutError as error:
        kind = source.type.resource.kind
        raise WaitTimeoutError(f"{kind} {name} was not {condition.name} within {timeout:g} s") from error


async def _wait(source: Source[K], name: str, condition: Condition[K]) -> K | None:
    known: K | None = None
    listed = False
    async with aclosing(watcher(source, field_selector=f"metadata.name={name}")) as events:
        async for event in events:
            match event:
                case InitApply(obj) | Apply(obj):
                    known = obj
                case Delete():
                    known = None
                case InitDone():
                    listed = True
            if listed and condition(known):
                return known
    raise AssertionError("a watcher never ends")
