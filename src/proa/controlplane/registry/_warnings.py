"""What clients are warned of when they write objects that are valid, and yet hardly what they mean. Pure.

Warnings are texts for people; the words around the paths are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity

from ._names import dns_label

Warn = Callable[[Document], list[str]]
"""What to warn of about an object that is written."""

_GROUPS = ("initContainers", "containers", "ephemeralContainers")
_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
}
_SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": _SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _SYSCTLS,
}
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class"
_HOST_NAME = "which can result in surprising behavior; a DNS label is recommended"


def of_pod(pod: Document) -> list[str]:
    """A pod."""
    name, found = pod["metadata"].get("name", ""), []
    if problems := dns_label(name):
        found.append(f"metadata.name: this is used in the Pod's hostname, {_HOST_NAME}: {problems}")
    return found + list(_of_template(pod, ""))


def of_workload(*path: str, named: bool = True) -> Warn:
    """A workload whose pods' template stands at a path; whether its own name is part of theirs."""

    def warn(workload: Document) -> list[str]:
        name, found = workload["metadata"].get("name", ""), []
        if named and (problems := dns_label(name)):
            why = "this is used in Pod names and hostnames"
            found.append(f"metadata.name: {why}, {_HOST_NAME}: {problems}")
        template: Any = workload
        for part in path:
            template = (template or {}).get(part)
        return found + list(_of_template(template or {}, f"{'.'.join(path)}."))

    return warn


def _of_template(template: Document, prefix: str) -> Iterator[str]:
    spec = template.get("spec") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    at = f"{prefix}spec"
    yield from _placement(spec, at)
    for name, why in _ANNOTATIONS.items():
        if name in annotations:
            yield f"{prefix}metadata.annotations[{name}]: {why}"
    yield from _volumes(spec, at)
    yield from _repeated(spec, "hostAliases", "ip", at)
    yield from _repeated(spec, "imagePullSecrets", "name", at)
    for index, secret in enumerate(spec.get("imagePullSecrets", ())):
        if not secret.get("name"):
            yield f'{at}.imagePullSecrets[{index}].name: invalid empty name ""'
    yield from _fractions(spec.get("overhead", {}), f"{at}.overhead")
    yield from _seccomp(spec, annotations, prefix)
    for group in _GROUPS:
        for index, container in enumerate(spec.get(group, ())):
            where = f"{at}.{group}[{index}]"
            for kind, amounts in container.get("resources", {}).items():
                if kind in {"limits", "requests"}:
                    yield from _fractions(amounts, f"{where}.resources.{kind}")
            yield from _hidden(container.get("env", ()), where)
    yield from _ports(spec, at)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        why = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}.terminationGracePeriodSeconds: {why}"


