"""When a pod has to leave a tainted node: a plain function of its tolerations and the node's taints."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from proa.controlplane.scheduler import tolerates
from proa.kube.models.core_v1 import Pod, Taint, Toleration

NO_EXECUTE = "NoExecute"


def arrived_at(pod: Pod) -> datetime | None:
    """Return when a pod was given its node; when it was made, where nobody wrote down that."""
    moments = [
        known.last_transition_time
        for known in pod.status.conditions
        if known.type == "PodScheduled" and known.status == "True"
    ]
    return next(iter(moments), None) or pod.metadata.creation_timestamp


def leaves_at(
    tolerations: Iterable[Toleration], taints: Iterable[Taint], arrived: datetime | None, now: datetime
) -> datetime | None:
    """Return when a pod has to leave a node with these taints; None if it may stay.

    A taint that nothing tolerates sends it off at once. One that is tolerated for a time does so when the
    shortest of these times has passed since both were there, the taint and the pod: else a pod made anew on
    such a node would be sent off, made and bound again without an end.
    """
    known = list(tolerations)
    moments: list[datetime] = []
    for taint in taints:
        if taint.effect != NO_EXECUTE:
            continue
        fitting = [one for one in known if tolerates(one, taint)]
        if not fitting:
            return now
        limits = [one.toleration_seconds for one in fitting if one.toleration_seconds is not None]
        if limits:
            together = max(taint.time_added or now, arrived or taint.time_added or now)
            moments.append(together + timedelta(seconds=max(0, min(limits))))
    return min(moments, default=None)
