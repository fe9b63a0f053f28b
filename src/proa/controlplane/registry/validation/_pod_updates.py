"""What of a pod may change: by its users, in its status, its ephemeral containers, its resources. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from proa.controlplane._errors import Cause, duplicate, forbidden, invalid_value, required
from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity
from proa.controlplane.registry._names import dns_subdomain, qualified_name

from ._containers import trimmed_image
from ._parts import MOST_INT32, address_of, each, ip_address, names
from ._placement import tolerations
from ._pods import MIRROR, pod_annotations

_CHANGEABLE = (
    "spec.containers[*].image, spec.initContainers[*].image, spec.activeDeadlineSeconds, "
    "spec.tolerations (additions), spec.terminationGracePeriodSeconds (to 1 if it was negative)"
)
_GROUPS = ("containers", "initContainers")
_CONDITIONS = frozenset({"PodScheduled", "Ready", "Initialized"})


def pod_update(new: Document, old: Document) -> list[Cause]:
    """A pod's spec stays, but for images, the deadline, added tolerations, and gates that open."""
    after, before = new["spec"], old["spec"]
    found = _annotations(new, old)
    for group in _GROUPS:
        if len(after.get(group, ())) != len(before.get(group, ())):
            why = "pod updates may not add or remove containers"
            return [*found, forbidden(f"spec.{group}", why)]
        for container, at in each(after, group, "spec"):
            found += [] if container.get("image") else [required(f"{at}.image")]
            found += trimmed_image(container, at)
    wrong_deadline, stop = _deadline(after, before)
    found += wrong_deadline
    if stop:
        return found
    found += _tolerations(after, before) + _gates(after, before)
    kept, gated = dict(after), bool(before.get("schedulingGates"))
    if gated:
        found += _placement(kept, before)
    if _comparable(kept, before) != _comparable(before, before):
        found.append(forbidden("spec", f"pod updates may not change fields other than {_CHANGEABLE}"))
    return found


def _annotations(new: Document, old: Document) -> list[Cause]:
    after, before = new["metadata"].get("annotations", {}), old["metadata"].get("annotations", {})
    if not after and not before:
        return []
    found = pod_annotations(new["metadata"], new["spec"], "metadata.annotations")
    if after.get(MIRROR) != before.get(MIRROR):
        why = "may not add, remove or update mirror pod annotation"
        found.append(forbidden(f"metadata.annotations[{MIRROR}]", why))
    return found


def _deadline(after: Document, before: Document) -> tuple[list[Cause], bool]:
    value, was, at = (
        after.get("activeDeadlineSeconds"),
        before.get("activeDeadlineSeconds"),
        "spec.activeDeadlineSeconds",
    )
    if value is None:
        why = "must not update from a positive integer to nil value"
        return ([] if was is None else [invalid_value(at, None, why)]), False
    if not 0 <= value <= MOST_INT32:
        return [invalid_value(at, value, "must be between 0 and 2147483647, inclusive")], True
    if was is not None and was < value:
        return [invalid_value(at, value, "must be less than or equal to previous value")], True
    return [], False


def _tolerations(after: Document, before: Document) -> list[Cause]:
    values = after.get("tolerations", [])
    kept = [_but(toleration, "tolerationSeconds") for toleration in values]
    for toleration in before.get("tolerations", ()):
        if _but(toleration, "tolerationSeconds") not in kept:
            why = "existing toleration can not be modified except its tolerationSeconds"
            return [forbidden("spec.tolerations", why)]
    return tolerations(values, "spec.tolerations")


def _but(value: Document, *fields: str) -> Document:
    return {name: item for name, item in value.items() if name not in fields}


def _gates(after: Document, before: Document) -> list[Cause]:
    known = {gate.get("name") for gate in before.get("schedulingGates", ())}
    why = "only deletion is allowed, but found new scheduling gate"
    return [
        forbidden(f"{at}.name", f"{why} '{gate.get('name')}'")
        for gate, at in each(after, "schedulingGates", "spec")
        if gate.get("name") not in known
    ]


