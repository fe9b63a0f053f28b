"""What running containers and the node use: `/metrics/resource` for metrics-server, `/stats/summary`.

Figures are the kernel's own of each sandbox's process. A container's working set is its private memory: pages
of the engine and of machine code, which all sandboxes share, are the node's and no container's.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from proa.kube.models import now
from proa.kubelet import _storage
from proa.kubelet._host_facts import HostFacts, parse_meminfo
from proa.kubelet._pod import PodWorker
from proa.kubelet._process_tree import tree

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True)
class Usage:
    """Processor time in seconds since the start, private memory in bytes, and the number of processes."""

    cpu_seconds: float
    memory: int
    processes: int = 1

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.cpu_seconds + other.cpu_seconds,
            self.memory + other.memory,
            self.processes + other.processes,
        )


@dataclass(frozen=True)
class ContainerUsage:
    """What one running container uses, and since when it runs."""

    name: str
    started_at: datetime
    usage: Usage


@dataclass(frozen=True)
class PodUsage:
    """What the running containers of one pod use."""

    namespace: str
    name: str
    uid: str
    started_at: datetime
    containers: Sequence[ContainerUsage]
    storage: int = 0
    """Bytes of disk, where that was asked for."""

    @property
    def total(self) -> Usage:
        """All of them together."""
        return sum((container.usage for container in self.containers), _NOTHING)


_NOTHING: Final = Usage(0.0, 0, 0)


def of_process(pid: int) -> Usage | None:
    """What a process and those that it has started use; None when it is gone. Blocks for a moment."""
    own, *others = [_of_one(each) for each in tree(pid)]
    return sum((other for other in others if other is not None), own) if own is not None else None


def _of_one(pid: int) -> Usage | None:
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not fields:
        return None
    ticks = sum(map(int, fields[11:15]))  # Its own, and those of children which have ended.
    try:
        memory = _private_memory(pid, fields[19], ticks, fields[7], fields[9])
    except OSError:
        return None
    return Usage(ticks / _TICKS, memory)


@lru_cache(maxsize=4096)
def _private_memory(pid: int, _began: str, _ticks: int, _minor: str, _major: str) -> int:
    """The private memory of a process that has this start, processor time and these numbers of page faults.

    To add it up the kernel walks through all of the process's pages: it is not asked again of a process that
    did nothing since the last time, as most do.
    """
    memory = parse_meminfo(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8"))
    if not memory:
        raise ProcessLookupError(f"process {pid} has ended")
    return memory.get("Private_Clean", 0) + memory.get("Private_Dirty", 0)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def of_node() -> Usage:
    """What the whole machine uses. Blocks for a moment."""
    ticks = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0].split()[1:]
    user, nice, system, _idle, _waiting, *others = map(int, ticks)
    memory = parse_meminfo(Path("/proc/meminfo").read_text(encoding="utf-8"))
    in_use = memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)
    return Usage((user + nice + system + sum(others[:2])) / _TICKS, in_use)


def of_pods(workers: Iterable[PodWorker]) -> list[PodUsage]:
    """What each pod that has running containers uses. Blocks for a moment a container."""
    return [usage for worker in workers if (usage := _of_pod(worker)) is not None]


def with_storage(workers: Sequence[PodWorker]) -> list[PodUsage]:
    """The same with what is on disk of each, which takes longer."""
    directories = {worker.context.uid: worker.context.directory.path for worker in workers}
    return [replace(pod, storage=_storage.usage(directories[pod.uid])) for pod in of_pods(workers)]


def _of_pod(worker: PodWorker) -> PodUsage | None:
    metadata = worker.context.pod.metadata
    found = []
    for container in [*worker.init_containers, *worker.containers]:
        running = [sandbox for sandbox in container.sandboxes() if sandbox.exit is None]
        if running and (usage := of_process(running[-1].pid)) is not None:
            found.append(ContainerUsage(container.name, running[-1].started_at, usage))
    if not found:
        return None
    began = worker.status.start_time or found[0].started_at
    return PodUsage(metadata.namespace or "", metadata.name or "", metadata.uid or "", began, found)


def resource_metrics(node: Usage, pods: Iterable[PodUsage]) -> str:
    """The text of `/metrics/resource`, in Prometheus' format. Pure."""
    known = list(pods)
    each = [(pod, container) for pod in known for container in pod.containers]
    lines: list[str] = []

    def family(name: str, kind: str, samples: Iterable[tuple[str, float]]) -> None:
        lines.extend((f"# HELP {name} Of the kernel's own figures", f"# TYPE {name} {kind}"))
        lines.extend(f"{name}{labels} {value}" for labels, value in samples)

    family(
        "container_cpu_usage_seconds_total",
        "counter",
        ((_labels(pod, one.name), one.usage.cpu_seconds) for pod, one in each),
    )
    family(
        "container_memory_working_set_bytes",
        "gauge",
        ((_labels(pod, one.name), one.usage.memory) for pod, one in each),
    )
    family(
        "container_start_time_seconds",
        "gauge",
        ((_labels(pod, one.name), one.started_at.timestamp()) for pod, one in each),
    )
    family("node_cpu_usage_seconds_total", "counter", [("", node.cpu_seconds)])
    family("node_memory_working_set_bytes", "gauge", [("", node.memory)])
    family("pod_cpu_usage_seconds_total", "counter", ((_labels(pod), pod.total.cpu_seconds) for pod in known))
    family("pod_memory_working_set_bytes", "gauge", ((_labels(pod), pod.total.memory) for pod in known))
    family("resource_scrape_error", "gauge", [("", 0)])
    return "\n".join(lines) + "\n"


def summary(name: str, machine: HostFacts, node: Usage, pods: Iterable[PodUsage]) -> dict[str, Any]:
    """The document of `/stats/summary`. Pure but for the time."""
    moment = _time(now())
    disk = {
        "time": moment,
        "availableBytes": machine.disk_available,
        "capacityBytes": machine.disk,
        "usedBytes": machine.disk - machine.disk_available,
        "inodes": machine.inodes,
        "inodesFree": machine.inodes_free,
    }
    processes = {"time": moment, "maxpid": machine.max_processes, "curproc": machine.processes}
    used = _stats(node, moment)
    used["memory"]["availableBytes"] = machine.memory_available
    return {
        "node": {
            "nodeName": name,
            "fs": disk,
            "runtime": {"imageFs": disk},
            "rlimit": processes,
            **used,
        },
        "pods": [
            {
                "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
                "startTime": _time(pod.started_at),
                "containers": [
                    {"name": one.name, "startTime": _time(one.started_at), **_stats(one.usage, moment)}
                    for one in pod.containers
                ],
                "ephemeral-storage": {"time": moment, "usedBytes": pod.storage},
                "process_stats": {"process_count": pod.total.processes},
                **_stats(pod.total, moment),
            }
            for pod in pods
        ],
    }


def _stats(usage: Usage, moment: str) -> dict[str, Any]:
    return {
        "cpu": {"time": moment, "usageCoreNanoSeconds": int(usage.cpu_seconds * _NANOSECONDS)},
        "memory": {"time": moment, "workingSetBytes": usage.memory, "usageBytes": usage.memory},
    }


def _labels(pod: PodUsage, container: str | None = None) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in _pairs(pod, container)) + "}"


def _pairs(pod: PodUsage, container: str | None) -> Iterator[tuple[str, str]]:
    # Names in Kubernetes have no characters that would have to be escaped.
    if container is not None:
        yield "container", container
    yield "namespace", pod.namespace
    yield "pod", pod.name


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
