"""What a pod asks for that Proa does not do yet, so that it is said and not silently ignored. Pure."""

from collections.abc import Iterator

from proa.kube.models.core_v1 import Container, PodSpec


def ignored(spec: PodSpec) -> list[str]:
    """The fields that have no effect here, each with whose it is, for people."""
    found = [
        f"{field} of {container.name}"
        for container in [*spec.init_containers, *spec.containers]
        for field in _ignored_of(container)
    ]
    return found + [name for name, given in [("hostNetwork", spec.host_network)] if given]


def _ignored_of(container: Container) -> Iterator[str]:
    given = {
        "livenessProbe": container.liveness_probe,
        "readinessProbe": container.readiness_probe,
        "startupProbe": container.startup_probe,
        "lifecycle": container.lifecycle,
        "stdin": container.stdin,
        "tty": container.tty,
        "restartPolicyRules": container.restart_policy_rules,
        "volumeDevices": container.volume_devices,
    }
    return (name for name, value in given.items() if value)
