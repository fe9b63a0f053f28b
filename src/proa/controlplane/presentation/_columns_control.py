"""Columns of what controls others: quotas, autoscalers, admission, flow control, storage drivers, devices."""

from __future__ import annotations

from typing import Any

from proa.controlplane._json import Document

from ._columns import AGE, NAME, NONE, Column, Row, computed, few, joined, value

_UNSET = "<unset>"
_METRICS = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _quota(document: Document, *, limits: bool) -> str:
    status = document.get("status") or {}
    used = status.get("used") or {}
    return ", ".join(
        f"{name}: {used.get(name, '0')}/{hard}"
        for name, hard in sorted((status.get("hard") or {}).items())
        if name.startswith("limits.") is limits
    )


def _targets(scaler: Document) -> str:
    metrics = scaler["spec"].get("metrics") or []
    current = (scaler.get("status") or {}).get("currentMetrics") or []
    if not metrics:
        return NONE
    found = [
        _target(one, current[index] if index < len(current) else {}) for index, one in enumerate(metrics)
    ]
    return few(found, 2, separator=", ")


def _target(metric: Document, status: Document) -> str:
    field = _METRICS.get(metric.get("type", ""))
    if field is None:
        return "<unknown type>"
    source, now = metric.get(field) or {}, (status.get(field) or {}).get("current") or {}
    wanted = source.get("target") or {}
    if field in {"resource", "containerResource"}:
        if "averageValue" in wanted:
            return (
                f"{source.get('name', '')}: {now.get('averageValue', '<unknown>')}/{wanted['averageValue']}"
            )
        percent = now.get("averageUtilization")
        target = wanted.get("averageUtilization")
        return (
            f"{source.get('name', '')}: {'<unknown>' if percent is None else f'{percent}%'}/"
            f"{'<auto>' if target is None else f'{target}%'}"
        )
    if field == "pods":
        return f"{now.get('averageValue', '<unknown>')}/{wanted.get('averageValue', '0')}"
    if "averageValue" in wanted:
        return f"{now.get('averageValue', '<unknown>')}/{wanted['averageValue']} (avg)"
    return f"{now.get('value', '<unknown>')}/{wanted.get('value', '0')}"


def _older_targets(scaler: Document) -> str:
    """An autoscaler in the older version, whose metrics other than the processor's stand in annotations."""
    target = scaler["spec"].get("targetCPUUtilizationPercentage")
    if target is None:
        return NONE
    now = (scaler.get("status") or {}).get("currentCPUUtilizationPercentage")
    return f"cpu: {'<unknown>' if now is None else f'{now}%'}/{target}%"


def _count(name: str, *path: str) -> Column:
    def cell(document: Document) -> int:
        found: Any = document
        for part in path:
            found = (found or {}).get(part)
        return len(found or ())

    return computed(name, cell, kind="integer")


def _param_kind(policy: Document) -> str:
    kind = policy["spec"].get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else _UNSET


def _param_ref(binding: Document) -> str:
    reference = binding["spec"].get("paramRef")
    if not reference:
        return _UNSET
    if reference.get("name"):
        namespace = reference.get("namespace") or "*"
        return f"{namespace}/{reference['name']}"
    return _UNSET


_BINDING = (NAME, value("PolicyName", "spec.policyName"), computed("ParamRef", _param_ref), AGE)


def _flag(name: str, field: str, *, default: bool = False) -> Column:
    return computed(name, lambda driver: bool(driver["spec"].get(field, default)), kind="boolean")


def _audiences(driver: Document) -> str:
    requests = driver["spec"].get("tokenRequests")
    return _UNSET if requests is None else ",".join(one.get("audience", "") for one in requests)


def _missing_level(schema: Document) -> str:
    conditions = (schema.get("status") or {}).get("conditions") or ()
    return next((str(one.get("status", "")) for one in conditions if one.get("type") == "Dangling"), "?")


def _queuing(name: str, field: str) -> Column:
    return value(name, f"spec.limited.limitResponse.queuing.{field}", NONE)


def _claim_state(claim: Document) -> str:
    status, states = claim.get("status") or {}, []
    gone = "deletionTimestamp" in claim["metadata"]
    if gone:
        states.append("deleted")
    if status.get("allocation"):
        states.append("allocated")
        states += ["reserved"] if status.get("reservedFor") else []
    elif not gone:
        states.append("pending")
    return ",".join(states)


def _service(api: Document) -> str:
    backend = api["spec"].get("service")
    return f"{backend.get('namespace', '')}/{backend.get('name', '')}" if backend else "Local"


def _available(api: Document) -> str:
    conditions = (api.get("status") or {}).get("conditions") or ()
    one = next((one for one in conditions if one.get("type") == "Available"), None)
    if one is None:
        return "Unknown"
    return "True" if one.get("status") == "True" else f"{one.get('status')} ({one.get('reason', '')})"


