"""Pod security levels of namespaces: privileged, baseline, restricted.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from proa.controlplane._json import Document
from proa.controlplane.registry import Review
from proa.controlplane.storage import Key, Store

from ._refusal import refused

LABEL = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
_TEMPLATES = {
    "deployments.apps": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "replicationcontrollers": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
    "podtemplates": ("template",),
}
WORKLOADS = tuple(_TEMPLATES)
_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"}
    | {"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)
_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"}
    | {"projected", "secret", "name"}
)


class PodSecurity:
    """Applies the levels that a namespace's labels name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check_pod(self, review: Review) -> None:
        """Refuses (403) or warns of a pod that its namespace's level forbids."""
        if review.operation == "DELETE" or review.subresource not in {"", "ephemeralcontainers"}:
            return
        levels = self._levels(review.namespace)
        if not levels or (review.old and review.new and review.old["spec"] == review.new["spec"]):
            return
        spec = review.document["spec"]
        enforced = levels.get("enforce", "privileged")
        found = list(violations(enforced, spec))
        if found:
            version = f"{enforced}:{levels.get('enforce-version', 'latest')}"
            raise refused(review, f'violates PodSecurity "{version}": {", ".join(found)}')
        _warn(review, levels, spec)

    def check_workload(self, review: Review) -> None:
        """Warns of a workload whose pods its namespace's level would forbid."""
        if review.operation == "DELETE" or review.subresource:
            return
        levels = self._levels(review.namespace)
        if not levels:
            return
        template: Document = review.document
        for name in _TEMPLATES[review.resource.storage]:
            template = template.get(name, {})
        _warn(review, levels, template.get("spec", {}))

    def _levels(self, namespace: str) -> dict[str, str]:
        stored = self._store.latest(Key("namespaces", "", namespace))
        labels = stored.labels if stored else {}
        return {key.removeprefix(LABEL): value for key, value in labels.items() if key.startswith(LABEL)}


def _warn(review: Review, levels: dict[str, str], spec: Document) -> None:
    level = levels.get("warn", "privileged")
    found = list(violations(level, spec))
    if found:
        version = f"{level}:{levels.get('warn-version', 'latest')}"
        review.warnings.append(f'would violate PodSecurity "{version}": {", ".join(found)}')


def violations(level: str, spec: Document) -> Iterator[str]:
    """What a level forbids of a pod's spec; an unknown level is as strict as can be."""
    if level == "privileged":
        return
    yield from _baseline(spec)
    if level != "baseline":
        yield from _restricted(spec)


def _containers(spec: Document) -> list[Document]:
    keys = ("initContainers", "containers", "ephemeralContainers")
    return [container for key in keys for container in spec.get(key, ())]


def _context(part: Document) -> Document:
    context: Document = part.get("securityContext") or {}
    return context


def _named(containers: Iterable[Document]) -> str:
    names = [f'"{container["name"]}"' for container in containers]
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _baseline(spec: Document) -> Iterator[str]:
    containers, pod = _containers(spec), _context(spec)
    shared = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if shared:
        yield f"host namespaces ({', '.join(f'{name}=true' for name in shared)})"
    privileged = [one for one in containers if _context(one).get("privileged")]
    if privileged:
        yield f"privileged ({_named(privileged)} must not set securityContext.privileged=true)"
    added = [one for one in containers if set(_capabilities(one, "add")) - _CAPABILITIES]
    if added:
        yield f"non-default capabilities ({_named(added)} must not add others than the usual ones)"
    paths = [volume.get("name", "") for volume in spec.get("volumes", ()) if "hostPath" in volume]
    if paths:
        yield f"hostPath volumes ({', '.join(paths)})"
    ports = [one for one in containers if any(port.get("hostPort") for port in one.get("ports", ()))]
    if ports:
        yield f"hostPort ({_named(ports)})"
    if any(sysctl.get("name") not in _SYSCTLS for sysctl in pod.get("sysctls", ())):
        yield "forbidden sysctls"
    for name, allowed in _PROFILES.items():
        if any(_context(one).get(name, {}).get("type", "") not in allowed for one in (spec, *containers)):
            yield f"{name} (must not set type to a value other than {', '.join(sorted(allowed - {''}))})"
    if any(_bad_selinux(_context(one).get("seLinuxOptions", {})) for one in (spec, *containers)):
        yield "seLinuxOptions (forbidden type, user or role)"
    if any(_context(one).get("procMount", "Default") != "Default" for one in containers):
        yield "procMount (must be Default)"
    if any(_context(one).get("windowsOptions", {}).get("hostProcess") for one in (spec, *containers)):
        yield "hostProcess (must not be set to true)"


_PROFILES = {
    "seccompProfile": frozenset({"", "RuntimeDefault", "Localhost"}),
    "appArmorProfile": frozenset({"", "RuntimeDefault", "Localhost"}),
}


def _bad_selinux(options: Document) -> bool:
    return options.get("type", "") not in _SELINUX_TYPES or bool(options.get("user") or options.get("role"))


def _capabilities(container: Document, key: str) -> list[str]:
    names: list[str] = (_context(container).get("capabilities") or {}).get(key, [])
    return names


def _restricted(spec: Document) -> Iterator[str]:
    containers, pod = _containers(spec), _context(spec)
    kinds = sorted({kind for volume in spec.get("volumes", ()) for kind in volume} - _VOLUMES)
    if kinds:
        yield f"restricted volume types ({', '.join(kinds)})"
    escalating = [one for one in containers if _context(one).get("allowPrivilegeEscalation") is not False]
    if escalating:
        yield f"allowPrivilegeEscalation != false ({_named(escalating)})"
    capable = [
        one
        for one in containers
        if "ALL" not in _capabilities(one, "drop") or set(_capabilities(one, "add")) - {"NET_BIND_SERVICE"}
    ]
    if capable:
        yield f"unrestricted capabilities ({_named(capable)} must drop ALL, and add NET_BIND_SERVICE at most)"
    root = [
        one for one in containers if _context(one).get("runAsNonRoot", pod.get("runAsNonRoot")) is not True
    ]
    if root:
        yield f"runAsNonRoot != true (pod or {_named(root)} must set securityContext.runAsNonRoot=true)"
    if any(_context(one).get("runAsUser") == 0 for one in (spec, *containers)):
        yield "runAsUser=0"
    default = (pod.get("seccompProfile") or {}).get("type")
    open_to_all = [
        one
        for one in containers
        if (_context(one).get("seccompProfile") or {}).get("type", default)
        not in {"RuntimeDefault", "Localhost"}
    ]
    if open_to_all:
        yield f"seccompProfile (pod or {_named(open_to_all)} must set securityContext.seccompProfile.type)"
