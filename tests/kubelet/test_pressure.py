"""A node that runs short: who has to go, what it tells, and how it goes down in good order."""

import asyncio
import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proa.kube import Api
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import (
    Container,
    Lifecycle,
    LifecycleHandler,
    Node,
    Pod,
    PodSpec,
    ResourceRequirements,
    SleepAction,
    Toleration,
)
from proa.kubelet import (
    KubeletSettings,
    _admission,
    _logind,
    _node,
    _shutdown,
    _shutdown_plan,
    _standing,
    _thresholds,
)
from proa.kubelet._host_facts import HostFacts
from proa.kubelet._pressure import Pressure
from proa.kubelet._standing import CRITICAL, Candidate

Cluster = Any
MIB = 1 << 20
HARD = {"memory.available": "100Mi", "nodefs.available": "10%"}


def machine(**changes: int) -> HostFacts:
    made = HostFacts(
        cpus=2, memory=1000 * MIB, memory_available=500 * MIB, disk=1000, disk_available=500, processes=10,
        max_processes=1000, machine_id="", boot_id="", kernel_version="", os_image="", architecture="amd64",
        engine_version="50",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def pod(name: str, priority: int = 0, **requests: str) -> Pod:
    asked = {resource: Quantity(amount) for resource, amount in requests.items()}
    made = Pod(spec=PodSpec(containers=[Container(name="c", resources=ResourceRequirements(requests=asked))]))
    made.metadata.name, made.spec.priority = name, priority
    return made


def crossed(host: HostFacts, **settings: Any) -> list[str]:
    return [one.signal for one in Pressure(KubeletSettings(**settings).thresholds).look(host)]


def test_thresholds_are_quantities_or_shares() -> None:
    assert crossed(machine(), eviction_hard=HARD) == []
    assert crossed(machine(memory_available=99 * MIB), eviction_hard=HARD) == ["memory.available"]
    assert crossed(machine(disk_available=99), eviction_hard=HARD) == ["nodefs.available"]
    assert crossed(machine(inodes=0), eviction_hard={"nodefs.inodesFree": "5%"}) == []
    assert len([*_thresholds.wrong_amounts({"memory.free": "1Mi", "memory.available": "much"})]) == 2
    (threshold,) = _thresholds.hard({"memory.available": "10%"}, {})
    words = threshold.describe(machine(memory_available=MIB))
    assert words == "Threshold quantity: 102400Ki, available: 1024Ki."


def test_memory_is_the_most_urgent() -> None:
    all_short = machine(memory_available=0, disk_available=0, processes=1000)
    thresholds = {"pid.available": "10%", "nodefs.available": "10%", "memory.available": "10%"}
    assert crossed(all_short, eviction_hard=thresholds)[0] == "memory.available"


def test_a_condition_outlasts_its_shortage_for_a_while() -> None:
    now = [0.0]
    pressure = Pressure(_thresholds.hard(HARD, {}), 300.0, lambda: now[0])
    pressure.look(machine(memory_available=0))
    pressure.look(machine())
    now[0] = 299.0
    assert pressure.conditions == {"MemoryPressure"}
    now[0] = 301.0
    assert pressure.conditions == frozenset()


def test_a_soft_threshold_is_a_condition_at_once_and_evicts_after_its_grace_period() -> None:
    now, half = [0.0], machine(memory_available=150 * MIB)
    soft = _thresholds.soft({"memory.available": "20%"}, {"memory.available": timedelta(seconds=90)}, {})
    pressure = Pressure(soft, clock=lambda: now[0])
    assert pressure.look(half) == []
    assert pressure.conditions == {"MemoryPressure"}
    now[0] = 89.0
    assert pressure.look(half) == []
    now[0] = 90.0
    (due,) = pressure.look(half)
    assert due.soft
    # It begins anew once there was enough.
    pressure.look(machine())
    now[0] = 100.0
    assert pressure.look(half) == []


def test_evictions_go_on_until_the_minimum_is_reclaimed() -> None:
    pressure = Pressure(_thresholds.hard({"memory.available": "100Mi"}, {"memory.available": "50Mi"}))
    assert pressure.look(machine(memory_available=120 * MIB)) == []
    assert pressure.look(machine(memory_available=99 * MIB))
    assert pressure.look(machine(memory_available=149 * MIB))
    assert pressure.look(machine(memory_available=150 * MIB)) == []
    assert pressure.look(machine(memory_available=120 * MIB)) == []


def test_pods_go_by_excess_then_priority_then_how_much_excess() -> None:
    candidates = [
        Candidate(pod("critical", CRITICAL), 1000, 0),
        Candidate(pod("within"), 90, 100),
        Candidate(pod("dear", 10), 500, 100),
        Candidate(pod("little"), 110, 100),
        Candidate(pod("much"), 400, 100),
    ]
    names = [one.pod.metadata.name for one in _standing.rank(candidates, "memory")]
    assert names == ["much", "little", "dear", "within"]
    # Processes cannot be asked for: priority and number count.
    names = [one.pod.metadata.name for one in _standing.rank(candidates, "pids")]
    assert names == ["much", "little", "within", "dear"]


def test_what_a_pod_asks_for_counts_sidecars_and_the_greediest_init_container() -> None:
    one = pod("one", memory="100", cpu="100m")
    first, sidecar = pod("first", memory="150").spec.containers[0], pod("side", cpu="1").spec.containers[0]
    sidecar.restart_policy = "Always"
    one.spec.init_containers = [sidecar, first]
    assert _standing.requests(one) == {"memory": 150, "cpu": 1100}
    one.spec.overhead = {"memory": Quantity("7")}
    assert _standing.requests(one) == {"memory": 157, "cpu": 1100}


def test_under_pressure_only_those_may_begin_that_do_no_harm() -> None:
    asking, idle, critical = pod("asking", memory="1Mi"), pod("idle"), pod("critical", CRITICAL)
    patient = pod("patient")
    patient.spec.tolerations = [Toleration(key="node.kubernetes.io/memory-pressure", operator="Exists")]
    for one, refused in ((asking, False), (idle, True), (critical, False), (patient, False)):
        assert bool(_admission.under_pressure(one, {"MemoryPressure"})) == refused
    for one, refused in ((asking, True), (idle, True), (critical, False), (patient, True)):
        assert bool(_admission.under_pressure(one, {"DiskPressure"})) == refused
    assert _admission.under_pressure(idle, set()) is None


class Other:
    def __init__(self, given: Pod) -> None:
        self.asked = _standing.requests(given)


def test_a_pod_that_asks_for_more_than_is_left_is_refused() -> None:
    room = {"cpu": Quantity("2"), "memory": Quantity("1Gi"), "pods": Quantity("3")}
    others = [Other(pod("other", cpu="1500m")), Other(pod("idle"))]
    assert _admission.beyond_room(pod("fits", cpu="500m", gadget="1"), others, room) is None
    refusal = _admission.beyond_room(pod("big", cpu="501m"), others, room)
    assert refusal is not None
    assert refusal.reason == "OutOfcpu"
    assert refusal.message.endswith("resource: cpu, requested: 501, used: 1500, capacity: 2000")
    refusal = _admission.beyond_room(pod("one more"), [*others, Other(pod("third"))], room)
    assert refusal is not None
    assert refusal.reason == "OutOfpods"


def test_what_is_kept_for_others_is_not_allocatable() -> None:
    settings = KubeletSettings(
        eviction_hard=HARD, system_reserved={"cpu": "500m", "memory": "100Mi"}, kube_reserved={"cpu": "100m"}
    )
    free = _node.allocatable(machine(), settings)
    assert (free["cpu"], free["memory"]) == (Quantity("1400m"), Quantity("800Mi"))


def test_the_critical_ones_end_last() -> None:
    (ordinary, critical) = plan = _shutdown_plan.of_two(timedelta(seconds=30), timedelta(seconds=10))
    assert (ordinary.seconds, critical.seconds) == (20, 10)
    assert _shutdown_plan.turn_of(CRITICAL, plan) is critical
    assert _shutdown_plan.turn_of(CRITICAL - 1, plan) is ordinary
    assert _shutdown_plan.of_two(timedelta(0), timedelta(0)) == []


def test_turns_by_priority_go_from_the_lowest_on() -> None:
    seconds = {"100000": 10, "0": 60, "10000": 20}
    plan = _shutdown_plan.by_priority({name: timedelta(seconds=n) for name, n in seconds.items()})
    assert [turn.seconds for turn in plan] == [60, 20, 10]
    for priority, expected in ((-5, 60), (0, 60), (9999, 60), (10000, 20), (CRITICAL, 10)):
        assert _shutdown_plan.turn_of(priority, plan).seconds == expected


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The evictor sees the machine short of memory once for each thing in the list."""
    real, reasons = Pressure.look, list[str]()

    def look(pressure: Pressure, host: HostFacts) -> Any:
        available = 0 if reasons and reasons.pop() else host.memory
        return real(pressure, dataclasses.replace(host, memory_available=available))

    monkeypatch.setattr(Pressure, "look", look)
    return reasons


async def test_short_of_memory_the_node_evicts_one_pod_and_says_so(
    cluster: Cluster, short: list[str]
) -> None:
    async with cluster.kubelet(eviction_hard={"memory.available": "1Mi"}):
        await cluster.run("forever", "", name="idle")
        resources = ResourceRequirements(requests={"memory": Quantity("1Gi")})
        await cluster.run("forever", "", name="asking", resources=resources)
        for name in ("idle", "asking"):
            await cluster.until_phase("Running", name)
        short.append("a test")
        evicted = await cluster.until_phase("Failed", "idle")
        assert evicted.status.reason == "Evicted"
        assert "low on resource: memory. Threshold quantity: 1Mi" in (evicted.status.message or "")
        (target,) = (one for one in evicted.status.conditions if one.type == "DisruptionTarget")
        assert (target.status, target.reason) == ("True", "TerminationByKubelet")
        assert (await cluster.pods.get("asking")).status.phase == "Running"
        await cluster.run("say", "x", name="late")
        refused = await cluster.until(lambda pod: pod.status.phase == "Failed", "late")
        assert (refused.status.reason, refused.status.message) == (
            "Evicted",
            "Pod was rejected: The node had condition: [MemoryPressure]. ",
        )
        await cluster.until_event("EvictionThresholdMet", "reclaim memory", name="node-1")
        await cluster.until_event("NodeHasSufficientMemory", name="node-1")


async def test_who_goes_for_a_soft_threshold_has_time_for_a_hook(cluster: Cluster, short: list[str]) -> None:
    soft = {"memory.available": "1Mi"}
    async with cluster.kubelet(
        eviction_soft=soft,
        eviction_soft_grace_period={"memory.available": timedelta(0)},
        eviction_max_pod_grace_period=1,
    ):
        endless = LifecycleHandler(sleep=SleepAction(seconds=600))
        hooks = Lifecycle(pre_stop=endless)
        await cluster.run("forever", "", lifecycle=hooks, termination_grace_period_seconds=900)
        await cluster.until_phase("Running")
        short.append("a test")
        evicted = await cluster.until_phase("Failed")
        assert evicted.status.reason == "Evicted"
        assert "grace period of 1 s" in await cluster.until_event("FailedPreStopHook")


async def test_a_node_that_shuts_down_ends_its_pods_and_says_why(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_shutdown, "_SYSTEMD", tmp_path / "none")
    async with cluster.kubelet(
        shutdown_grace_period=timedelta(seconds=20),
        shutdown_grace_period_critical_pods=timedelta(seconds=5),
    ):
        await cluster.run("forever", "")
        await cluster.until_phase("Running")
    ended = await cluster.pods.get("pod")
    assert (ended.status.phase, ended.status.reason) == ("Failed", "Terminated")
    assert ended.status.message == _shutdown.MESSAGE
    node = await Api(cluster.client, Node).get("node-1")
    (ready,) = (one for one in node.status.conditions if one.type == "Ready")
    assert (ready.status, ready.message) == ("False", "node is shutting down")


def is_ready(node: Node) -> bool:
    return any((one.type, one.status) == ("Ready", "True") for one in node.status.conditions)


async def test_a_shutdown_that_is_called_off_makes_the_node_ready_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    async def watch(_seconds: float, *deeds: Any) -> None:
        asked.extend(deeds)

    monkeypatch.setattr(_logind, "watch", watch)
    monkeypatch.setattr(_shutdown, "_SYSTEMD", tmp_path / "none")
    async with cluster.kubelet(shutdown_grace_period_by_pod_priority={"0": timedelta(seconds=20)}):
        await cluster.eventually(lambda: len(asked) == 2)
        prepare, go_on = asked
        await cluster.run("forever", "")
        await cluster.until_phase("Running")
        await prepare()
        assert (await cluster.until_phase("Failed")).status.reason == "Terminated"
        await cluster.run("say", "x", name="late")
        assert (await cluster.until_phase("Failed", "late")).status.reason == "NodeShutdown"
        await go_on()
        async with asyncio.timeout(30):
            while not is_ready(await Api(cluster.client, Node).get("node-1")):
                pass
        await cluster.run("say", "x", name="later")
        await cluster.until_phase("Succeeded", "later")
