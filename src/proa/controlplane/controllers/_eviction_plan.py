"""When a pod has to leave a tainted node: a plain function of its tolerations and the node's taints."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from proa.controlplane.scheduler import tolerates
from proa.kube.models.core_v1 import Taint, Toleration

NO_EXECUTE = "NoExecute"


def leaves_at(
    tolerations: Iterable[Toleration],
    taints: Iterable[Taint],
    now: datetime,
    arrived: datetime | None = None,
) -> datetime | None:
    """Return when a pod has to leave a node with these taints; None if it may stay.

    A taint that nothing tolerates sends it off at once. One that is tolerated for a time does so when the
    shortest of these times has passed since both the taint and the pod were there: a pod that is put on a
    node that has been tainted for long has its time, too.

    Args:
        tolerations: What the pod tolerates.
        taints: The node's taints.
        now: The time; a taint that doesn't say when it was added was added now.
        arrived: When the pod was assigned to the node, if that is known.
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
            since = max(filter(None, (taint.time_added or now, arrived)))
            moments.append(since + timedelta(seconds=max(0, min(limits))))
    return min(moments, default=None)
