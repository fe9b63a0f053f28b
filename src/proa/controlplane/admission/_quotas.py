"""Resource quotas: how much a namespace may hold in all. What is used stands in each quota's status.

A write that would use more than a quota allows is refused; one that does not has its use noted in the same
moment, so that writes at once cannot use the same room twice. `QuotaKeeper` counts anew when things go.
https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity
from proa.controlplane.registry import Review

from ._limit_ranges import pod_resources

STORAGE = "resourcequotas"
Usage = dict[str, Decimal]
COUNTED = {
    "configmaps": "configmaps",
    "persistentvolumeclaims": "persistentvolumeclaims",
    "pods": "pods",
    "replicationcontrollers": "replicationcontrollers",
    "resourcequotas": "resourcequotas",
    "secrets": "secrets",
    "services": "services",
}
"""What quotas can count by a name of its own, besides `count/RESOURCE`."""
_DONE = frozenset({"Succeeded", "Failed"})
_COMPUTE = ("cpu", "memory", "ephemeral-storage")


def usage_of(storage: str, document: Document) -> Usage:
    """What an object uses of all that quotas can limit."""
    used: Usage = {f"count/{storage}": Decimal(1)}
    if storage in COUNTED:
        used[COUNTED[storage]] = Decimal(1)
    if storage == "pods":
        if document.get("status", {}).get("phase") in _DONE:
            return {f"count/{storage}": Decimal(1)}
        used |= _of_pod(document["spec"])
    elif storage == "persistentvolumeclaims":
        used |= _of_claim(document["spec"])
    elif storage == "services":
        used |= _of_service(document["spec"])
    return used


def _of_pod(spec: Document) -> Usage:
    found: Usage = {}
    resources = pod_resources(spec)
    for name, amount in resources["requests"].items():
        found[f"requests.{name}"] = quantity(amount)
        if name in _COMPUTE:
            found[name] = quantity(amount)
    for name, amount in resources["limits"].items():
        found[f"limits.{name}"] = quantity(amount)
    return found


def _of_claim(spec: Document) -> Usage:
    amount = quantity(spec.get("resources", {}).get("requests", {}).get("storage", "0"))
    found: Usage = {"requests.storage": amount}
    name = spec.get("storageClassName")
    if name:
        prefix = f"{name}.storageclass.storage.k8s.io"
        found |= {f"{prefix}/requests.storage": amount, f"{prefix}/persistentvolumeclaims": Decimal(1)}
    return found


def _of_service(spec: Document) -> Usage:
    kind, ports = spec.get("type"), Decimal(len(spec.get("ports", ())))
    found: Usage = {}
    if kind in {"NodePort", "LoadBalancer"}:
        found["services.nodeports"] = ports
    if kind == "LoadBalancer":
        found["services.loadbalancers"] = Decimal(1)
    return found


def is_in_scope(quota: Document, storage: str, document: Document) -> bool:
    """Whether a quota is about an object."""
    spec = quota["spec"]
    scopes: list[Document] = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes", ())]
    scopes += spec.get("scopeSelector", {}).get("matchExpressions", [])
    if not scopes:
        return True
    return storage == "pods" and all(_matches(scope, document["spec"]) for scope in scopes)


def _matches(scope: Document, spec: Document) -> bool:
    resources = pod_resources(spec)
    best_effort = not any(resources["requests"].values()) and not any(resources["limits"].values())
    match scope["scopeName"]:
        case "BestEffort":
            return best_effort
        case "NotBestEffort":
            return not best_effort
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "PriorityClass":
            return _has_priority(scope, spec.get("priorityClassName", ""))
    return True


def _has_priority(scope: Document, name: str) -> bool:
    values = scope.get("values", ())
    match scope.get("operator", "Exists"):
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "DoesNotExist":
            return not name
    return bool(name)


def hard_of(quota: Document) -> dict[str, str]:
    """What a quota allows, by name; a short name of a count is what it stands for."""
    hard: dict[str, str] = quota["spec"].get("hard", {})
    return hard


def count(quota: Document, objects: Iterable[tuple[str, Document]]) -> dict[str, str]:
    """What all these objects use of a quota."""
    total: Usage = dict.fromkeys(hard_of(quota), Decimal(0))
    for storage, document in objects:
        if is_in_scope(quota, storage, document):
            for name, amount in usage_of(storage, document).items():
                if name in total:
                    total[name] += amount
    return {name: shown(amount) for name, amount in total.items()}


def shown(amount: Decimal) -> str:
    """An amount as a quantity: whole, or in thousandths."""
    return str(int(amount)) if amount == amount.to_integral() else f"{int(amount * 1000)}m"


def added(review: Review, quota: Document) -> Usage:
    """What a write adds to what is used of a quota; less is no matter here."""
    storage = review.resource.storage
    if review.new is None or not is_in_scope(quota, storage, review.new):
        return {}
    now = usage_of(storage, review.new)
    before: Mapping[str, Decimal] = {}
    if review.old is not None and is_in_scope(quota, storage, review.old):
        before = usage_of(storage, review.old)
    more = {name: amount - before.get(name, Decimal(0)) for name, amount in now.items()}
    return {name: amount for name, amount in more.items() if amount > 0 and name in hard_of(quota)}


def must_say(quota: Document, review: Review) -> list[str]:
    """The requests and limits that a quota limits, and a new pod does not make: then it cannot be counted."""
    if review.resource.storage != "pods" or review.operation != "CREATE" or review.new is None:
        return []
    if not is_in_scope(quota, "pods", review.new):
        return []
    limited = [
        name for name in hard_of(quota) if name in _COMPUTE or name.startswith(("requests.", "limits."))
    ]
    spec = review.new["spec"]
    missing = []
    for name in sorted(limited):
        kind, resource = ("requests", name) if name in _COMPUTE else name.split(".", 1)
        if resource not in _COMPUTE:
            continue
        containers = spec.get("containers", ())
        if not all(resource in one.get("resources", {}).get(kind, {}) for one in containers):
            missing.append(name)
    return missing
