"""The difference between a pod's status as it is and as it should be, as a strategic merge patch. Pure."""

from typing import Any, Final

import msgspec

from proa import kube
from proa.kube.models.core_v1 import PodStatus

Json = dict[str, Any]

_OWNED: Final = (
    "observedGeneration", "phase", "reason", "message", "hostIP", "hostIPs", "podIP", "podIPs", "startTime",
    "initContainerStatuses", "containerStatuses",
)  # fmt: skip
"""What only the kubelet writes."""

_OWNED_CONDITIONS: Final = frozenset(
    {
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
        "DisruptionTarget",
    }
)
"""Conditions are shared: they are merged by their type, and those of others are left alone."""


def status_patch(uid: str, observed: PodStatus, wanted: PodStatus) -> Json | None:
    """What to send so that `observed` becomes `wanted`; None when nothing differs.

    The pod's uid goes along: should another pod have taken the name, the server refuses with a conflict.
    """
    old, new = _plain(observed), _plain(wanted)
    # What is empty may be left out as well.
    changes: Json = {key: new.get(key) for key in _OWNED if (old.get(key) or None) != (new.get(key) or None)}
    before = {condition["type"]: condition for condition in old.get("conditions", [])}
    conditions = [
        # What a condition does not say any more must be said to be gone: the server merges them by type.
        dict.fromkeys(before.get(condition["type"], {})) | condition
        for condition in new.get("conditions", [])
        if condition["type"] in _OWNED_CONDITIONS and condition != before.get(condition["type"])
    ]
    if conditions:
        changes["conditions"] = conditions
    return {"metadata": {"uid": uid}, "status": changes} if changes else None


def _plain(status: PodStatus) -> Json:
    document: Json = msgspec.json.decode(kube.encode(status))
    return document
