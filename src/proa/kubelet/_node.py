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
from proa.kubelet import _pressure
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
        pressing: Conditions of pressure that hold although the machine is no longer short.
        not_ready: Why the node takes no pods, if it does not.
    """
    short = {one.condition for one in _pressure.shortages(machine, settings.eviction_hard)}
    observed = list(_observed(short | set(pressing), not_ready))
    resources = capacity(machine, settings.max_pods)
    return replace(
        previous,
        addresses=[
            NodeAddress(type="InternalIP", address=settings.address),
            NodeAddress(type="Hostname", address=settings.name),
        ],
        capacity=resources,
        allocatable=resources,
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
    yield _condition("Memory", "MemoryPressure" in pressing, "memory")
    yield _condition("Disk", "DiskPressure" in pressing, "disk space", no_pressure="NoDiskPressure")
    yield _condition("PID", "PIDPressure" in pressing, "process ids")
    if not_ready is not None:
        yield NodeCondition(type="Ready", status="False", reason="KubeletNotReady", message=not_ready)
    else:
        message = "kubelet is posting ready status"
        yield NodeCondition(type="Ready", status="True", reason="KubeletReady", message=message)


def _condition(kind: str, holds: bool, what: str, no_pressure: str | None = None) -> NodeCondition:
    verb = "has insufficient" if holds else "has sufficient"
    reason = f"KubeletHas{'Insufficient' if holds else 'Sufficient'}{kind}"
    if kind == "Disk":
        reason = "KubeletHasDiskPressure" if holds else f"KubeletHas{no_pressure}"
    status = "True" if holds else "False"
    return NodeCondition(
        type=f"{kind}Pressure", status=status, reason=reason, message=f"kubelet {verb} {what}"
    )


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