def _placement(kept: Document, before: Document) -> list[Cause]:
    """While it is gated, a pod may be told more of where it can run: that is put back once it is checked."""
    found = []
    wanted, was = kept.get("nodeSelector", {}), before.get("nodeSelector", {})
    if any(wanted.get(key) != value for key, value in was.items()):
        why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        found.append(invalid_value("spec.nodeSelector", wanted, why))
    terms, at = _terms(kept), "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    old_terms = _terms(before)
    if old_terms and len(terms) != len(old_terms):
        why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        found.append(invalid_value(f"{at}.nodeSelectorTerms", terms, why))
    elif old_terms:
        why = "only additions are allowed (no mutations or deletions)"
        found += [
            invalid_value(f"{at}.nodeSelectorTerms[{index}]", terms[index], why)
            for index, term in enumerate(old_terms)
            if not _extends(terms[index], term)
        ]
    for field in ("nodeSelector", "affinity"):
        kept.pop(field, None)
        if field in before:
            kept[field] = before[field]
    return found


def _terms(spec: Document) -> list[Document]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required_: Document = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms: list[Document] = required_.get("nodeSelectorTerms", [])
    return terms


def _extends(term: Document, old: Document) -> bool:
    if not any(old.values()):
        return not any(term.values())
    return all(
        term.get(field, [])[: len(old.get(field, ()))] == old.get(field, [])
        for field in ("matchExpressions", "matchFields")
    )


def _comparable(spec: Document, before: Document) -> Document:
    kept = _but(spec, "activeDeadlineSeconds", "tolerations", "schedulingGates")
    grace = before.get("terminationGracePeriodSeconds", 0)
    if grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        kept["terminationGracePeriodSeconds"] = grace
    for group in _GROUPS:
        if group in kept:
            kept[group] = [_but(container, "image") for container in kept[group]]
    return kept


def pod_status(new: Document, old: Document) -> list[Cause]:
    """A pod's quality of service stays, what has ended does not run again, and addresses are addresses."""
    after, before = new.get("status") or {}, old.get("status") or {}
    found = _annotations(new, old)
    for index, condition in enumerate(after.get("conditions", ())):
        if condition.get("type") not in _CONDITIONS:
            at = f"metadata.conditions[{index}].Type"
            found += names(qualified_name, condition.get("type", ""), at)
    nominated = after.get("nominatedNodeName", "")
    if nominated and nominated != before.get("nominatedNodeName"):
        found += names(dns_subdomain, nominated, "status.nominatedNodeName")
    if after.get("qosClass") != before.get("qosClass"):
        found.append(invalid_value("status.qosClass", after.get("qosClass"), "field is immutable"))
    if any(after.get(field) != before.get(field) for field in _STATUSES):
        policy = old["spec"].get("restartPolicy", "Always")
        always = {
            one["name"]
            for one in old["spec"].get("initContainers", ())
            if one.get("restartPolicy") == "Always"
        }
        found += _transitions(after, before, "containerStatuses", policy, set())
        found += _transitions(after, before, "initContainerStatuses", policy, always)
        found += _transitions(after, before, "ephemeralContainerStatuses", "Never", set())
    return found + _addresses(after, "podIPs") + _host_address(after) + _addresses(after, "hostIPs")


_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def _transitions(after: Document, before: Document, field: str, policy: str, always: set[str]) -> list[Cause]:
    if policy == "Always" and field != "ephemeralContainerStatuses":
        return []
    running = {one["name"] for one in after.get(field, ()) if "terminated" not in (one.get("state") or {})}
    found = []
    for index, one in enumerate(before.get(field, ())):
        ended = (one.get("state") or {}).get("terminated")
        may = ended is None or (policy == "OnFailure" and ended.get("exitCode")) or one["name"] in always
        if not may and one["name"] in running:
            why = "may not be transitioned to non-terminated state"
            found.append(forbidden(f"status.{field}[{index}].state", why))
    return found


