"""A pod's status as a function of what is known of it. Pure.

Follows Kubernetes' rules for phases and conditions, so that `kubectl wait`, Jobs, ReplicaSets and
Endpoints understand a pod of Wasm containers as any other.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from proa.kube.models.core_v1 import ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus
from proa.kubelet._container_status import CREATING, INITIALIZING

TERMINAL_PHASES: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, kw_only=True)
class PodFacts:
    """What the kubelet knows of a pod.

    Attributes:
        host_ip: The node's address.
        pod_ip: The pod's own.
        started_at: When the kubelet first saw the pod; whole seconds.
        init_containers: The statuses of its init containers, in the order of the spec.
        containers: The same for the app containers.
        sandbox_ready: Its volumes and its address are there.
        finished: No container of it will run any more.
        rejected: The node did not take it: there is nothing to be told of its containers.
        reason: Why the pod as a whole failed, when that was no container's doing; such a pod is Failed.
        message: The same for people.
        disruption: Why the node took the pod's place, if it did.
    """

    host_ip: str
    pod_ip: str
    started_at: datetime
    init_containers: Sequence[ContainerStatus] = ()
    containers: Sequence[ContainerStatus] = ()
    sandbox_ready: bool = False
    finished: bool = False
    rejected: bool = False
    reason: str | None = None
    message: str | None = None
    disruption: str | None = None


def pod_status(pod: Pod, facts: PodFacts, previous: PodStatus, now: datetime) -> PodStatus:
    """The status to report.

    Args:
        pod: The pod; what others keep in its status (other conditions, QoS class) stays as it is.
        facts: What is known now.
        previous: What was reported last: times of conditions that did not change are taken from it, and a
            phase that is final stays.
        now: Whole seconds.
    """
    if facts.rejected:
        return replace(
            pod.status,
            observed_generation=pod.metadata.generation,
            phase="Failed",
            reason=facts.reason,
            message=facts.message,
            start_time=facts.started_at,
        )
    sidecars = frozenset(
        container.name for container in pod.spec.init_containers if container.restart_policy == "Always"
    )
    phase = previous.phase if previous.phase in TERMINAL_PHASES else _phase(facts, sidecars)
    return replace(
        pod.status,
        observed_generation=pod.metadata.generation,
        phase=phase,
        reason=facts.reason,
        message=facts.message,
        host_ip=facts.host_ip,
        host_ips=[HostIP(ip=facts.host_ip)],
        pod_ip=facts.pod_ip,
        pod_ips=[PodIP(ip=facts.pod_ip)],
        start_time=facts.started_at,
        conditions=_conditions(pod, facts, sidecars, phase, previous, now),
        init_container_statuses=list(facts.init_containers),
        container_statuses=list(facts.containers),
    )


def uninitialized(facts: PodFacts, sidecars: AbstractSet[str]) -> list[str]:
    """The init containers that still hold up the others: sidecars until they have started."""
    if any(_has_run(status) for status in facts.containers):
        return []
    return [
        status.name
        for status in facts.init_containers
        if not (status.started if status.name in sidecars else _succeeded(status))
    ]


def is_starting(status: PodStatus) -> bool:
    """Whether nothing has happened yet that anybody waits for; such a status may be written later."""
    return status.phase == "Pending" and all(
        container.state.waiting is not None and container.state.waiting.reason in {CREATING, INITIALIZING}
        for container in [*status.init_container_statuses, *status.container_statuses]
    )


def _phase(facts: PodFacts, sidecars: AbstractSet[str]) -> str:
    if facts.reason is not None:
        return "Failed"
    if facts.finished:
        return "Succeeded" if all(_succeeded(status) for status in facts.containers) else "Failed"
    if uninitialized(facts, sidecars) or not all(_has_run(status) for status in facts.containers):
        return "Pending"
    return "Running"


def _succeeded(status: ContainerStatus) -> bool:
    return status.state.terminated is not None and status.state.terminated.exit_code == 0


def _has_run(status: ContainerStatus) -> bool:
    return status.state.waiting is None or status.last_state.terminated is not None


def _conditions(
    pod: Pod, facts: PodFacts, sidecars: AbstractSet[str], phase: str, previous: PodStatus, now: datetime
) -> list[PodCondition]:
    beside = [status for status in facts.init_containers if status.name in sidecars]
    unready = [status.name for status in [*beside, *facts.containers] if not status.ready]
    containers_ready = _verdict("ContainersReady", phase, unready, "ContainersNotReady", "unready status")
    ours = [
        _plain("PodReadyToStartContainers", facts.sandbox_ready and phase not in TERMINAL_PHASES),
        _initialized_verdict(phase, uninitialized(facts, sidecars)),
        _ready_verdict(pod, containers_ready),
        containers_ready,
        _plain("PodScheduled", True),
    ]
    if facts.disruption is not None:
        ours.append(
            PodCondition(
                type="DisruptionTarget",
                status="True",
                reason="TerminationByKubelet",
                message=facts.disruption,
            )
        )
    before = {condition.type: condition for condition in [*pod.status.conditions, *previous.conditions]}
    own_types = {condition.type for condition in ours}
    others = [condition for condition in pod.status.conditions if condition.type not in own_types]
    return [_with_times(condition, before.get(condition.type), now) for condition in ours] + others


def _plain(kind: str, holds: bool) -> PodCondition:
    return PodCondition(type=kind, status="True" if holds else "False")


def _initialized_verdict(phase: str, holding_up: list[str]) -> PodCondition:
    if phase == "Succeeded":
        return PodCondition(type="Initialized", status="True", reason="PodCompleted")
    if not holding_up:
        return _plain("Initialized", True)
    return _not("Initialized", "ContainersNotInitialized", "incomplete status", holding_up)


def _verdict(kind: str, phase: str, failing: list[str], reason: str, what: str) -> PodCondition:
    if phase in TERMINAL_PHASES:
        return PodCondition(
            type=kind, status="False", reason="PodCompleted" if phase == "Succeeded" else "PodFailed"
        )
    return _not(kind, reason, what, failing) if failing else _plain(kind, True)


def _not(kind: str, reason: str, what: str, names: list[str]) -> PodCondition:
    message = f"containers with {what}: [{' '.join(names)}]"
    return PodCondition(type=kind, status="False", reason=reason, message=message)


def _ready_verdict(pod: Pod, containers_ready: PodCondition) -> PodCondition:
    if containers_ready.status == "False":
        return replace(containers_ready, type="Ready")
    holding = {condition.type for condition in pod.status.conditions if condition.status == "True"}
    missing = [gate.condition_type for gate in pod.spec.readiness_gates if gate.condition_type not in holding]
    if not missing:
        return _plain("Ready", True)
    message = f"readiness gates that do not hold: [{' '.join(missing)}]"
    return PodCondition(type="Ready", status="False", reason="ReadinessGatesNotReady", message=message)


def _with_times(condition: PodCondition, before: PodCondition | None, now: datetime) -> PodCondition:
    same = before is not None and before.status == condition.status
    since = before.last_transition_time if before is not None and same else None
    return replace(condition, last_transition_time=since or now)