def _placement(spec: Document, path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector", ()):
        if key in _LABELS:
            yield f"{path}.nodeSelector[{key}]: {_LABELS[key]}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    kind = "requiredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate((affinity.get(kind) or {}).get("nodeSelectorTerms") or ()):
        yield from _terms(term, f"{path}.affinity.nodeAffinity.{kind}.nodeSelectorTerms[{index}]")
    kind = "preferredDuringSchedulingIgnoredDuringExecution"
    for index, preferred in enumerate(affinity.get(kind) or ()):
        yield from _terms(
            preferred.get("preference") or {}, f"{path}.affinity.nodeAffinity.{kind}[{index}].preference"
        )
    for index, constraint in enumerate(spec.get("topologySpreadConstraints", ())):
        at, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey", "")
        if key in _LABELS:
            yield f"{at}.topologyKey: {key} is {_LABELS[key]}"
        if "labelSelector" not in constraint:
            yield f"{at}.labelSelector: a null labelSelector results in matching no pod"


def _terms(term: Document, path: str) -> Iterator[str]:
    for index, expression in enumerate(term.get("matchExpressions", ())):
        key = expression.get("key", "")
        if key in _LABELS:
            yield f"{path}.matchExpressions[{index}].key: {key} is {_LABELS[key]}"


def _volumes(spec: Document, path: str) -> Iterator[str]:
    for index, volume in enumerate(spec.get("volumes", ())):
        at = f"{path}.volumes[{index}]"
        for kind in volume.keys() & _VOLUMES.keys():
            yield f"{at}.{kind}: {_VOLUMES[kind]}"
        claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if claim:
            yield from _claim_spec(claim.get("spec") or {}, f"{at}.ephemeral.volumeClaimTemplate.spec")


def _repeated(spec: Document, field: str, key: str, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(spec.get(field, ())):
        value = item.get(key, "")
        if value in seen:
            yield f'{path}.{field}[{index}].{key}: duplicate {key} "{value}"'
        seen.add(value)


def _fractions(amounts: Document, path: str) -> Iterator[str]:
    for name in ("memory", "ephemeral-storage", "storage"):
        if name in amounts and quantity(amounts[name]) % 1:
            yield f'{path}[{name}]: fractional byte value "{amounts[name]}" is invalid, must be an integer'


def _seccomp(spec: Document, annotations: Document, prefix: str) -> Iterator[str]:
    at, name = f"{prefix}metadata.annotations", "seccomp.security.alpha.kubernetes.io/pod"
    if name in annotations and "seccompProfile" not in (spec.get("securityContext") or {}):
        yield f"{at}[{name}]: {_SECCOMP}"
    for group in _GROUPS:
        for container in spec.get(group, ()):
            name = f"container.seccomp.security.alpha.kubernetes.io/{container.get('name', '')}"
            if name in annotations and "seccompProfile" not in (container.get("securityContext") or {}):
                yield f"{at}[{name}]: {_SECCOMP}"


def _hidden(variables: Any, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name, value = variable.get("name", ""), variable.get("value", "")
        reference = f"$({name})"
        if name in seen and ("valueFrom" in variable or value == reference or reference not in value):
            why = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{path}.env[{index}]: {why}"
        seen.add(name)


def _ports(spec: Document, path: str) -> Iterator[str]:
    known: dict[tuple[Any, Any], list[tuple[str, Document]]] = {}
    for group in _GROUPS:
        for index, container in enumerate(spec.get(group, ())):
            for number, port in enumerate(container.get("ports", ())):
                at = f"{path}.{group}[{index}].ports[{number}]"
                if port.get("hostIP") and not port.get("hostPort"):
                    yield f"{at}: hostIP set without hostPort"
                others = known.setdefault((port.get("containerPort"), port.get("protocol")), [])
                for where, other in others:
                    if clash := _clash(port, other):
                        yield f"{at}: {clash} port definition with {where}"
                others.append((at, port))


def _clash(port: Document, other: Document) -> str:
    hosts = [(one.get("hostIP", ""), one.get("hostPort", 0)) for one in (port, other)]
    if hosts[0] == hosts[1]:
        return "duplicate"
    if not hosts[0][1] or not hosts[1][1]:
        return "overlapping"
    anywhere = not hosts[0][0] or not hosts[1][0]
    return "dangerously ambiguous" if hosts[0][1] == hosts[1][1] and anywhere else ""


def of_service(service: Document) -> list[str]:
    """A service."""
    spec, kind, found = service["spec"], service["spec"].get("type"), []
    if "service.kubernetes.io/topology-aware-hints" in service["metadata"].get("annotations", {}):
        name = "annotation service.kubernetes.io/topology-aware-hints"
        found.append(f"{name} is deprecated, please use service.kubernetes.io/topology-mode instead")
    external = spec.get("externalIPs")
    if kind == "ClusterIP" and spec.get("clusterIP") == "None":
        ignored = {"loadBalancerIP": spec.get("loadBalancerIP"), "externalIPs": external}
        ignored["SessionAffinity"] = spec.get("sessionAffinity", "None") != "None"
        found += [f"spec.{name} is ignored for headless services" for name, value in ignored.items() if value]
    elif external and kind != "ExternalName":
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if kind == "ExternalName" and external:
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if kind != "ExternalName" and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        found.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return found


def of_claim(claim: Document) -> list[str]:
    """A persistent volume claim."""
    return _beta_class(claim) + list(_claim_spec(claim["spec"], "spec"))


def _beta_class(document: Document) -> list[str]:
    if _STORAGE_CLASS not in document["metadata"].get("annotations", {}):
        return []
    why = 'deprecated since v1.8; use "storageClassName" attribute instead'
    return [f"metadata.annotations[{_STORAGE_CLASS}]: {why}"]


def _claim_spec(spec: Document, path: str) -> Iterator[str]:
    for kind in ("requests", "limits"):
        yield from _fractions((spec.get("resources") or {}).get(kind, {}), f"{path}.resources.{kind}")


def of_volume(volume: Document) -> list[str]:
    """A persistent volume."""
    spec, found = volume["spec"], _beta_class(volume)
    if "volume.beta.kubernetes.io/mount-options" in volume["metadata"].get("annotations", {}):
        why = 'deprecated since v1.31; use "mountOptions" attribute instead'
        found.append(f"metadata.annotations[volume.beta.kubernetes.io/mount-options]: {why}")
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        why = "the Recycle reclaim policy is deprecated; provision volumes dynamically instead"
        found.append(f"spec.persistentVolumeReclaimPolicy: {why}")
    for kind in spec.keys() & _VOLUMES.keys():
        found.append(f"spec.{kind}: {_VOLUMES[kind]}")
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(terms):
        found += _terms(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]")
    return found


def of_ingress(ingress: Document) -> list[str]:
    """An ingress that says its class the old way."""
    if "kubernetes.io/ingress.class" not in ingress["metadata"].get("annotations", {}):
        return []
    return ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName'"]


def of_node(node: Document) -> list[str]:
    """A node with settings that have no effect any more."""
    found = []
    if (node.get("spec") or {}).get("configSource") is not None:
        found.append("spec.configSource: the feature is no longer available")
    if (node.get("spec") or {}).get("externalID"):
        found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    return found


def of_runtime_class(runtime: Document) -> list[str]:
    """A runtime class that selects nodes by old labels."""
    selector = (runtime.get("scheduling") or {}).get("nodeSelector", {})
    return [f"scheduling.nodeSelector[{key}]: {_LABELS[key]}" for key in selector if key in _LABELS]


def of_job(job: Document) -> list[str]:
    """A job."""
    spec, found = job["spec"], []
    completions, parallelism = spec.get("completions", 0), spec.get("parallelism", 1)
    if spec.get("completionMode") == "Indexed" and completions > 100_000 and parallelism > 10_000:
        why = "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
        found.append(f"{why}10^4, Kubernetes might not be able to track completedIndexes")
    return found + of_workload("spec", "template")(job)
