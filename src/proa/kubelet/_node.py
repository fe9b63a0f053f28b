"""What the node says about itself. Pure.

A node that runs WebAssembly is of architecture `wasm32-wasi`, as Krustlet's was: pods choose it by
`nodeSelector: {kubernetes.io/arch: wasm32-wasi}`. Its operating system is `wasi`, not `linux`: agents that a
real cluster puts on every Linux node, whatever its taints, could not run here.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

import proa
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import (
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import _thresholds
from proa.kubelet._host_facts import HostFacts
from proa.kubelet._settings import KubeletSettings, parse_taint

ARCHITECTURE: Final = "wasm32-wasi"
OPERATING_SYSTEM: Final = "wasi"
KUBERNETES_VERSION: Final = "v1.36.0"
REPORT_EVERY: Final = timedelta(minutes=5)
"""A status that does not change is written this often all the same."""


def node(settings: KubeletSettings) -> Node:
    """The node as it registers."""
    metadata = ObjectMeta(name=settings.name, labels=labels(settings))
    return Node(metadata=metadata, spec=NodeSpec(taints=[parse_taint(taint) for taint in settings.taints]))


def labels(settings: KubeletSettings) -> dict[str, str]:
    """The node's labels; those that say what it is cannot be set to something else."""
    return settings.node_labels | {
        "kubernetes.io/arch": ARCHITECTURE,
        "kubernetes.io/os": OPERATING_SYSTEM,
        "kubernetes.io/hostname": settings.name,
    }


def capacity(machine: HostFacts, max_pods: int) -> dict[str, Quantity]:
    """What the machine has to give."""
    return {
        "cpu": Quantity(machine.cpus),
        "memory": Quantity(f"{machine.memory // 1024}Ki"),
        "ephemeral-storage": Quantity(f"{machine.disk // 1024}Ki"),
        "pods": Quantity(max_pods),
    }


def allocatable(machine: HostFacts, settings: KubeletSettings) -> dict[str, Quantity]:
    """What of it can be promised to pods: not what is kept for others, nor what pods are evicted for."""
    free = capacity(machine, settings.max_pods)
    taken = _thresholds.reserved(settings.eviction_hard, machine)
    for given in (settings.system_reserved, settings.kube_reserved):
        free |= {name: free[name] - Quantity(amount) for name, amount in given.items()}
    free |= {name: free[name] - Quantity(f"{amount // 1024}Ki") for name, amount in taken.items()}
    return {name: max(amount, Quantity("0")) for name, amount in free.items()}


def status(
    settings: KubeletSettings,
    port: int,
    machine: HostFacts,
    previous: NodeStatus,
    now: datetime,
    pressing: Collection[str] = (),
    not_ready: str | None = None,
) -> NodeStatus:
    """The status to report.

    Args:
        settings: Of this kubelet.
        port: Where it serves logs.
        machine: As it is now.
        previous: As the API server has it: what did not change keeps its times, what others wrote stays.
        now: Whole seconds.
        pressing: Conditions of pressure that hold.
        not_ready: Why the node takes no pods, if it does not.
    """
    observed = list(_observed(pressing, not_ready))
    return replace(
        previous,
        addresses=[
            NodeAddress(type="InternalIP", address=settings.address),
            NodeAddress(type="Hostname", address=settings.name),
        ],
        capacity=capacity(machine, settings.max_pods),
        allocatable=allocatable(machine, settings),
        conditions=_conditions(observed, previous, now),
        daemon_endpoints=NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=port)),
        node_info=_system_info(machine),
    )


def must_report(previous: NodeStatus, wanted: NodeStatus, now: datetime) -> bool:
    """Whether something changed other than the time, or the last report is old."""
    last = max((c.last_heartbeat_time for c in previous.conditions if c.last_heartbeat_time), default=None)
    return last is None or now - last >= REPORT_EVERY or _timeless(previous) != _timeless(wanted)


def _timeless(status: NodeStatus) -> NodeStatus:
    conditions = [replace(condition, last_heartbeat_time=None) for condition in status.conditions]
    return replace(status, conditions=sorted(conditions, key=lambda condition: condition.type))


def _conditions(ours: list[NodeCondition], previous: NodeStatus, now: datetime) -> list[NodeCondition]:
    before = {condition.type: condition for condition in previous.conditions}
    for condition in ours:
        old = before.pop(condition.type, None)
        condition.last_heartbeat_time = now
        same = old is not None and old.status == condition.status
        condition.last_transition_time = (
            old.last_transition_time if old is not None and same else None
        ) or now
    return ours + list(before.values())


def _observed(pressing: Collection[str], not_ready: str | None) -> Iterator[NodeCondition]:
    yield _pressed("Memory", pressing, "InsufficientMemory", "SufficientMemory", "memory available")
    yield _pressed("Disk", pressing, "DiskPressure", "NoDiskPressure", "disk pressure")
    yield _pressed("PID", pressing, "InsufficientPID", "SufficientPID", "PID available")
    if not_ready is not None:
        yield NodeCondition(type="Ready", status="False", reason="KubeletNotReady", message=not_ready)
    else:
        message = "kubelet is posting ready status"
        yield NodeCondition(type="Ready", status="True", reason="KubeletReady", message=message)


def _pressed(kind: str, pressing: Collection[str], bad: str, good: str, what: str) -> NodeCondition:
    holds = f"{kind}Pressure" in pressing
    words = ("has", "has no") if kind == "Disk" else ("has insufficient", "has sufficient")
    return NodeCondition(
        type=f"{kind}Pressure",
        status="True" if holds else "False",
        reason=f"KubeletHas{bad if holds else good}",
        message=f"kubelet {words[not holds]} {what}",
    )


def changes(previous: NodeStatus, status: NodeStatus) -> list[str]:
    """The reasons of the Events that tell how a status differs from the one before."""
    before = {condition.type: condition.status for condition in previous.conditions}
    return [
        _EVENTS[condition.type, condition.status]
        for condition in status.conditions
        if (condition.type, condition.status) in _EVENTS and before.get(condition.type) != condition.status
    ]


_EVENTS: Final = {
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}


def _system_info(machine: HostFacts) -> NodeSystemInfo:
    return NodeSystemInfo(
        architecture=ARCHITECTURE,
        operating_system=OPERATING_SYSTEM,
        boot_id=machine.boot_id,
        machine_id=machine.machine_id,
        system_uuid=machine.machine_id,
        kernel_version=machine.kernel_version,
        os_image=machine.os_image,
        container_runtime_version=f"proa-wasmtime://{machine.engine_version}",
        kubelet_version=f"{KUBERNETES_VERSION}+proa-{proa.__version__}",
        kube_proxy_version="",
    )
