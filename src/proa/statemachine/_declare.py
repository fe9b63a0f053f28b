"""Errors and time-outs as edges: declared on `next`, typed, and part of the drawing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

from proa.statemachine._state import Done, State

P = ParamSpec("P")
E = TypeVar("E", bound=Exception)
S = TypeVar("S", bound=State[Any] | Done)
S2 = TypeVar("S2", bound=State[Any] | Done)

Next: TypeAlias = Callable[P, Coroutine[Any, Any, S]]

_DECLARED = "__proa_edges__"


@dataclass(frozen=True, slots=True)
class Declared:
    """An edge that is taken for a reason of its own; `to` is a state, or a function annotated with some."""

    to: Callable[..., object]
    label: str


def on_error(error: type[E], to: Callable[[E], S2]) -> Callable[[Next[P, S]], Next[P, S | S2]]:
    """Decorate `next` to go to another state when it raises `error`.

    ::

        @on_error(OciError, to=ImagePullBackOff)
        async def next(self, run: PodRun, pod: Latest[Pod]) -> Starting | ImagePullBackOff: ...

    The annotation has to name that state as well: it is where a reader looks for edges.

    Args:
        error: What is caught, with its subclasses. Anything else goes on to who runs the machine.
        to: Makes the state from the error: its class, or a function with a return annotation.
    """

    def decorate(following: Next[P, S]) -> Next[P, S | S2]:
        @wraps(following)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> S | S2:
            try:
                return await following(*args, **kwargs)
            except error as caught:
                return to(caught)

        return _declare(guarded, following, Declared(to, error.__name__))

    return decorate


def within(seconds: float, to: Callable[[], S2]) -> Callable[[Next[P, S]], Next[P, S | S2]]:
    """Decorate `next` to be cancelled after some seconds and to go to another state then.

    Args:
        seconds: How long it may take.
        to: Makes the state that follows if it takes longer: its class, or a function with a return
            annotation. The annotation of `next` has to name it as well.
    """

    def decorate(following: Next[P, S]) -> Next[P, S | S2]:
        @wraps(following)
        async def limited(*args: P.args, **kwargs: P.kwargs) -> S | S2:
            try:
                async with asyncio.timeout(seconds) as deadline:
                    return await following(*args, **kwargs)
            except TimeoutError:
                if not deadline.expired():
                    raise
                return to()

        return _declare(limited, following, Declared(to, f"after {seconds:g} s"))

    return decorate


def declared(following: Callable[..., object]) -> tuple[Declared, ...]:
    """Return the edges that decorators gave to a `next`."""
    return getattr(following, _DECLARED, ())


def _declare(made: Next[P, S], of: Callable[..., object], edge: Declared) -> Next[P, S]:
    setattr(made, _DECLARED, (*declared(of), edge))
    return made
