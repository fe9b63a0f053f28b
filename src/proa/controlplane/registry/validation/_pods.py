"""Pods and the templates of pods. Pure."""

from __future__ import annotations

import re
from typing import Any

from proa.controlplane._errors import Cause, duplicate, forbidden, invalid_value, required
from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity
from proa.controlplane.registry._checks import Afterwards, Check, between, named, one_of
from proa.controlplane.registry._metadata import validate_annotations
from proa.controlplane.registry._names import dns_label, dns_subdomain, qualified_name

from ._containers import containers, host_network_ports, trimmed_image
from ._parts import MOST_INT32, each, ip_address, labels, listed, name_even_empty, names
from ._placement import spread, tolerations
from ._resources import pod_resource_name, requirements
from ._security import operating_system, pod_context
from ._volumes import claims_of_pod, pod_volumes

_COST = "controller.kubernetes.io/pod-deletion-cost"
_INT32 = re.compile(r"-?(0|[1-9][0-9]{0,9})")
MIRROR = "kubernetes.io/config.mirror"


def pod(document: Any, path: str) -> list[Cause]:
    """A pod: what its spec says apart from what a template's may."""
    del path
    spec, metadata = document["spec"], document["metadata"]
    found = pod_annotations(metadata, spec, "metadata.annotations")
    found += host_network_ports(spec, "spec", of_pod=True)
    if "volumes" in spec:
        found += claims_of_pod(document)
        found += _tokens(spec)
    for group in ("containers", "initContainers"):
        for container, at in each(spec, group, "spec"):
            found += trimmed_image(container, at)
    return found


def pod_annotations(metadata: Document, spec: Document, path: str) -> list[Cause]:
    """Annotations that mean something of a pod."""
    annotations = metadata.get("annotations")
    if not annotations:
        return []
    found = []
    if MIRROR in annotations and not spec.get("nodeName"):
        why = "must set spec.nodeName if mirror pod annotation is set"
        found.append(invalid_value(f"{path}[{MIRROR}]", annotations[MIRROR], why))
    cost = annotations.get(_COST, "0")
    if not _INT32.fullmatch(cost) or not -(2**31) <= int(cost) <= MOST_INT32:
        found.append(invalid_value(f"{path}[{_COST}]", cost, "must be a 32bit integer"))
    return found


def _tokens(spec: Document) -> list[Cause]:
    if spec.get("serviceAccountName"):
        return []
    why = "must not be specified when serviceAccountName is not set"
    return [
        forbidden(f"{at}.serviceAccountToken", why)
        for index, volume in enumerate(spec["volumes"])
        for source, at in each(volume.get("projected", {}), "sources", f"spec.volumes[{index}].projected")
        if "serviceAccountToken" in source
    ]


def new_pod(pod: Document) -> list[Cause]:
    """What only a new pod must not have."""
    spec, found = pod["spec"], []
    if spec.get("ephemeralContainers"):
        found.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        why = "cannot be set until all schedulingGates have been cleared"
        found.append(forbidden("spec.nodeName", why))
    return found


def template(value: Any, path: str) -> list[Cause]:
    """A pod template: Kubernetes names its labels without the metadata around them."""
    metadata, spec = value.get("metadata") or {}, value.get("spec") or {}
    found = labels(metadata.get("labels"), f"{path}.labels")
    found += validate_annotations(metadata.get("annotations", {}), f"{path}.annotations")
    found += pod_annotations(metadata, spec, f"{path}.annotations")
    found += host_network_ports(spec, f"{path}.spec", of_pod=False)
    if spec.get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        found.append(forbidden(f"{path}.spec.ephemeralContainers", why))
    return found


def _spec(spec: Any, path: str) -> list[Cause]:
    found = containers(spec, path)
    if "volumes" in spec:
        found += pod_volumes(spec, path)
    if spec.get("nodeSelector"):
        found += labels(spec["nodeSelector"], f"{path}.nodeSelector")
    if spec.get("securityContext") or "shareProcessNamespace" in spec or "hostUsers" in spec:
        found += pod_context(spec, path)
    if "topologySpreadConstraints" in spec:
        found += spread(spec, path)
    if "resourceClaims" in spec:
        found += _claims(spec, path)
    if "schedulingGates" in spec:
        found += _gates(spec, path)
    if "overhead" in spec:
        found += requirements({"limits": spec["overhead"]}, f"{path}.overhead", frozenset())
    if "resources" in spec:
        found += _whole(spec, f"{path}.resources")
    found += _dns(spec, path)
    return found + operating_system(spec, path)


