"""What is special about pods: their first status, what may change, and what makes a pod's spec valid.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from proa.controlplane._quantities import quantity

from ._metadata import validate_labels
from ._names import dns_label, dns_subdomain

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
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
    """Guaranteed, Burstable or BestEffort: by whether every container limits what it requests."""
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    resources = [container.get("resources", {}) for container in containers]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= one.get("limits", {}).keys()
        and all(one.get("requests", {}).get(name) == one["limits"][name] for name in ("cpu", "memory"))
        for one in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def validate(pod: Document) -> list[Cause]:
    """All that is wrong with a pod's spec."""
    return validate_spec(pod["spec"], "spec")


def validate_spec(spec: Document, field: str, claims: Iterable[str] = ()) -> list[Cause]:
    """All that is wrong with a pod's spec, which stands at `field`; `claims` are volumes besides its own."""
    found = []
    volumes = spec.get("volumes", [])
    names = [volume.get("name", "") for volume in volumes]
    for index, name in enumerate(names):
        found += _validate_unique_name(name, names[:index], f"{field}.volumes[{index}].name")
    if not spec.get("containers"):
        found.append(required(f"{field}.containers"))
    containers = spec.get("containers", [])
    init = spec.get("initContainers", [])
    known = {*names, *claims}
    found += _validate_containers(containers, f"{field}.containers", known, [])
    taken = [container.get("name", "") for container in containers]
    found += _validate_containers(init, f"{field}.initContainers", known, taken)
    if spec["restartPolicy"] not in RESTART_POLICIES:
        found.append(not_supported(f"{field}.restartPolicy", spec["restartPolicy"], RESTART_POLICIES))
    if spec["dnsPolicy"] not in DNS_POLICIES:
        found.append(not_supported(f"{field}.dnsPolicy", spec["dnsPolicy"], DNS_POLICIES))
    found += validate_labels(spec.get("nodeSelector", {}), f"{field}.nodeSelector")
    if spec.get("nodeName"):
        found += [
            invalid_value(f"{field}.nodeName", spec["nodeName"], why)
            for why in dns_subdomain(spec["nodeName"])
        ]
    if spec.get("activeDeadlineSeconds", 1) < 1:
        why = "must be between 1 and 2147483647, inclusive"
        found.append(invalid_value(f"{field}.activeDeadlineSeconds", spec["activeDeadlineSeconds"], why))
    return found


def _validate_unique_name(name: str, taken: list[str], field: str) -> list[Cause]:
    if not name:
        return [required(field)]
    found = [invalid_value(field, name, why) for why in dns_label(name)]
    return [*found, duplicate(field, name)] if name in taken else found


def _validate_containers(
    containers: list[Document], field: str, volumes: set[str], taken: list[str]
) -> list[Cause]:
    found, seen = [], list(taken)
    for index, container in enumerate(containers):
        at = f"{field}[{index}]"
        found += _validate_unique_name(container.get("name", ""), seen, f"{at}.name")
        seen.append(container.get("name", ""))
        found += _validate_container(container, at, volumes)
    return found


def _validate_container(container: Document, field: str, volumes: set[str]) -> list[Cause]:
    found = []
    if not container.get("image"):
        found.append(required(f"{field}.image"))
    elif container["image"].strip() != container["image"]:
        found.append(
            invalid_value(
                f"{field}.image", container["image"], "must not have leading or trailing whitespace"
            )
        )
    if container.get("imagePullPolicy", "Always") not in PULL_POLICIES:
        found.append(not_supported(f"{field}.imagePullPolicy", container["imagePullPolicy"], PULL_POLICIES))
    for index, port in enumerate(container.get("ports", ())):
        found += _validate_port(port, f"{field}.ports[{index}]")
    for index, variable in enumerate(container.get("env", ())):
        if not variable.get("name"):
            found.append(required(f"{field}.env[{index}].name"))
    for index, mount in enumerate(container.get("volumeMounts", ())):
        found += _validate_mount(mount, f"{field}.volumeMounts[{index}]", volumes)
    return found + _validate_resources(container.get("resources", {}), f"{field}.resources")


def _validate_port(port: Document, field: str) -> list[Cause]:
    found = []
    for name in ("containerPort", "hostPort"):
        number = port.get(name, 1 if name == "hostPort" else 0)
        if not 1 <= number <= 65535:
            found.append(invalid_value(f"{field}.{name}", number, "must be between 1 and 65535, inclusive"))
    if port["protocol"] not in PROTOCOLS:
        found.append(not_supported(f"{field}.protocol", port["protocol"], PROTOCOLS))
    return found


def _validate_mount(mount: Document, field: str, volumes: set[str]) -> list[Cause]:
    found = []
    if not mount.get("name"):
        found.append(required(f"{field}.name"))
    elif mount["name"] not in volumes:
        found.append(value_not_found(f"{field}.name", mount["name"]))
    if not mount.get("mountPath"):
        found.append(required(f"{field}.mountPath"))
    return found


def _validate_resources(resources: Document, field: str) -> list[Cause]:
    found = []
    limits, requests = resources.get("limits", {}), resources.get("requests", {})
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if quantity(amount) < 0:
                why = "must be greater than or equal to 0"
                found.append(invalid_value(f"{field}.{kind}[{name}]", str(amount), why))
    for name, amount in requests.items():
        if name in limits and quantity(amount) > quantity(limits[name]):
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            found.append(invalid_value(f"{field}.requests", str(amount), why))
    return found


_CHANGEABLE = (
    "spec.containers[*].image, spec.initContainers[*].image, spec.activeDeadlineSeconds, "
    "spec.tolerations (additions)"
)


def validate_update(new: Document, old: Document) -> list[Cause]:
    """A pod's spec stays, but for images, the deadline, added tolerations, and gates that open."""
    if _fixed(new["spec"]) == _fixed(old["spec"]):
        return []
    return [forbidden("spec", f"pod updates may not change fields other than {_CHANGEABLE}")]


def _fixed(spec: Document) -> Document:
    changeable = {"activeDeadlineSeconds", "tolerations", "schedulingGates", "terminationGracePeriodSeconds"}
    fixed: dict[str, Any] = {key: value for key, value in spec.items() if key not in changeable}
    for key in ("containers", "initContainers"):
        if key in fixed:
            fixed[key] = [
                {name: value for name, value in one.items() if name != "image"} for one in fixed[key]
            ]
    return fixed
