"""Shares of processor time: by control groups where there are any, else by rank."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Container, Pod, PodSpec, ResourceRequirements
from proa.kubelet import _usage, _victims
from proa.kubelet._process_tree import tree
from proa.kubelet._processors import Processors, quota, rank, weight

Cluster = Any


def resources(request: str | None = None, limit: str | None = None) -> ResourceRequirements:
    return ResourceRequirements(
        requests={"cpu": Quantity(request)} if request else {},
        limits={"cpu": Quantity(limit)} if limit else {},
    )


@pytest.mark.parametrize(
    ("asked", "expected"), [(None, 5), (4.0, 0), (1.0, 0), (0.5, 2), (0.1, 5), (0.001, 5)]
)
def test_ranks_follow_requests(asked: float | None, expected: int) -> None:
    assert rank(asked) == expected


def test_weights_and_quotas_are_kubernetes() -> None:
    assert [weight(asked) for asked in (None, 0.1, 1.0, 256.0)] == [1, 4, 39, 10_000]
    assert [quota(limit) for limit in (None, 0.5, 2.0, 0.0001)] == [
        "max 100000", "50000 100000", "200000 100000", "1000 100000",
    ]  # fmt: skip


@pytest.fixture
def sleeper() -> Any:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def test_without_control_groups_a_guest_gets_a_rank(sleeper: int, tmp_path: Path) -> None:
    processors = Processors.find(tmp_path, tmp_path / "none")
    assert not processors.has_groups
    processors.give("pod/main/0", sleeper, resources("100m"))
    assert os.getpriority(os.PRIO_PROCESS, sleeper) == 5
    processors.forget("pod/main/0")


@pytest.fixture
def family() -> Iterator[int]:
    """A process that has started another."""
    process = subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo started; wait"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    yield process.pid
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_what_a_server_has_started_counts_with_it(family: int, tmp_path: Path) -> None:
    usage = _usage.of_process(family)
    assert usage is not None
    assert usage.processes == 2
    Processors.find(tmp_path, tmp_path / "none").give("pod/main/0", family, resources("100m"))
    assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in tree(family)] == [5, 5]
    assert [*tree(2**22 + 1)] == [2**22 + 1]


def test_guests_go_by_their_quality_of_service_when_memory_ends() -> None:
    def pod(requests: dict[str, str], limits: dict[str, str]) -> Pod:
        given = ResourceRequirements(
            requests={name: Quantity(amount) for name, amount in requests.items()},
            limits={name: Quantity(amount) for name, amount in limits.items()},
        )
        return Pod(spec=PodSpec(containers=[Container(name="c", resources=given)]))

    def score(requests: dict[str, str], limits: dict[str, str], priority: int = 0) -> int:
        made = pod(requests, limits)
        made.spec.priority = priority
        return _victims.score(made, made.spec.containers[0], 1000)

    assert score({}, {}) == 1000
    assert score({}, {}, 2_000_001_000) == -997
    assert score({}, {"cpu": "1", "memory": "100"}) == -997
    assert score({"cpu": "1"}, {"cpu": "1", "memory": "100"}) == -997
    assert [score({"memory": asked}, {}) for asked in ("250", "1", "1000")] == [750, 999, 3]
    assert score({"cpu": "1"}, {}) == 999


def test_a_mark_is_what_the_kernel_has(family: int) -> None:
    _victims.mark(family, 900)
    found = [Path(f"/proc/{pid}/oom_score_adj").read_text() for pid in tree(family)]
    assert found == ["900\n", "900\n"]


def test_a_delegated_control_group_is_divided_and_guests_get_their_own(sleeper: int, tmp_path: Path) -> None:
    # A directory in the place of the kernel's: files take what is written.
    service = tmp_path / "proa.service"
    for name in ("", "kubelet", "guests"):
        (service / name).mkdir(exist_ok=True)
        (service / name / "cgroup.procs").write_text(f"{os.getpid()}\n" if not name else "")
    (service / "cgroup.controllers").write_text("cpu memory\n")
    (tmp_path / "own").write_text("0::/proa.service/kubelet\n")
    processors = Processors.find(tmp_path, tmp_path / "own")
    assert processors.has_groups
    assert (service / "kubelet" / "cgroup.procs").read_text() == str(os.getpid())
    assert (service / "cgroup.subtree_control").read_text() == "+cpu"
    processors.give("pod/main/0", sleeper, resources("500m", "1500m"))
    group = service / "guests" / "pod_main_0"
    assert (group / "cpu.max").read_text() == "150000 100000"
    assert (group / "cpu.weight").read_text() == "20"
    assert (group / "cgroup.procs").read_text() == str(sleeper)


@pytest.fixture
def delegated(sleeper: int) -> Iterator[Path]:
    """A real control group that may be divided, with the sleeper in it; skips where there is none."""
    root, own = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup").read_text(encoding="utf-8")
    here = root / next((line[4:].strip() for line in own.splitlines() if line.startswith("0::")), "")
    group = here / f"proa-test-{os.getpid()}"
    if not (here / "cgroup.procs").exists():
        pytest.skip("needs control groups of version 2")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"needs leave to make a control group: {error}")
    try:
        if "cpu" not in (group / "cgroup.controllers").read_text(encoding="utf-8").split():
            pytest.skip("needs the cpu controller")
        try:
            (group / "cgroup.procs").write_text(str(sleeper))
        except OSError as error:
            pytest.skip(f"needs leave to move a process: {error}")
        yield group
        (here / "cgroup.procs").write_text(str(sleeper))
    finally:
        for left in (*group.glob("*/*/"), *group.glob("*/"), group):
            left.rmdir()


def test_the_kernel_takes_what_a_guest_is_given(delegated: Path, sleeper: int, tmp_path: Path) -> None:
    (tmp_path / "own").write_text(f"0::/{delegated.name}\n")
    processors = Processors.find(delegated.parent, tmp_path / "own")
    assert processors.has_groups
    assert (delegated / "kubelet" / "cgroup.procs").read_text().split() == [str(sleeper)]
    processors.give("pod/main/0", sleeper, resources("500m", "1500m"))
    group = delegated / "guests" / "pod_main_0"
    assert (group / "cgroup.procs").read_text().split() == [str(sleeper)]
    assert (group / "cpu.max").read_text().split() == ["150000", "100000"]
    processors.forget("pod/main/0")
    assert group.exists(), "somebody still lives in it"


def test_groups_of_guests_that_are_gone_are_removed_at_the_next_start(tmp_path: Path) -> None:
    service = tmp_path / "proa.service"
    (service / "guests" / "pod_main_0").mkdir(parents=True)
    (service / "kubelet").mkdir()
    for name in ("", "kubelet"):
        (service / name / "cgroup.procs").write_text("")
    (service / "cgroup.controllers").write_text("cpu\n")
    (tmp_path / "own").write_text("0::/proa.service\n")
    assert Processors.find(tmp_path, tmp_path / "own").has_groups
    assert not (service / "guests" / "pod_main_0").exists()


async def test_a_guest_that_asks_for_little_ranks_behind_one_that_asks_for_more(node: Cluster) -> None:
    for name, request in (("little", "100m"), ("much", "1")):
        await node.run("forever", "", name=name, resources=resources(request))
        await node.until_phase("Running", name)
    found = sorted(os.getpriority(os.PRIO_PROCESS, pid) for pid in guests(node.directory))
    if (node.directory / "kubelet").exists() and found:
        assert found == [0, 5] or set(found) == {0}, "with control groups, ranks stay as they are"


def guests(directory: Path) -> list[int]:
    """The sandbox processes of a kubelet: children of its zygote."""
    parents: dict[int, int] = {}
    zygotes = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            line = (entry / "cmdline").read_text()
        except OSError:
            continue
        if str(directory) in line and "zygote" in line:
            zygotes.add(int(entry.name))
    return [pid for pid, parent in parents.items() if parent in zygotes]
