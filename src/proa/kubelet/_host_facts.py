"""What the machine below the node is and has: read from the kernel, nothing assumed."""

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """The machine at one moment.

    Attributes:
        cpus: Processors this process may run on.
        memory: All memory in bytes.
        memory_available: Memory that could be given out without swapping, in bytes.
        disk: Size of the file system that keeps the kubelet's data, in bytes.
        disk_available: What of it is free for an ordinary user, in bytes.
        processes: Processes and threads that exist now.
        max_processes: How many the kernel allows.
        inodes: How many files that file system can hold; 0 when it has no such bound.
        inodes_free: How many more it can.
        machine_id: Same for each boot of this installation.
        boot_id: Another for each boot.
        kernel_version: As `uname -r` says.
        os_image: The distribution's name.
        architecture: As Go and therefore Kubernetes spell it: `amd64`, `arm64`.
        engine_version: Of the WebAssembly engine.
    """

    cpus: int
    memory: int
    memory_available: int
    disk: int
    disk_available: int
    processes: int
    max_processes: int
    machine_id: str
    boot_id: str
    kernel_version: str
    os_image: str
    architecture: str
    engine_version: str
    inodes: int = 0
    inodes_free: int = 0


def observe(data_dir: Path) -> HostFacts:
    """Look at the machine. Reads a few small files of the kernel's; call it in a thread."""
    memory = parse_meminfo(_text("/proc/meminfo"))
    disk = shutil.disk_usage(data_dir)
    files = os.statvfs(data_dir)
    return HostFacts(
        cpus=len(os.sched_getaffinity(0)),
        memory=memory.get("MemTotal", 0),
        memory_available=memory.get("MemAvailable", 0),
        disk=disk.total,
        disk_available=disk.free,
        processes=parse_task_count(_text("/proc/loadavg")),
        max_processes=int(_text("/proc/sys/kernel/pid_max") or 32768),
        machine_id=_text("/etc/machine-id"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel_version=platform.release(),
        os_image=_os_image(),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        engine_version=_engine_version(),
        inodes=files.f_files,
        inodes_free=files.f_favail,
    )


_ARCHITECTURES: Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def parse_meminfo(text: str) -> dict[str, int]:
    """The figures of /proc/meminfo in bytes."""
    figures = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if number.isdecimal():
            figures[name] = int(number) * (1024 if unit == "kB" else 1)
    return figures


def parse_task_count(loadavg: str) -> int:
    """The number of processes and threads, from the fourth field of /proc/loadavg."""
    fields = loadavg.split()
    return int(fields[3].partition("/")[2]) if len(fields) > 3 else 0


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


@cache
def _engine_version() -> str:
    return version("wasmtime")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""
