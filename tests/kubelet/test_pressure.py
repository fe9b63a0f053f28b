"""A node that runs short: who has to go, what it tells, and how it goes down in good order."""

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proa.kube import Api
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Container, Node, Pod, PodSpec, ResourceRequirements
from proa.kubelet import _host_facts, _pressure, _shutdown
from proa.kubelet._host_facts import HostFacts
from proa.kubelet._pressure import CRITICAL, Candidate, Pressure

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


def test_thresholds_are_quantities_or_shares() -> None:
    assert _pressure.shortages(machine(), HARD) == []
    (memory,) = _pressure.shortages(machine(memory_available=99 * MIB), HARD)
    assert (memory.resource, memory.condition, memory.threshold) == ("memory", "MemoryPressure", "100Mi")
    (disk,) = _pressure.shortages(machine(disk_available=99), HARD)
    assert (disk.resource, disk.condition) == ("ephemeral-storage", "DiskPressure")
    assert _pressure.shortages(machine(inodes=0), {"nodefs.inodesFree": "5%"}) == []
    assert len([*_pressure.problems({"memory.free": "1Mi", "memory.available": "much"})]) == 2


def test_a_condition_outlasts_its_shortage_for_a_while() -> None:
    now = [0.0]
    pressure = Pressure(HARD, 300.0, lambda: now[0])
    pressure.look(machine(memory_available=0))
    pressure.look(machine())
    now[0] = 299.0
    assert pressure.conditions == {"MemoryPressure"}
    now[0] = 301.0
    assert pressure.conditions == frozenset()


def test_pods_go_by_excess_then_priority_then_how_much_excess() -> None:
    candidates = [
        Candidate(pod("critical", CRITICAL), 1000, 0),
        Candidate(pod("within"), 90, 100),
        Candidate(pod("dear", 10), 500, 100),
        Candidate(pod("little"), 110, 100),
        Candidate(pod("much"), 400, 100),
    ]
    assert [one.pod.metadata.name for one in _pressure.rank(candidates)] == [
        "much",
        "little",
        "dear",
        "within",
    ]


def test_under_pressure_only_those_may_begin_that_do_no_harm() -> None:
    asking, idle, critical = pod("asking", memory="1Mi"), pod("idle"), pod("critical", CRITICAL)
    for one, refused in ((asking, False), (idle, True), (critical, False)):
        assert bool(_pressure.refusal(one, {"MemoryPressure"})) == refused
    for one, refused in ((asking, True), (idle, True), (critical, False)):
        assert bool(_pressure.refusal(one, {"DiskPressure"})) == refused
    assert _pressure.refusal(idle, set()) is None


def test_the_critical_ones_end_last() -> None:
    assert _shutdown.periods(30, 10) == [(-(2**31), 20), (CRITICAL, 10)]
    assert _shutdown.periods(5, 10) == [(-(2**31), 0), (CRITICAL, 5)]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The machine is seen to be short of memory once for each thing in the list."""
    real, reasons = _host_facts.observe, list[str]()

    def observe(*arguments: Any) -> HostFacts:
        seen = real(*arguments)
        return dataclasses.replace(seen, memory_available=0 if reasons and reasons.pop() else seen.memory)

    monkeypatch.setattr(_host_facts, "observe", observe)
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
        assert "low on resource: memory" in (evicted.status.message or "")
        (target,) = (one for one in evicted.status.conditions if one.type == "DisruptionTarget")
        assert (target.status, target.reason) == ("True", "TerminationByKubelet")
        assert (await cluster.pods.get("asking")).status.phase == "Running"
        await cluster.run("say", "x", name="late")
        refused = await cluster.until(lambda pod: pod.status.phase == "Failed", "late")
        assert refused.status.reason == "Evicted"


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
