"""Deployments, replica sets, stateful sets, daemon sets, their revisions; replication controllers. Pure."""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import Cause, forbidden, invalid_value, not_supported, required
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Afterwards, Check, one_of
from proa.controlplane.registry._names import dns_subdomain

from ._amounts import amount, is_zero, most_all
from ._meta import mismatch, selector_of
from ._parts import each, names, not_negative

_ALWAYS = ["Always"]


def _selected_template(spec: Document, path: str, kind: str) -> list[Cause]:
    """A selector that is there, says something, and selects the template; and how that may run."""
    found, selector = [], spec.get("selector")
    if selector is None:
        found.append(required(f"{path}.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        found.append(invalid_value(f"{path}.selector", selector, f"empty selector is invalid for {kind}"))
    parsed = selector_of(selector)
    if parsed is None:
        found.append(invalid_value(f"{path}.selector", selector, "invalid label selector"))
    else:
        found += mismatch(parsed, spec.get("template") or {}, f"{path}.template")
    return found + _lasting(spec.get("template") or {}, f"{path}.template", kind)


def _lasting(template: Document, path: str, kind: str) -> list[Cause]:
    """What runs on and on is always restarted, and has no deadline."""
    spec, found = template.get("spec") or {}, []
    policy = spec.get("restartPolicy", "Always")
    if policy != "Always":
        found.append(not_supported(f"{path}.spec.restartPolicy", policy, _ALWAYS))
    if "activeDeadlineSeconds" in spec:
        why = f"activeDeadlineSeconds in {kind} is not supported"
        found.append(forbidden(f"{path}.spec.activeDeadlineSeconds", why))
    return found


def _deployment(spec: Any, path: str) -> list[Cause]:
    found = _selected_template(spec, path, "deployment")
    found += not_negative(spec, path, "replicas", "minReadySeconds", "revisionHistoryLimit")
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds", 0)
    if deadline is not None:
        found += not_negative(spec, path, "progressDeadlineSeconds")
        if deadline <= ready:
            why = "must be greater than minReadySeconds"
            found.append(invalid_value(f"{path}.progressDeadlineSeconds", deadline, why))
    return found


def _deployment_strategy(strategy: Any, path: str) -> list[Cause]:
    kind, rolling = strategy.get("type", ""), strategy.get("rollingUpdate")
    if kind == "Recreate":
        why = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden(f"{path}.rollingUpdate", why)] if rolling is not None else []
    if kind != "RollingUpdate":
        return [not_supported(path, strategy, ["Recreate", "RollingUpdate"])]
    at = f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    found = amount(unavailable, f"{at}.maxUnavailable") + amount(surge, f"{at}.maxSurge")
    if is_zero(unavailable) and is_zero(surge):
        why = "may not be 0 when `maxSurge` is 0"
        found.append(invalid_value(f"{at}.maxUnavailable", unavailable, why))
    return found + most_all(unavailable, f"{at}.maxUnavailable")


def _replica_set(spec: Any, path: str) -> list[Cause]:
    found = _selected_template(spec, path, "deployment")
    return found + not_negative(spec, path, "replicas", "minReadySeconds")


def _replication_controller(spec: Any, path: str) -> list[Cause]:
    found = not_negative(spec, path, "replicas", "minReadySeconds")
    selector, template = spec.get("selector"), spec.get("template")
    if not selector:
        found.append(required(f"{path}.selector"))
    if template is None:
        return [*found, required(f"{path}.template")]
    parsed = selector_of({"matchLabels": selector or {}})
    found += mismatch(parsed, template, f"{path}.template") if parsed else []
    return found + _lasting(template, f"{path}.template", "replication controller")


def _stateful_set(spec: Any, path: str) -> list[Cause]:
    found = _selected_template(spec, path, "statefulset")
    found += not_negative(spec, path, "replicas", "minReadySeconds", "revisionHistoryLimit")
    policy = spec.get("podManagementPolicy")
    if policy not in {"OrderedReady", "Parallel"}:
        why = "must be 'OrderedReady' or 'Parallel'"
        found.append(invalid_value(f"{path}.podManagementPolicy", policy, why))
    start = (spec.get("ordinals") or {}).get("start", 0)
    if start < 0:
        why = "must be greater than or equal to 0"
        found.append(invalid_value(f"{path}.ordinals.start", start, why))
    if spec.get("serviceName"):
        found += names(dns_subdomain, spec["serviceName"], f"{path}.serviceName")
    return found


def _stateful_set_strategy(strategy: Any, path: str) -> list[Cause]:
    kind, rolling, at = strategy.get("type", ""), strategy.get("rollingUpdate"), f"{path}.rollingUpdate"
    if kind == "OnDelete":
        why = "only allowed for updateStrategy 'RollingUpdate'"
        return [invalid_value(at, rolling, why)] if rolling is not None else []
    if kind != "RollingUpdate":
        return [invalid_value(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is None:
        return []
    found, most = not_negative(rolling, at, "partition"), rolling.get("maxUnavailable")
    if most is None:
        return found
    found += amount(most, f"{at}.maxUnavailable") + most_all(most, f"{at}.maxUnavailable")
    return found + ([invalid_value(f"{at}.maxUnavailable", most, "cannot be 0")] if is_zero(most) else [])


def _daemon_set(spec: Any, path: str) -> list[Cause]:
    found, selector = [], spec.get("selector")
    if selector is None:
        found.append(required(f"{path}.selector"))
    parsed, template = selector_of(selector), spec.get("template") or {}
    if parsed is not None:
        found += mismatch(parsed, template, f"{path}.template")
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        found.append(invalid_value(f"{path}.selector", selector, "empty selector is invalid for daemonset"))
    found += _lasting(template, f"{path}.template", "daemon set")
    return found + not_negative(spec, path, "minReadySeconds", "revisionHistoryLimit")


def _daemon_set_strategy(strategy: Any, path: str) -> list[Cause]:
    kind, rolling, at = strategy.get("type", ""), strategy.get("rollingUpdate"), f"{path}.rollingUpdate"
    if kind == "OnDelete":
        return []
    if kind != "RollingUpdate":
        return [not_supported(path, strategy, ["RollingUpdate", "OnDelete"])]
    if rolling is None:
        return [required(at)]
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    found: list[Cause] = []
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        found += amount(value, f"{at}.{name}") + most_all(value, f"{at}.{name}")
    if is_zero(unavailable) and is_zero(surge):
        found.append(required(f"{at}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    elif not is_zero(unavailable) and not is_zero(surge):
        why = "may not be set when maxUnavailable is non-zero"
        found.append(invalid_value(f"{at}.maxSurge", surge, why))
    return found


def _revision(revision: Any, path: str) -> list[Cause]:
    del path
    found = [] if revision.get("data") is not None else [required("data", "data is mandatory")]
    if revision.get("revision", 0) < 0:
        why = "must be greater than or equal to 0"
        found.append(invalid_value("revision", revision["revision"], why))
    return found


_STATUSES = {
    "replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "unavailableReplicas",
    "currentReplicas", "fullyLabeledReplicas", "observedGeneration", "collisionCount", "terminatingReplicas",
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
    "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
}  # fmt: skip
_PARTS = ("updatedReplicas", "readyReplicas", "availableReplicas", "currentReplicas", "fullyLabeledReplicas")


def workload_status(new: Document, old: Document) -> list[Cause]:
    """Counts that are not negative, of which none is more than the whole."""
    status = new.get("status") or {}
    found = not_negative(status, "status", *(name for name in _STATUSES if name in status))
    if "numberReady" not in status and "desiredNumberScheduled" not in status:
        whole = status.get("replicas", 0)
        found += [
            invalid_value(f"status.{name}", status[name], "cannot be greater than status.replicas")
            for name in _PARTS
            if status.get(name, 0) > whole
        ]
        if status.get("availableReplicas", 0) > status.get("readyReplicas", 0):
            why = "cannot be greater than readyReplicas"
            found.append(invalid_value("status.availableReplicas", status["availableReplicas"], why))
    before = (old.get("status") or {}).get("collisionCount")
    if before is not None and status.get("collisionCount", 0) < before:
        value = status.get("collisionCount", 0)
        found.append(invalid_value("status.collisionCount", value, "cannot be decremented"))
    return found


_RETENTION: tuple[Check, ...] = (one_of("Retain", "Delete", sort=False),)
RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "apps.v1.DeploymentSpec": {"": (_deployment,)},
    "apps.v1.DeploymentStrategy": {"": (_deployment_strategy,)},
    "apps.v1.ReplicaSetSpec": {"": (_replica_set,)},
    "core.v1.ReplicationControllerSpec": {"": (_replication_controller,)},
    "apps.v1.StatefulSetSpec": {"": (_stateful_set,)},
    "apps.v1.StatefulSetUpdateStrategy": {"": (_stateful_set_strategy,)},
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": {
        "whenDeleted": _RETENTION,
        "whenScaled": _RETENTION,
    },
    "apps.v1.DaemonSetSpec": {"": (_daemon_set,)},
    "apps.v1.DaemonSetUpdateStrategy": {"": (_daemon_set_strategy,)},
    "apps.v1.ControllerRevision": {"": (_revision,)},
}


def _claimed_volumes(spec: Any, path: str, found: list[Cause]) -> list[Cause]:
    """A stateful set's containers may mount the volumes that it claims."""
    claimed = {claim.get("metadata", {}).get("name", "") for claim in spec.get("volumeClaimTemplates", ())}
    if not claimed:
        return found
    pod, at = (spec.get("template") or {}).get("spec") or {}, f"{path}.template.spec"
    known = {
        f"{where}.name"
        for group in ("containers", "initContainers")
        for container, place in each(pod, group, at)
        for kind in ("volumeMounts", "volumeDevices")
        for mount, where in each(container, kind, place)
        if mount.get("name", "") in claimed
    }
    return [cause for cause in found if cause.field not in known or cause.reason != "FieldValueNotFound"]


AFTERWARDS: Afterwards = {"apps.v1.StatefulSetSpec": _claimed_volumes}
