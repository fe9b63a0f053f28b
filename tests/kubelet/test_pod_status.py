from datetime import UTC, datetime, timedelta

import pytest

from proa.kube.models.core_v1 import (
    Container,
    ContainerStateTerminated,
    ContainerStatus,
    Pod,
    PodCondition,
    PodReadinessGate,
    PodSpec,
    PodStatus,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import _container_status as containers
from proa.kubelet._pod_status import PodFacts, is_starting, pod_status
from proa.kubelet._status_patch import status_patch

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
POD = Pod(
    metadata=ObjectMeta(name="p", namespace="default", uid="u", generation=3),
    spec=PodSpec(containers=[Container(name="a"), Container(name="b")]),
)
NEW = containers.initial(Container(name="a", image="hello:1"), containers.CREATING)
RUNNING = containers.running(NEW, "wasmtime://u/a/0", 0, NOW)


def ended(code: int, status: ContainerStatus = RUNNING, *, init: bool = False) -> ContainerStatus:
    end = ContainerStateTerminated(exit_code=code, reason="Error" if code else "Completed", finished_at=LATER)
    return containers.terminated(status, end, init=init)


def facts(
    *statuses: ContainerStatus, init: tuple[ContainerStatus, ...] = (), finished: bool = False
) -> PodFacts:
    return PodFacts(
        host_ip="127.0.0.1", pod_ip="127.66.0.1", started_at=NOW, init_containers=init, containers=statuses,
        sandbox_ready=True, finished=finished,
    )  # fmt: skip


def condition(status: PodStatus, kind: str) -> PodCondition:
    return next(one for one in status.conditions if one.type == kind)


@pytest.mark.parametrize(
    ("known", "phase"),
    [
        (facts(NEW), "Pending"),
        (facts(RUNNING, NEW), "Pending"),
        (facts(RUNNING, RUNNING), "Running"),
        (facts(NEW, init=(NEW,)), "Pending"),
        (facts(RUNNING, init=(ended(0),)), "Running"),
        (facts(ended(0), RUNNING), "Running"),
        (facts(ended(1)), "Running"),
        (facts(containers.waiting(ended(1), "CrashLoopBackOff")), "Running"),
        (facts(ended(0), finished=True), "Succeeded"),
        (facts(ended(0), ended(1), finished=True), "Failed"),
        (facts(NEW, init=(ended(1),), finished=True), "Failed"),
    ],
)
def test_the_phase_follows_the_containers(known: PodFacts, phase: str) -> None:
    assert pod_status(POD, known, PodStatus(), NOW).phase == phase


def test_a_final_phase_stays_final() -> None:
    assert pod_status(POD, facts(RUNNING), PodStatus(phase="Failed"), NOW).phase == "Failed"


def test_a_running_pod_has_all_conditions_and_addresses() -> None:
    status = pod_status(POD, facts(RUNNING), PodStatus(), NOW)
    assert {one.type: one.status for one in status.conditions} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    assert (status.pod_ip, status.host_ip, status.start_time) == ("127.66.0.1", "127.0.0.1", NOW)
    assert status.observed_generation == 3


def test_conditions_name_what_is_not_ready() -> None:
    status = pod_status(POD, facts(NEW, init=(NEW,)), PodStatus(), NOW)
    assert condition(status, "Initialized").message == "containers with incomplete status: [a]"
    assert condition(status, "Ready").reason == "ContainersNotReady"
    assert condition(status, "Ready").message == "containers with unready status: [a]"


def test_a_completed_pod_is_not_ready_because_it_is_completed() -> None:
    status = pod_status(POD, facts(ended(0), finished=True), PodStatus(), NOW)
    assert condition(status, "Ready").reason == condition(status, "ContainersReady").reason == "PodCompleted"
    assert condition(status, "PodReadyToStartContainers").status == "False"


def test_readiness_gates_hold_ready_back() -> None:
    pod = Pod(
        metadata=POD.metadata, spec=PodSpec(readiness_gates=[PodReadinessGate(condition_type="x.io/lb")])
    )
    assert (
        condition(pod_status(pod, facts(RUNNING), PodStatus(), NOW), "Ready").reason
        == "ReadinessGatesNotReady"
    )
    pod.status.conditions = [PodCondition(type="x.io/lb", status="True")]
    status = pod_status(pod, facts(RUNNING), PodStatus(), NOW)
    assert condition(status, "Ready").status == "True"
    assert condition(status, "x.io/lb").status == "True"


def test_transition_times_change_only_with_the_status() -> None:
    first = pod_status(POD, facts(NEW), PodStatus(), NOW)
    second = pod_status(POD, facts(RUNNING), first, LATER)
    assert condition(second, "Initialized").last_transition_time == NOW
    assert condition(second, "Ready").last_transition_time == LATER


def test_a_restart_moves_the_end_to_last_state_and_counts() -> None:
    waiting = containers.waiting(ended(3), "CrashLoopBackOff", "back-off 10s")
    assert waiting.last_state.terminated is not None
    assert waiting.last_state.terminated.exit_code == 3
    again = containers.running(waiting, "wasmtime://u/a/1", 1, LATER)
    assert again.restart_count == 1
    assert again.last_state.terminated is not None
    assert again.ready


def test_an_init_container_that_ended_well_is_ready() -> None:
    assert ended(0, init=True).ready
    assert not ended(1, init=True).ready
    assert not ended(0).ready


def test_a_container_without_a_trace_ended_with_137() -> None:
    end = containers.lost(RUNNING, LATER)
    assert (end.exit_code, end.reason, end.started_at, end.finished_at) == (
        137,
        "ContainerStatusUnknown",
        NOW,
        LATER,
    )


def test_only_a_status_that_nobody_waits_for_may_wait() -> None:
    assert is_starting(pod_status(POD, facts(NEW), PodStatus(), NOW))
    assert not is_starting(pod_status(POD, facts(containers.waiting(NEW, "ErrImagePull")), PodStatus(), NOW))
    assert not is_starting(pod_status(POD, facts(RUNNING), PodStatus(), NOW))


def test_the_patch_holds_what_differs_and_nothing_else() -> None:
    first = pod_status(POD, facts(NEW), PodStatus(), NOW)
    assert status_patch("u", first, first) is None
    patch = status_patch("u", first, pod_status(POD, facts(RUNNING), first, LATER))
    assert patch is not None
    assert patch["metadata"] == {"uid": "u"}
    assert sorted(patch["status"]) == ["conditions", "containerStatuses", "phase"]
    assert sorted(one["type"] for one in patch["status"]["conditions"]) == ["ContainersReady", "Ready"]


def test_the_patch_leaves_the_conditions_of_others_alone_and_removes_what_is_over() -> None:
    observed = PodStatus(reason="Old", conditions=[PodCondition(type="x.io/lb", status="True")])
    wanted = PodStatus(conditions=[PodCondition(type="x.io/lb", status="False")])
    assert status_patch("u", observed, wanted) == {"metadata": {"uid": "u"}, "status": {"reason": None}}
