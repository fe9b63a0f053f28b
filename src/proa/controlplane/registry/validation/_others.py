"""Disruption budgets, priorities, leases, runtime classes, certificate requests, API services, device claims.
Pure.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from proa.controlplane._errors import (
    Cause,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    required,
)
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, at_least, between, one_of
from proa.controlplane.registry._names import dns_1035_label, dns_label, dns_subdomain, qualified_name

from ._amounts import amount, most_all
from ._parts import MOST_INT32, labels, name_even_empty, names, not_negative, port_number
from ._placement import tolerations
from ._resources import requirements

_SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_HIGHEST = 1_000_000_000


def _budget(spec: Any, path: str) -> list[Cause]:
    found = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        why = "minAvailable and maxUnavailable cannot be both set"
        found.append(invalid_value(path, spec, why))
    for name in ("minAvailable", "maxUnavailable"):
        value, at = spec.get(name), f"{path}.{name}"
        found += amount(value, at) + most_all(value, at)
    return found


def budget_status(new: Document, old: Document) -> list[Cause]:
    """How many disruptions there may be."""
    del old
    names_ = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    return not_negative(new.get("status") or {}, "status", *names_)


def _priority(priority: Any, path: str) -> list[Cause]:
    del path
    name, value = priority["metadata"].get("name", ""), priority.get("value", 0)
    if name.startswith("system-"):
        if _SYSTEM.get(name) == value and not priority.get("globalDefault"):
            return []
        return [forbidden("metadata.name", "names that begin with 'system-' are the system's own")]
    if value <= _HIGHEST:
        return []
    return [forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST}")]


def _lease(spec: Any, path: str) -> list[Cause]:
    strategy, preferred = spec.get("strategy"), spec.get("preferredHolder")
    found = []
    if strategy is not None and "/" not in strategy and strategy != "OldestEmulationVersion":
        found.append(not_supported(f"{path}.strategy.strategy", strategy, ("OldestEmulationVersion",)))
    elif strategy is not None and "/" in strategy:
        found += names(qualified_name, strategy, f"{path}.strategy.strategy")
    if preferred and not strategy:
        why = "may only be specified if `strategy` is defined"
        found.append(forbidden(f"{path}.preferredHolder", why))
    return found


def _runtime_class(value: Any, path: str) -> list[Cause]:
    del path
    found = names(dns_label, value.get("handler", ""), "handler")
    overhead, scheduling = value.get("overhead"), value.get("scheduling")
    if overhead:
        found += requirements({"limits": overhead.get("podFixed", {})}, "overhead", frozenset())
    if scheduling:
        found += labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
        found += tolerations(scheduling.get("tolerations"), "scheduling.tolerations")
    return found


_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system",
    "ipsec tunnel", "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc",
    "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
)  # fmt: skip


def _certificate_request(spec: Any, path: str) -> list[Cause]:
    found, usages, at = (
        _signer(spec.get("signerName", ""), f"{path}.signerName"),
        spec.get("usages", []),
        f"{path}.usages",
    )
    if not _is_request(spec.get("request", "")):
        found.append(invalid_value(f"{path}.request", "", "must be a PEM certificate signing request"))
    if not usages:
        found.append(required(at, "usages must be provided"))
    for index, usage in enumerate(usages):
        if usage not in _USAGES:
            found.append(not_supported(f"{at}[{index}]", usage, _USAGES))
        elif usage in usages[:index]:
            found.append(duplicate(f"{at}[{index}]", usage))
    seconds = spec.get("expirationSeconds", 600)
    if seconds < 600:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        found.append(invalid_value(f"{path}.expirationSeconds", seconds, why))
    return found


def _is_request(text: str) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE REQUEST-----" in base64.b64decode(text)
    except (binascii.Error, ValueError):
        return False


def _signer(name: str, path: str) -> list[Cause]:
    if not name:
        return [required(path)]
    if name == "kubernetes.io/legacy-unknown":
        return [invalid_value(path, name, "the legacy signerName is not allowed via this API version")]
    parts = name.split("/")
    if len(parts) != 2:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid_value(path, name, why)]
    found = [invalid_value(path, parts[0], why) for why in dns_subdomain(parts[0])]
    if not found and "." not in parts[0]:
        why = "should be a domain with at least two segments separated by dots"
        found.append(invalid_value(path, parts[0], why))
    return found + [invalid_value(path, parts[1], why) for why in dns_subdomain(parts[1])]


def _device_request(request: Any, path: str) -> list[Cause]:
    name, found = request.get("name", ""), []
    found += names(dns_label, name, f"{path}.name") if name else [required(f"{path}.name")]
    if len({"exactly", "firstAvailable"} & request.keys()) != 1:
        found.append(required(path, "exactly one of `exactly` or `firstAvailable` is required"))
    return found


def _device_class_name(value: Any, path: str) -> list[Cause]:
    return names(dns_subdomain, value, path) if value else [required(path)]


def _device_requests(claim: Any, path: str) -> list[Cause]:
    requests = [request.get("name") for request in claim.get("requests", ())]
    return [
        duplicate(f"{path}.requests[{index}].name", name)
        for index, name in enumerate(requests)
        if name and name in requests[:index]
    ]


def _api_service(service: Any, path: str) -> list[Cause]:
    del path
    spec = service["spec"]
    group, version, backend = spec.get("group", ""), spec.get("version", ""), spec.get("service")
    found, name = [], service["metadata"].get("name", "")
    if name != f"{version}.{group}":
        found.append(invalid_value("metadata.name", name, f"must be {version}.{group}"))
    if not group and version != "v1":
        found.append(required("spec.group", "only v1 may have an empty group"))
    found += names(dns_subdomain, group, "spec.group") if group else []
    found += names(dns_1035_label, version, "spec.version")
    for field, most in (("groupPriorityMinimum", 20_000), ("versionPriority", 1000)):
        value = spec.get(field, 0)
        if not 0 < value <= most:
            found.append(invalid_value(f"spec.{field}", value, f"must be positive and less than {most}"))
    bundle, insecure = spec.get("caBundle"), bool(spec.get("insecureSkipTLSVerify"))
    if backend is None:
        local = {"caBundle": bundle, "insecureSkipTLSVerify": insecure}
        why = "local APIServices may not have it"
        return found + [invalid_value(f"spec.{field}", "", why) for field, value in local.items() if value]
    found += [required(f"spec.service.{field}") for field in ("namespace", "name") if not backend.get(field)]
    found += port_number(backend.get("port"), "spec.service.port")
    if insecure and bundle:
        why = "may not be true if caBundle is present"
        found.append(invalid_value("spec.insecureSkipTLSVerify", insecure, why))
    return found


_DEVICE: dict[str, tuple[Check, ...]] = {
    "deviceClassName": (_device_class_name,),
    "allocationMode": (one_of("All", "ExactCount"),),
}
RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "apiregistration.v1.APIService": {"": (_api_service,)},
    "policy.v1.PodDisruptionBudgetSpec": {
        "": (_budget,),
        "unhealthyPodEvictionPolicy": (one_of("AlwaysAllow", "IfHealthyBudget"),),
    },
    "scheduling.v1.PriorityClass": {
        "": (_priority,),
        "preemptionPolicy": (one_of("PreemptLowerPriority", "Never", sort=False),),
    },
    "coordination.v1.LeaseSpec": {
        "": (_lease,),
        "leaseDurationSeconds": (at_least(1, "must be greater than 0"),),
        "leaseTransitions": (at_least(0),),
    },
    "node.v1.RuntimeClass": {"": (_runtime_class,)},
    "certificates.v1.CertificateSigningRequestSpec": {"": (_certificate_request,)},
    "resource.v1.DeviceRequest": {"": (_device_request,)},
    "resource.v1.ExactDeviceRequest": {**_DEVICE, "count": (between(0, MOST_INT32),)},
    "resource.v1.DeviceSubRequest": {"name": (name_even_empty(dns_label),), **_DEVICE},
    "resource.v1.DeviceClaim": {"": (_device_requests,)},
}
