"""Who leads: the decisions of leader election, without I/O and without a clock. Pure.

Only the time since a holder was *seen* to renew counts, by our own clock; the times written in the lease are
for people. So clocks of different machines need not agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from proa.kube.models.coordination_v1 import Lease


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a lease is held, in seconds.

    A leader has given up by `give_up` after its last renewal was *sent*; nobody takes over before
    `duration` has passed since a renewal was *seen*. The difference is for work to be cancelled in.

    Raises:
        ValueError: they are not in order: retry < give_up < duration.
    """

    duration: float = 15.0
    """How long nobody else takes the lease after it was renewed; whole seconds are written to it."""
    give_up: float = 10.0
    """How long a leader goes on without having renewed."""
    retry: float = 2.0
    """How often a leader renews, and others look."""

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.give_up < self.duration:
            raise ValueError("a lease needs 0 < retry < give_up < duration")


class Observer:
    """Remembers when the lease was last seen to change, by our own clock."""

    def __init__(self, identity: str, terms: Terms) -> None:
        self._identity = identity
        self._terms = terms
        self._seen: tuple[object, ...] | None = None
        self._seen_at = 0.0

    def may_take(self, lease: Lease, now: float) -> bool:
        """Whether the lease is ours to take: ours, given up, or not renewed for its duration."""
        record = (lease.spec.holder_identity, lease.spec.renew_time, lease.spec.lease_transitions)
        if record != self._seen:
            self._seen, self._seen_at = record, now
        holder = lease.spec.holder_identity
        if not holder or holder == self._identity:
            return True
        duration = lease.spec.lease_duration_seconds or self._terms.duration
        return now >= self._seen_at + duration
