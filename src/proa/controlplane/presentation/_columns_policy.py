"""Columns of what rules over others: quotas, autoscalers, budgets, admission, flow control."""

from __future__ import annotations

from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.selectors import to_text

from ._columns import AGE, NAME, NONE, UNKNOWN, Column, computed, few, value


def _quota(*, limits: bool) -> Any:
    def cell(quota: Document) -> str:
        status = quota.get("status") or {}
        used = status.get("used") or {}
        return ", ".join(
            f"{name}: {used.get(name, '0')}/{hard}"
            for name, hard in sorted((status.get("hard") or {}).items())
            if name.startswith("limits.") is limits
        )

    return cell


_SOURCES = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _targets(scaler: Document) -> str:
    now = (scaler.get("status") or {}).get("currentMetrics") or []
    specs = scaler["spec"].get("metrics") or []
    found = [_target(spec, now[index] if index < len(now) else {}) for index, spec in enumerate(specs)]
    return few(found, 2, ", ") or NONE


def _target(spec: Document, status: Document) -> str:
    source = _SOURCES.get(spec.get("type", ""))
    if source is None:
        return "<unknown type>"
    about = spec.get(source) or {}
    target, current = about.get("target") or {}, (status.get(source) or {}).get("current") or {}
    if "esource" in source:
        if target.get("averageValue"):
            return f"{about['name']}: {current.get('averageValue', UNKNOWN)}/{target['averageValue']}"
        wanted = target.get("averageUtilization")
        reached = current.get("averageUtilization")
        return (
            f"{about['name']}: {UNKNOWN if reached is None else f'{reached}%'}"
            f"/{'<auto>' if wanted is None else f'{wanted}%'}"
        )
    if target.get("averageValue"):
        average = "" if source == "pods" else " (avg)"
        return f"{current.get('averageValue', UNKNOWN)}/{target['averageValue']}{average}"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', '0')}"


def _count(name: str, path: str) -> Column:
    def cell(document: Document) -> int:
        found: Any = document
        for part in path.split("."):
            found = (found or {}).get(part)
        return len(found or ())

    return computed(name, cell, kind="integer")


def _parameter_kind(policy: Document) -> str:
    kind = policy["spec"].get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else "<unset>"


def _parameters(binding: Document) -> str:
    reference = binding["spec"].get("paramRef")
    if not reference:
        return "<unset>"
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    return to_text(reference.get("selector")) or "<unset>"


def _missing_level(schema: Document) -> str:
    conditions = (schema.get("status") or {}).get("conditions") or ()
    return next((one["status"] for one in conditions if one["type"] == "Dangling"), "?")


_WEBHOOKS = (NAME, _count("Webhooks", "webhooks"), AGE)
_BINDING = (NAME, value("PolicyName", "spec.policyName"), computed("ParamRef", _parameters), AGE)
_QUEUING = "spec.limited.limitResponse.queuing"
_ADMISSION = "admissionregistration.k8s.io"
_FLOW = "flowcontrol.apiserver.k8s.io"


def _service(api: Document) -> str:
    backend = api["spec"].get("service")
    return f"{backend.get('namespace', '')}/{backend.get('name', '')}" if backend else "Local"


def _available(api: Document) -> str:
    conditions = (api.get("status") or {}).get("conditions") or ()
    one = next((one for one in conditions if one.get("type") == "Available"), None)
    if one is None:
        return "Unknown"
    return "True" if one.get("status") == "True" else f"{one.get('status')} ({one.get('reason', '')})"


COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "ResourceQuota"): (
        NAME,
        computed("Request", _quota(limits=False)),
        computed("Limit", _quota(limits=True)),
        AGE,
    ),
    ("policy", "PodDisruptionBudget"): (
        NAME,
        computed("Min Available", lambda one: str(one["spec"].get("minAvailable", "N/A"))),
        computed("Max Unavailable", lambda one: str(one["spec"].get("maxUnavailable", "N/A"))),
        value("Allowed Disruptions", "status.disruptionsAllowed", 0, kind="integer"),
        AGE,
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): (
        NAME,
        computed(
            "Reference",
            lambda one: f"{one['spec']['scaleTargetRef']['kind']}/{one['spec']['scaleTargetRef']['name']}",
        ),
        computed("Targets", _targets),
        computed("MinPods", lambda one: str(one["spec"].get("minReplicas", "<unset>"))),
        value("MaxPods", "spec.maxReplicas", 0),
        value("Replicas", "status.currentReplicas", 0),
        AGE,
    ),
    (_ADMISSION, "MutatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "ValidatingAdmissionPolicy"): (
        NAME,
        _count("Validations", "spec.validations"),
        computed("ParamKind", _parameter_kind),
        AGE,
    ),
    (_ADMISSION, "MutatingAdmissionPolicy"): (
        NAME,
        _count("Mutations", "spec.mutations"),
        computed("ParamKind", _parameter_kind),
        AGE,
    ),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): _BINDING,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): _BINDING,
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
        value("Queues", f"{_QUEUING}.queues", NONE),
        value("HandSize", f"{_QUEUING}.handSize", NONE),
        value("QueueLengthLimit", f"{_QUEUING}.queueLengthLimit", NONE),
        AGE,
    ),
    ("apiregistration.k8s.io", "APIService"): (
        NAME,
        computed("Service", _service),
        computed("Available", _available),
        AGE,
    ),
}
