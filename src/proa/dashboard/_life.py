"""Where in its life a pod or a container is: the states of the kubelet's machines, by what the API says."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from proa.kube.models.core_v1 import ContainerStatus, Pod
from proa.kubelet import CONTAINER, POD
from proa.statemachine import Machine, svg

__all__ = ("DRAWINGS", "container_state", "drawing", "pod_state")

DRAWINGS: Final[Mapping[str, Machine[Any]]] = {"pod": POD, "container": CONTAINER}

_WAITING: Final[Mapping[str, str]] = {
    "ContainerCreating": "Pulling",
    "ErrImagePull": "PullFailed",
    "InvalidImageName": "PullFailed",
    "ErrImageNeverPull": "PullFailed",
    "ImagePullBackOff": "ImagePullBackOff",
    "CreateContainerConfigError": "CreateFailed",
    "CreateContainerError": "CreateFailed",
    "RunContainerError": "CreateFailed",
    "CrashLoopBackOff": "CrashLoopBackOff",
}


def container_state(status: ContainerStatus, *, stopping: bool) -> str | None:
    """Return the state of the container's machine; None where it has not begun or nothing is known."""
    if status.state.running is not None:
        return "Stopping" if stopping else "Running"
    if status.state.terminated is not None:
        return "Ended"
    waiting = status.state.waiting
    return _WAITING.get(waiting.reason or "") if waiting is not None else None


def pod_state(pod: Pod) -> str | None:
    """Return the state of the pod's machine; None before a node has it."""
    if not pod.spec.node_name:
        return None
    if pod.status.phase in {"Succeeded", "Failed"}:
        return "Ended"
    if pod.metadata.deletion_timestamp is not None:
        return "Terminating"
    if pod.status.phase == "Running":
        return "Running"
    if not pod.status.container_statuses and not pod.status.init_container_statuses:
        return "Mounting"
    started = {condition.type: condition.status for condition in pod.status.conditions}
    return "Running" if started.get("Initialized") == "True" else "Initializing"


@cache
def drawing(name: str) -> str:
    """Return the drawing of a machine as SVG without colours: the page has its own."""
    return re.sub(r"<style>.*?</style>", "", svg(DRAWINGS[name]), flags=re.DOTALL)
