"""States to wait in: subclass one to name it, to say where it leads, and to give it a status."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from proa.app.backoff import BackoffTimer
from proa.statemachine._latest import Latest
from proa.statemachine._state import Done, R, State

S = TypeVar("S", bound=State[Any] | Done)
F = TypeVar("F", bound=State[Any] | Done)


class _Pausing(State[R]):
    """A state in which time passes."""

    def wakes(self, before: Any, now: Any, /) -> bool:
        """Whether the object's change from `before` to `now` ends the pause early; by default none does.

        `generation_changed` suits where a new specification deserves a new attempt.
        """
        del before, now
        return False

    async def _pause(self, seconds: float, obj: Latest[Any]) -> None:
        before = obj.value
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await obj.until(lambda now: self.wakes(before, now))


@dataclass(frozen=True)
class Wait(_Pausing[R], Generic[R, S]):
    """Waits some seconds, then goes to `then`.

    ::

        class Resting(Wait[MooseRun, "Roaming"]): ...

        return Resting(seconds=20, then=Roaming())
    """

    seconds: float
    then: S

    async def next(self, run: R, obj: Latest[Any], /) -> S:
        """Wait."""
        del run
        await self._pause(self.seconds, obj)
        return self.then


@dataclass(frozen=True)
class BackOff(_Pausing[R], Generic[R, S]):
    """Waits before another attempt at `then`: longer with each failure in a row.

    ::

        class ImagePullBackOff(BackOff[PodRun, "Pulling"]): ...

        return ImagePullBackOff(failures=run.pull_failures, then=Pulling())

    The timer belongs to the run, as it has to outlive the state; reset it when the attempt succeeds.
    """

    failures: BackoffTimer
    then: S

    async def next(self, run: R, obj: Latest[Any], /) -> S:
        """Wait."""
        del run
        await self._pause(self.failures.next(), obj)
        return self.then


@dataclass(frozen=True)
class Retry(_Pausing[R], Generic[R, S, F]):
    """As `BackOff`, but gives up: after attempt number `attempts` it goes to `otherwise` at once."""

    failures: BackoffTimer
    attempts: int
    then: S
    otherwise: F

    async def next(self, run: R, obj: Latest[Any], /) -> S | F:
        """Wait, or give up."""
        del run
        if self.failures.attempts + 1 >= self.attempts:
            self.failures.reset()
            return self.otherwise
        await self._pause(self.failures.next(), obj)
        return self.then


def generation_changed(before: Any, now: Any) -> bool:
    """Whether the specification of a Kubernetes object has changed: for `wakes`."""
    return bool(before.metadata.generation != now.metadata.generation)
