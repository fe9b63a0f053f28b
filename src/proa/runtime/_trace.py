"""Why each run of a controller happened."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from proa.runtime._object import ObjectRef

What: TypeAlias = Literal["listed", "applied", "deleted", "relisted", "requested", "requeued", "retried"]

MOST_REASONS = 8
REMEMBERED = 500


class Reason(NamedTuple):
    """One reason to reconcile an object.

    `listed`, `applied` and `deleted` are events of `kind` `object`, which may be the reconciled object
    itself; `relisted` says that `kind` was listed anew after a watch was lost. `requested` came from
    `Controller.request`, `requeued` from the `Action` of the run before, and `retried` from its failure.
    """

    what: What
    kind: str
    object: ObjectRef

    def __str__(self) -> str:
        return f"{self.what} {self.kind} {self.object}"


@dataclass(frozen=True, slots=True)
class Run:
    """One call of the reconciler.

    Attributes:
        object: What it was called with.
        reasons: What asked for it since the run before; the first eight.
        waited: Seconds since the first of them, delays that were asked for included.
        took: Seconds that it ran.
        error: What it raised, in words; None if it succeeded.
    """

    object: ObjectRef
    reasons: tuple[Reason, ...]
    waited: float
    took: float
    error: str | None


class Trace:
    """Collects reasons until their run happens, and remembers the last runs."""

    def __init__(self) -> None:
        self.runs: deque[Run] = deque(maxlen=REMEMBERED)
        self._pending: dict[ObjectRef, tuple[float, list[Reason]]] = {}

    def add(self, ref: ObjectRef, reason: Reason, now: float) -> None:
        """Note a reason for the next run of `ref`."""
        pending = self._pending.get(ref)
        if pending is None:
            self._pending[ref] = (now, [reason])
        elif len(pending[1]) < MOST_REASONS and reason not in pending[1]:
            pending[1].append(reason)

    def begin(self, ref: ObjectRef, now: float) -> tuple[float, tuple[Reason, ...]]:
        """Return how long a run was waited for, and its reasons; what comes from now on is the next's."""
        since, reasons = self._pending.pop(ref, (now, []))
        return now - since, tuple(reasons)
