"""What a new pod gets: its first status, and tolerations. Pure."""

from __future__ import annotations

from proa.controlplane._json import Document

_EVICTION_DELAY = 300
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def prepare_create(pod: Document) -> None:
    """A new pod is pending, and tolerates for five minutes that its node is lost."""
    spec = pod["spec"]
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    pod["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}
    tolerations = spec.setdefault("tolerations", [])
    for key in _TOLERATED:
        if not any(_tolerates_absence(toleration, key) for toleration in tolerations):
            tolerations.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": _EVICTION_DELAY,
                }
            )


def _tolerates_absence(toleration: Document, key: str) -> bool:
    return bool(toleration.get("key", key) == key and toleration.get("effect", "NoExecute") == "NoExecute")


def quality_of_service(spec: Document) -> str:
    """Guaranteed, Burstable or BestEffort: by whether every container, or the pod as a whole if it says
    anything of that, limits what it requests.
    """
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    resources = [container.get("resources", {}) for container in containers]
    whole = spec.get("resources") or {}
    if whole.get("requests") or whole.get("limits"):
        resources = [whole]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= one.get("limits", {}).keys()
        and all(one.get("requests", {}).get(name) == one["limits"][name] for name in ("cpu", "memory"))
        for one in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"
