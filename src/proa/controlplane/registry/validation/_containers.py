"""A pod's containers: names, ports, environment, mounts, probes, resources. Pure."""

from __future__ import annotations

from collections.abc import Mapping
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
from proa.controlplane.registry._checks import Check, one_of
from proa.controlplane.registry._names import dns_label, dns_subdomain, environment_name, port_name

from ._mounts import devices, mounts
from ._parts import (
    PROTOCOLS,
    each,
    key_in,
    names,
    needed_name,
    port_number,
)
from ._probes import PROBES, running
from ._resources import requirements
from ._security import unmasked
from ._volumes import ENVIRONMENT_PATHS, field_reference, resource_reference

_POLICY = one_of("FallbackToLogsOnError", "File")
_PULL = one_of("Always", "IfNotPresent", "Never")
_PROTOCOL = one_of(*PROTOCOLS)
_EPHEMERAL_FORBIDDEN = (
    "ports",
    "resources",
    *PROBES,
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
)
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def containers(spec: Document, path: str) -> list[Cause]:
    """All containers of a pod's spec."""
    volumes = {volume.get("name", ""): volume for volume in spec.get("volumes", ())}
    claims = {claim.get("name", "") for claim in spec.get("resourceClaims", ())}
    if not spec.get("containers"):
        found = [required(f"{path}.containers")]
    else:
        found = _regular(spec, path, volumes, claims)
    if "initContainers" in spec:
        found += _initial(spec, path, volumes, claims)
    if "ephemeralContainers" in spec:
        found += _ephemeral(spec, path, volumes, claims)
    return found


def _regular(
    spec: Document, path: str, volumes: Mapping[str, Document], claims: AbstractSet[str]
) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    ports: set[tuple[Any, ...]] = set()
    for container, at in each(spec, "containers", path):
        found += _common(container, at, spec, volumes, claims)
        found += _unique(container, at, seen)
        found += running(container, at, spec)
        found += _host_ports(container, at, ports)
        if "restartPolicy" in container and container["restartPolicy"] not in _RESTARTS:
            found.append(not_supported(f"{at}.restartPolicy", container["restartPolicy"], _RESTARTS))
    return found


_RESTARTS = ("Always", "Never", "OnFailure")


def _initial(
    spec: Document, path: str, volumes: Mapping[str, Document], claims: AbstractSet[str]
) -> list[Cause]:
    found: list[Cause] = []
    seen = {container.get("name", "") for container in spec.get("containers", ())}
    for container, at in each(spec, "initContainers", path):
        found += _common(container, at, spec, volumes, claims)
        found += _unique(container, at, seen)
        found += _host_ports(container, at, set())
        policy = container.get("restartPolicy")
        if policy is not None and policy not in _RESTARTS:
            found.append(not_supported(f"{at}.restartPolicy", policy, _RESTARTS))
        if policy == "Always":
            found += running(container, at, spec)
            continue
        why = "may not be set for init containers without restartPolicy=Always"
        found += [forbidden(f"{at}.{field}", why) for field in ("lifecycle", *PROBES) if field in container]
    return found


def _ephemeral(
    spec: Document, path: str, volumes: Mapping[str, Document], claims: AbstractSet[str]
) -> list[Cause]:
    found: list[Cause] = []
    others = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    lasting = {container.get("name", "") for container in others}
    seen = set(lasting)
    why = "cannot be set for an Ephemeral Container"
    for container, at in each(spec, "ephemeralContainers", path):
        found += _common(container, at, spec, volumes, claims)
        found += trimmed_image(container, at)
        found += _unique(container, at, seen)
        target = container.get("targetContainerName", "")
        if target and target not in lasting:
            found.append(value_not_found(f"{at}.targetContainerName", target))
        found += [forbidden(f"{at}.{field}", why) for field in _EPHEMERAL_FORBIDDEN if container.get(field)]
        for mount, where in each(container, "volumeMounts", at):
            found += [
                forbidden(f"{where}.{name}", why) for name in ("subPath", "subPathExpr") if mount.get(name)
            ]
    return found


def _unique(container: Document, path: str, seen: set[str]) -> list[Cause]:
    name = container.get("name", "")
    if name in seen:
        return [duplicate(f"{path}.name", name)]
    if name:
        seen.add(name)
    return []