def _parent(address: Document) -> str:
    parent = address["spec"].get("parentRef") or {}
    resource = parent.get("resource", "")
    if parent.get("group"):
        resource = f"{resource}.{parent['group']}"
    return "/".join(part for part in (resource, parent.get("namespace"), parent.get("name")) if part)


_HOOKS = (NAME, _count("Webhooks", "webhooks"), AGE)
_GROUP = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"
_STORAGE = "storage.k8s.io"
COLUMNS: dict[tuple[str, str], Row] = {
    ("", "ResourceQuota"): (
        NAME,
        computed("Request", lambda one: _quota(one, limits=False)),
        computed("Limit", lambda one: _quota(one, limits=True)),
        AGE,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): (
        NAME,
        computed(
            "Reference",
            lambda one: f"{one['spec']['scaleTargetRef']['kind']}/{one['spec']['scaleTargetRef']['name']}",
        ),
        computed(
            "Targets",
            lambda one: _older_targets(one) if "metrics" not in one["spec"] else _targets(one),
        ),
        computed("MinPods", lambda one: str(one["spec"].get("minReplicas", _UNSET))),
        value("MaxPods", "spec.maxReplicas", 0),
        value("Replicas", "status.currentReplicas", 0),
        AGE,
    ),
    (_GROUP, "MutatingWebhookConfiguration"): _HOOKS,
    (_GROUP, "ValidatingWebhookConfiguration"): _HOOKS,
    (_GROUP, "ValidatingAdmissionPolicy"): (
        NAME,
        _count("Validations", "spec", "validations"),
        computed("ParamKind", _param_kind),
        AGE,
    ),
    (_GROUP, "MutatingAdmissionPolicy"): (
        NAME,
        _count("Mutations", "spec", "mutations"),
        computed("ParamKind", _param_kind),
        AGE,
    ),
    (_GROUP, "ValidatingAdmissionPolicyBinding"): _BINDING,
    (_GROUP, "MutatingAdmissionPolicyBinding"): _BINDING,
    (_FLOW, "FlowSchema"): (
        NAME,
        value("PriorityLevel", "spec.priorityLevelConfiguration.name"),
        value("MatchingPrecedence", "spec.matchingPrecedence", 0),
        value("DistinguisherMethod", "spec.distinguisherMethod.type", NONE),
        AGE,
        computed("MissingPL", _missing_level),
    ),
    (_FLOW, "PriorityLevelConfiguration"): (
        NAME,
        value("Type", "spec.type"),
        value("NominalConcurrencyShares", "spec.limited.nominalConcurrencyShares", NONE),
        _queuing("Queues", "queues"),
        _queuing("HandSize", "handSize"),
        _queuing("QueueLengthLimit", "queueLengthLimit"),
        AGE,
    ),
    (_STORAGE, "VolumeAttachment"): (
        NAME,
        Column("Attacher", value("", "spec.attacher").cell, format="name"),
        value("PV", "spec.source.persistentVolumeName"),
        value("Node", "spec.nodeName"),
        computed("Attached", lambda one: bool((one.get("status") or {}).get("attached")), kind="boolean"),
        AGE,
    ),
    (_STORAGE, "CSINode"): (NAME, _count("Drivers", "spec", "drivers"), AGE),
    (_STORAGE, "CSIDriver"): (
        NAME,
        _flag("AttachRequired", "attachRequired", default=True),
        _flag("PodInfoOnMount", "podInfoOnMount"),
        _flag("StorageCapacity", "storageCapacity"),
        computed("TokenRequests", _audiences),
        _flag("RequiresRepublish", "requiresRepublish"),
        computed("Modes", lambda one: joined(one["spec"].get("volumeLifecycleModes") or ())),
        AGE,
    ),
    (_STORAGE, "CSIStorageCapacity"): (
        NAME,
        value("StorageClassName", "storageClassName"),
        value("Capacity", "capacity", _UNSET),
    ),
    (_STORAGE, "VolumeAttributesClass"): (NAME, value("DriverName", "driverName"), AGE),
    ("resource.k8s.io", "DeviceClass"): (NAME, AGE),
    ("resource.k8s.io", "ResourceClaim"): (NAME, computed("State", _claim_state), AGE),
    ("resource.k8s.io", "ResourceClaimTemplate"): (NAME, AGE),
    ("resource.k8s.io", "ResourceSlice"): (
        NAME,
        value("Node", "spec.nodeName"),
        value("Driver", "spec.driver"),
        value("Pool", "spec.pool.name"),
        AGE,
    ),
    ("networking.k8s.io", "ServiceCIDR"): (
        NAME,
        computed("CIDRs", lambda one: ",".join(one["spec"].get("cidrs") or ())),
        AGE,
    ),
    ("networking.k8s.io", "IPAddress"): (NAME, computed("ParentRef", _parent)),
    ("apiregistration.k8s.io", "APIService"): (
        NAME,
        computed("Service", _service),
        computed("Available", _available),
        AGE,
    ),
}