def _claims(spec: Document, path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for claim, at in each(spec, "resourceClaims", path):
        name = claim.get("name", "")
        if not name:
            found.append(required(f"{at}.name"))
        elif name in seen:
            found.append(duplicate(f"{at}.name", name))
        else:
            found += names(dns_label, name, f"{at}.name")
        seen.add(name)
        sources = [one for one in ("resourceClaimName", "resourceClaimTemplateName") if one in claim]
        if len(sources) != 1:
            why = "must specify exactly one of: `resourceClaimName`, `resourceClaimTemplateName`"
            found.append(invalid_value(at, claim, why))
        for source in sources:
            found += names(dns_subdomain, claim[source], f"{at}.{source}")
    return found


def _gates(spec: Document, path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for gate, at in each(spec, "schedulingGates", path):
        name = gate.get("name", "")
        found += names(qualified_name, name, at)
        found += [duplicate(at, name)] if name in seen else []
        seen.add(name)
    return found


def _whole(spec: Document, path: str) -> list[Cause]:
    """What a pod requests as a whole is at least what its containers do."""
    resources = spec["resources"]
    if not resources:
        return []
    found = []
    if "claims" in resources:
        found.append(forbidden(f"{path}.claims", "claims cannot be set for Resources at pod-level"))
    found += requirements(resources, path, frozenset(), pod_resource_name)
    asked: dict[str, Any] = {}
    for index, container in enumerate(spec.get("containers", ())):
        own = container.get("resources", {})
        for name, amount in own.get("requests", {}).items():
            asked[name] = asked.get(name, 0) + quantity(amount)
        for name, amount in own.get("limits", {}).items():
            most = resources.get("limits", {}).get(name)
            if most is not None and quantity(amount) > quantity(most):
                why = f"must be less than or equal to pod limits of {most}"
                found.append(invalid_value(f"{path}.containers[{index}][{name}].limits", str(amount), why))
    for name, amount in asked.items():
        whole = resources.get("requests", {}).get(name, "0")
        if amount > quantity(whole):
            why = "must be greater than or equal to aggregate container requests"
            found.append(invalid_value(f"{path}.requests[{name}]", whole, why))
    return found


def _dns(spec: Document, path: str) -> list[Cause]:
    config, at = spec.get("dnsConfig"), f"{path}.dnsConfig"
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(at, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{at}.nameservers", why)]
    if not config:
        return []
    servers, searches = config.get("nameservers", []), config.get("searches", [])
    found = []
    if len(servers) > 3:
        found.append(invalid_value(f"{at}.nameservers", servers, "must not have more than 3 nameservers"))
    for index, server in enumerate(servers):
        found += ip_address(server, f"{at}.nameservers[{index}]")
    if len(searches) > 32:
        found.append(invalid_value(f"{at}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        why = "must not have more than 2048 characters (including spaces) in the search list"
        found.append(invalid_value(f"{at}.searches", searches, why))
    for index, search in enumerate(searches):
        if search != ".":
            plain = search.removesuffix(".").replace("_", "0")
            found += [invalid_value(f"{at}.searches[{index}]", search, why) for why in dns_subdomain(plain)]
    for index, option in enumerate(config.get("options", ())):
        if not option.get("name"):
            found.append(required(f"{at}.options[{index}]", "must not be empty"))
    return found


def _without_sources(spec: Any, path: str, found: list[Cause]) -> list[Cause]:
    """A volume that is wrong is none: who mounts it is told, too."""
    wrong: set[str] = set()
    right: set[str] = set()
    for volume, at in each(spec, "volumes", path):
        is_wrong = any(cause.field == at or cause.field.startswith(f"{at}.") for cause in found)
        (wrong if is_wrong else right).add(volume.get("name", ""))
    return found + [
        Cause("FieldValueNotFound", f"{where}.name", f'Not found: "{mount.get("name", "")}"')
        for group in ("containers", "initContainers", "ephemeralContainers")
        for container, at in each(spec, group, path)
        for kind in ("volumeMounts", "volumeDevices")
        for mount, where in each(container, kind, at)
        if mount.get("name", "") in wrong - right
    ]


def _host_alias(alias: Any, path: str) -> list[Cause]:
    return ip_address(alias.get("ip"), f"{path}.ip")


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.Pod": {"": (pod,)},
    "core.v1.PodTemplateSpec": {"": (template,)},
    "core.v1.PodSpec": {
        "": (_spec,),
        "restartPolicy": (one_of("Always", "OnFailure", "Never", sort=False),),
        "dnsPolicy": (one_of("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None", sort=False),),
        "activeDeadlineSeconds": (between(1, MOST_INT32),),
        "hostname": (named(dns_label),),
        "subdomain": (named(dns_label),),
        "hostnameOverride": (named(dns_subdomain),),
        "nodeName": (named(dns_subdomain),),
        "serviceAccountName": (named(dns_subdomain),),
        "priorityClassName": (named(dns_subdomain),),
        "runtimeClassName": (named(dns_subdomain),),
        "preemptionPolicy": (one_of("PreemptLowerPriority", "Never", sort=False),),
        "tolerations": (tolerations,),
    },
    "core.v1.HostAlias": {"": (_host_alias,), "hostnames": (listed(dns_subdomain),)},
    "core.v1.PodReadinessGate": {"conditionType": (name_even_empty(qualified_name),)},
}
AFTERWARDS: Afterwards = {"core.v1.PodSpec": _without_sources}
