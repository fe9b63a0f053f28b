"""What names of compute resources there are, and what amounts of them may be asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

from proa.controlplane._errors import (
    Cause,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    required,
    value_not_found,
)
from proa.controlplane._json import Document
from proa.controlplane._quantities import is_quantity, quantity
from proa.controlplane.registry._names import dns_label, qualified_name

from ._parts import names

NameCheck = Callable[[str, str], list[Cause]]

_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_OBJECTS = frozenset(
    {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }
)
_QUOTA = (
    _CONTAINER
    | _OBJECTS
    | {f"{kind}.{name}" for kind in ("limits", "requests") for name in _CONTAINER}
    | {"requests.storage"}
)
_STANDARD = _QUOTA | {"storage"}
_POD_LEVEL = ("cpu", "hugepages-", "memory")


def is_huge_page(name: str) -> bool:
    """Whether a resource is huge pages of some size."""
    return name.startswith("hugepages-")


def is_native(name: str) -> bool:
    """Whether Kubernetes itself knows the resource."""
    return "/" not in name or "kubernetes.io/" in name


def can_overcommit(name: str) -> bool:
    """Whether a request may be less than its limit."""
    return is_native(name) and not is_huge_page(name)


def is_extended(name: str) -> bool:
    """Whether it is a resource of somebody's own."""
    return not is_native(name) and not name.startswith("requests.") and not qualified_name(f"requests.{name}")


def is_whole(name: str) -> bool:
    """Whether there are no parts of the resource."""
    return name in _OBJECTS or is_extended(name)


def resource_name(name: str, path: str) -> list[Cause]:
    """A resource that Kubernetes knows, or a qualified name."""
    found = names(qualified_name, name, path)
    if found or "/" in name or name in _STANDARD or name.startswith(("hugepages-", "requests.hugepages-")):
        return found
    return [invalid_value(path, name, "must be a standard resource type or fully qualified")]


def container_resource_name(name: str, path: str) -> list[Cause]:
    """A resource that containers can have."""
    found = resource_name(name, path)
    if "/" not in name:
        if name not in _CONTAINER and not is_huge_page(name):
            found.append(invalid_value(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        found.append(invalid_value(path, name, "doesn't follow extended resource name standard"))
    return found


def pod_resource_name(name: str, path: str) -> list[Cause]:
    """A resource that a pod can have as a whole."""
    found = resource_name(name, path)
    if found or name in {"cpu", "memory"} or is_huge_page(name):
        return found
    return [not_supported(path, name, _POD_LEVEL)]


def quota_resource_name(name: str, path: str) -> list[Cause]:
    """A resource that a quota can limit."""
    found = resource_name(name, path)
    if "/" in name or name in _QUOTA or name.startswith(("hugepages-", "requests.hugepages-", "count/")):
        return found
    return [*found, invalid_value(path, name, "must be a standard resource for quota")]


def resource_amount(name: str, amount: Any, path: str) -> list[Cause]:
    """An amount of a resource: not negative, and whole where there are no parts."""
    found, value = [], quantity(amount)
    if value < 0:
        found.append(invalid_value(path, str(amount), "must be greater than or equal to 0"))
    if is_whole(name) and value != int(value):
        found.append(invalid_value(path, str(amount), "must be an integer"))
    return found


def _huge_pages(name: str, amount: Any, path: str) -> list[Cause]:
    size = name.removeprefix("hugepages-")
    pages = quantity(size) if is_quantity(size) else quantity(0)
    if pages > 0 and quantity(amount) > 0 and quantity(amount) % pages == 0:
        return []
    return [invalid_value(path, str(amount), f"is not positive integer multiple of {name}")]


def requirements(
    value: Document, path: str, claims: AbstractSet[str], name_check: NameCheck = container_resource_name
) -> list[Cause]:
    """What a container (or pod) requests, and its limits."""
    limits, requests = value.get("limits") or {}, value.get("requests") or {}
    if not limits and not requests and "claims" not in value:
        return []
    found = []
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            at = f"{path}.{kind}[{name}]"
            found += name_check(name, at) if name not in _CONTAINER or name_check is pod_resource_name else []
            found += resource_amount(name, amount, at)
            if is_huge_page(name):
                found += _huge_pages(name, amount, at)
    for name, amount in requests.items():
        found += _within(name, amount, limits, path)
    used = {*limits, *requests}
    if any(map(is_huge_page, used)) and not used & {"cpu", "memory"}:
        found.append(forbidden(path, "HugePages require cpu or memory"))
    return found + _claims(value.get("claims", ()), f"{path}.claims", claims)


def _within(name: str, amount: Any, limits: Document, path: str) -> list[Cause]:
    if name not in limits:
        why = "Limit must be set for non overcommitable resources"
        return [] if can_overcommit(name) else [required(f"{path}.limits", why)]
    asked, most = quantity(amount), quantity(limits[name])
    if asked != most and not can_overcommit(name):
        why = f"must be equal to {name} limit of {limits[name]}"
    elif asked > most:
        why = f"must be less than or equal to {name} limit of {limits[name]}"
    else:
        return []
    return [invalid_value(f"{path}.requests", str(amount), why)]


def _claims(claims: Any, path: str, known: AbstractSet[str]) -> list[Cause]:
    found: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(claims):
        at, name, request = f"{path}[{index}]", claim.get("name", ""), claim.get("request", "")
        if not name:
            found.append(required(at))
            continue
        if request:
            found += names(dns_label, request, f"{at}.request")
        if {(name, ""), (name, request)} & seen or (not request and any(one[0] == name for one in seen)):
            found.append(duplicate(at, name))
        seen.add((name, request))
        if name not in known:
            found.append(value_not_found(at, name))
    return found