def _addresses(status: Document, field: str) -> list[Cause]:
    values = [one.get("ip", "") for one in status.get(field, ())]
    found = [
        cause for index, value in enumerate(values) for cause in ip_address(value, f"status.{field}[{index}]")
    ]
    if len(values) > 1:
        families = {address.version for address in map(address_of, values) if address}
        if len(families) < 2 or len(values) > 2:
            why = "may specify no more than one IP for each IP family"
            found.append(invalid_value(f"status.{field}", values, why))
        found += [
            duplicate(f"status.{field}[{index}]", value)
            for index, value in enumerate(values)
            if value in values[:index]
        ]
    return found


def _host_address(status: Document) -> list[Cause]:
    addresses = status.get("hostIPs", [])
    if not addresses or status.get("hostIP", "") == addresses[0].get("ip"):
        return []
    return [invalid_value("status.hostIPs[0].ip", addresses[0].get("ip"), "must be equal to `hostIP`")]


def ephemeral_containers(new: Document, old: Document) -> list[Cause]:
    """Ephemeral containers are only added."""
    if MIRROR in old["metadata"].get("annotations", {}):
        return [forbidden("", "static pods do not support ephemeral containers")]
    found = _annotations(new, old)
    there = {one.get("name"): one for one in new["spec"].get("ephemeralContainers", ())}
    for one in old["spec"].get("ephemeralContainers", ()):
        if one.get("name") not in there:
            why = f"existing ephemeral containers {one.get('name')!r} may not be removed"
            found.append(forbidden("spec.ephemeralContainers", why))
        elif there[one["name"]] != one:
            why = f"existing ephemeral containers {one.get('name')!r} may not be changed"
            found.append(forbidden("spec.ephemeralContainers", why))
    return found


def resize(quality: Callable[[Document], str]) -> Callable[[Document, Document], list[Cause]]:
    """Only processor and memory change, and neither a pod's quality of service nor what it is made of."""

    def check(new: Document, old: Document) -> list[Cause]:
        after, before = new["spec"], old["spec"]
        if MIRROR in old["metadata"].get("annotations", {}):
            return [forbidden("", "static pods cannot be resized")]
        if (before.get("os") or {}).get("name") == "windows":
            return [forbidden("", "windows pods cannot be resized")]
        found = []
        if quality(after) != quality(before):
            why = "Pod QOS Class may not change as a result of resizing"
            found.append(invalid_value("spec", quality(before), why))
        for group in reversed(_GROUPS):
            for new_one, old_one, at in _pairs(after, before, group):
                sidecar = group == "initContainers" and old_one.get("restartPolicy") == "Always"
                if group == "containers" or sidecar:
                    found += _resized(new_one, old_one, f"{at}.resources")
                elif new_one.get("resources", {}) != old_one.get("resources", {}):
                    why = "resources for non-sidecar init containers are immutable"
                    found.append(forbidden("spec", why))
        return found

    return check


def _pairs(after: Document, before: Document, group: str) -> Iterator[tuple[Document, Document, str]]:
    ones = zip(after.get(group, ()), before.get(group, ()), strict=False)
    for index, (new, old) in enumerate(ones):
        yield new, old, f"spec.{group}[{index}]"


def _resized(new: Document, old: Document, path: str) -> list[Cause]:
    after, before = new.get("resources") or {}, old.get("resources") or {}
    found = [
        forbidden(f"{path}.{kind}", f"resource {kind} cannot be removed")
        for kind in ("requests", "limits")
        if set(before.get(kind, ())) - set(after.get(kind, ()))
    ]
    others: list[Any] = [
        {kind: _but(one.get(kind, {}), "cpu", "memory") for kind in ("requests", "limits")}
        for one in (after, before)
    ]
    if others[0] != others[1]:
        found.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return found + _memory_limit(new, after, before, path)


def _memory_limit(new: Document, after: Document, before: Document, path: str) -> list[Cause]:
    """A container whose memory changes without a restart cannot be given a limit that it had not."""
    policies = {one.get("resourceName"): one.get("restartPolicy") for one in new.get("resizePolicy", ())}
    limit, was = after.get("limits", {}).get("memory"), before.get("limits", {}).get("memory")
    if policies.get("memory", "NotRequired") != "NotRequired" or limit is None or was is not None:
        return []
    why = "memory limits cannot be added unless resizePolicy is RestartContainer"
    return [forbidden(f"{path}.limits[memory]", why)] if quantity(limit) else []
