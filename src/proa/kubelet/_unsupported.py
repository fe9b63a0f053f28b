"""What a pod asks for that Proa does not do, so that it is said and not silently ignored. Pure.

Probes and hooks by `exec` are refused for good: a guest holds one program and no shell to run another in.
"""

from collections.abc import Iterator

from proa.kube.models.core_v1 import Container, Lifecycle, LifecycleHandler, PodSpec, Probe
from proa.kubelet import _hooks, _probes


def ignored(spec: PodSpec) -> list[str]:
    """The fields that have no effect here, each with whose it is, for people."""
    found = [
        f"{field} of {container.name}"
        for container in [*spec.init_containers, *spec.containers]
        for field in _ignored_of(container)
    ]
    whole = {
        "hostNetwork": spec.host_network,
        "hostPID": spec.host_pid,
        "hostIPC": spec.host_ipc,
        "hostAliases": spec.host_aliases,
        "resourceClaims": spec.resource_claims,
        "ephemeralContainers": spec.ephemeral_containers,
    }
    return found + [name for name, given in whole.items() if given]


def _ignored_of(container: Container) -> Iterator[str]:
    lifecycle = container.lifecycle or Lifecycle()
    refused = {
        "livenessProbe": _refused_probe(container.liveness_probe),
        "readinessProbe": _refused_probe(container.readiness_probe),
        "startupProbe": _refused_probe(container.startup_probe),
        "postStart": _refused_hook(lifecycle.post_start),
        "preStop": _refused_hook(lifecycle.pre_stop),
    }
    yield from (f"{name}.{kind}" for name, kind in refused.items() if kind)
    given = {
        "tty": container.tty,
        "volumeDevices": container.volume_devices,
        "hostPort": any(port.host_port for port in container.ports),
    }
    yield from (name for name, value in given.items() if value)


def _refused_probe(probe: Probe | None) -> str:
    if probe is None or _probes.supported(probe) is not None:
        return ""
    return "grpc" if probe.grpc is not None else "exec"


def _refused_hook(handler: LifecycleHandler | None) -> str:
    if handler is None or _hooks.supported(handler) is not None:
        return ""
    return "tcpSocket" if handler.tcp_socket is not None else "exec"