def trimmed_image(container: Document, path: str) -> list[Cause]:
    """A pod's image has no blanks around it (a template's may)."""
    image = container.get("image", "")
    if image == image.strip():
        return []
    return [invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")]


def _common(
    container: Document, path: str, spec: Document, volumes: Mapping[str, Document], claims: AbstractSet[str]
) -> list[Cause]:
    name = container.get("name")
    found = names(dns_label, name, f"{path}.name") if name else [required(f"{path}.name")]
    if not container.get("image"):
        found.append(required(f"{path}.image"))
    found += _POLICY(container.get("terminationMessagePolicy"), f"{path}.terminationMessagePolicy")
    found += _PULL(container.get("imagePullPolicy"), f"{path}.imagePullPolicy")
    if "ports" in container:
        found += _ports(container, path)
    if "env" in container:
        found += _environment(container, path)
    if "envFrom" in container:
        found += _environment_sources(container, path)
    if "volumeMounts" in container:
        found += mounts(container, path, volumes)
    if "volumeDevices" in container:
        found += devices(container, path, volumes)
    if container.get("resources"):
        found += requirements(container["resources"], f"{path}.resources", claims)
    if "resizePolicy" in container:
        found += _resizing(container, path, spec)
    context = container.get("securityContext")
    if context and spec.get("hostUsers", True):
        found += unmasked(context, f"{path}.securityContext")
    return found


def _ports(container: Document, path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for port, at in each(container, "ports", path):
        name = port.get("name")
        if name:
            wrong = names(port_name, name, f"{at}.name")
            found += wrong or ([duplicate(f"{at}.name", name)] if name in seen else [])
            seen.add(name)
        if port.get("containerPort"):
            found += port_number(port["containerPort"], f"{at}.containerPort")
        else:
            found.append(required(f"{at}.containerPort"))
        if port.get("hostPort"):
            found += port_number(port["hostPort"], f"{at}.hostPort")
        found += _PROTOCOL(port.get("protocol"), f"{at}.protocol")
    return found


def _host_ports(container: Document, path: str, taken: set[tuple[Any, ...]]) -> list[Cause]:
    found = []
    for port, at in each(container, "ports", path):
        if not port.get("hostPort"):
            continue
        key = (port.get("protocol"), port.get("hostIP", ""), port["hostPort"])
        if key in taken:
            found.append(duplicate(f"{at}.hostPort", "/".join(map(str, key))))
        taken.add(key)
    return found


def host_network_ports(spec: Document, path: str, *, of_pod: bool) -> list[Cause]:
    """On the host's network, a container's port is the host's."""
    if not spec.get("hostNetwork"):
        return []
    why = "must match `containerPort` when `hostNetwork` is true"
    return [
        invalid_value(f"{at}.hostPort", port.get("hostPort", 0), why)
        for container, place in each(spec, "containers", path)
        for port, at in each(container, "ports", place)
        if (of_pod or port.get("hostPort")) and port.get("hostPort", 0) != port.get("containerPort", 0)
    ]


def _environment(container: Document, path: str) -> list[Cause]:
    found: list[Cause] = []
    for variable, at in each(container, "env", path):
        name = variable.get("name")
        found += names(environment_name, name, f"{at}.name") if name else [required(f"{at}.name")]
        if "valueFrom" in variable:
            found += _value_source(variable, f"{at}.valueFrom")
    return found


def _value_source(variable: Document, path: str) -> list[Cause]:
    source, found = variable["valueFrom"], []
    there = [name for name in _SOURCES if name in source]
    if "fieldRef" in source:
        found += field_reference(source["fieldRef"], f"{path}.fieldRef", ENVIRONMENT_PATHS)
    if "resourceFieldRef" in source:
        found += resource_reference(source["resourceFieldRef"], f"{path}.resourceFieldRef", of_file=False)
    if not there:
        found.append(
            invalid_value(path, "", "must specify where the value comes from, for example `fieldRef`")
        )
    elif variable.get("value"):
        found.append(invalid_value(path, "", "may not be specified when `value` is not empty"))
    elif len(there) > 1:
        found.append(invalid_value(path, "", "may not have more than one field specified at a time"))
    return found


def _environment_sources(container: Document, path: str) -> list[Cause]:
    found: list[Cause] = []
    for source, at in each(container, "envFrom", path):
        if source.get("prefix"):
            found += names(environment_name, source["prefix"], f"{at}.prefix")
        there = [name for name in ("configMapRef", "secretRef") if name in source]
        if len(there) != 1:
            why = "must specify one of: `configMapRef` or `secretRef`"
            found.append(invalid_value(f"{path}.envFrom", "", why))
    return found


def _resizing(container: Document, path: str, spec: Document) -> list[Cause]:
    at, found = f"{path}.resizePolicy", []
    seen: set[str] = set()
    for index, policy in enumerate(container["resizePolicy"]):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            found.append(duplicate(f"{at}[{index}]", name))
        seen.add(name)
        found += one_of("cpu", "memory")(name, at) if name else [required(at)]
        found += one_of("NotRequired", "RestartContainer")(restart, at) if restart else [required(at)]
        if spec.get("restartPolicy") == "Never" and restart != "NotRequired":
            why = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            found.append(invalid_value(at, restart, why))
    return found


def _file_key(reference: Any, path: str) -> list[Cause]:
    return [
        required(f"{path}.{field}") for field in ("key", "path", "volumeName") if not reference.get(field)
    ]


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.ConfigMapKeySelector": {"": (key_in(),)},
    "core.v1.SecretKeySelector": {"": (key_in(),)},
    "core.v1.FileKeySelector": {"": (_file_key,)},
    "core.v1.ConfigMapEnvSource": {"name": (needed_name(dns_subdomain),)},
    "core.v1.SecretEnvSource": {"name": (needed_name(dns_subdomain),)},
}
