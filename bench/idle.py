"""What an idle cluster costs: each part in a process of its own, and all of them in one (`proa up`).

Processor time is the kernel's account of every thread (`schedstat`), in nanoseconds; how often threads ran is
from the same file.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench._table import parent, show, spent
from bench.pods import Phases, pod, push, sandboxes
from bench.sandboxes import SLEEPER
from proa.cli.testing import up
from proa.kube import Api, Client, Config
from proa.kube.models.core_v1 import Pod
from proa.wasm.testing import compile_c

PODS = (100, 200)
SETTLING_SECONDS = 20.0
SECONDS = 30.0
STOP_SECONDS = 30.0

NODE = "the node: kubelet, zygote and sandboxes"
WHOLE = "all in one: `proa up`, its page included"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        figures = _apart(Path(folder))
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder, up(Path(folder) / "state") as cluster:
        config = Config.from_kubeconfig(cluster.kubeconfig)
        image = push(cluster.registry, compile_c(SLEEPER))
        parts = {WHOLE: cluster.process.pid}
        together = asyncio.run(_measure(config, image, Path(folder), parts, WHOLE))
    show(
        "Idle: % of a core, and how often a thread ran in a second",
        ("", *(head for pods in PODS for head in (f"% with {pods} sleeping pods", "runs/s"))),
        [(name, *_cells(by_pods)) for name, by_pods in (figures | together).items()],
        note=f"Each over {SECONDS:.0f} s, {SETTLING_SECONDS:.0f} s after the last pod had begun to run.",
    )


def _cells(by_pods: list[tuple[float, float]]) -> list[str]:
    return [cell for percent, runs in by_pods for cell in (f"{percent:.2f}", f"{runs:.1f}")]


def _apart(folder: Path) -> dict[str, list[tuple[float, float]]]:
    with ExitStack() as stack:

        def part(*command: str | Path) -> tuple[int, str]:
            return stack.enter_context(_process(*command))

        state = folder / "state"
        _, registry = part("registry", "--data-dir", folder / "registry", "--port", "0")
        server, _ = part("apiserver", "--data-dir", state, "--port", "0")
        configured = ("--kubeconfig", state / "kubeconfig")
        node = ("--data-dir", folder / "node", "--port", "0", "--max-pods", str(max(PODS)))
        parts = {
            "API server": server,
            "scheduler": part("scheduler", *configured)[0],
            "controllers": part("controller-manager", *configured)[0],
            NODE: part("kubelet", *configured, *node, "--stop-pods-on-exit")[0],
        }
        image = push(registry.rpartition("//")[2], compile_c(SLEEPER))
        config = Config.from_kubeconfig(state / "kubeconfig")
        return asyncio.run(_measure(config, image, folder, parts, NODE))


@contextmanager
def _process(*command: str | Path) -> Iterator[tuple[int, str]]:
    """Run a command until the end of the block; give its process id and the first line that it prints."""
    whole = [sys.executable, "-m", "proa.cli", *map(str, command), "--log-level", "warning"]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


async def _measure(
    config: Config, image: str, folder: Path, parts: Mapping[str, int], host: str
) -> dict[str, list[tuple[float, float]]]:
    """Percent and runs a second of each part, by numbers of pods; `host` includes the sandboxes."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in parts}
    async with Client(config) as client:
        pods = Api(client, Pod, namespace="default")
        made = 0
        for wanted in PODS:
            await _create(pods, image, range(made, wanted))
            made = wanted
            await asyncio.sleep(SETTLING_SECONDS)
            guests = sandboxes(folder)
            processes = {name: [pid] for name, pid in parts.items()}
            processes[host] += [parent(guests[0]), *guests]
            before = {name: spent(pids) for name, pids in processes.items()}
            began = time.perf_counter()
            await asyncio.sleep(SECONDS)
            took = time.perf_counter() - began
            for name, pids in processes.items():
                after = spent(pids)
                seconds, turns = after.seconds - before[name].seconds, after.turns - before[name].turns
                found[name].append((100 * seconds / took, turns / took))
    return found


async def _create(pods: Api[Pod], image: str, numbers: range) -> None:
    phases = Phases()
    watching = asyncio.create_task(phases.watch(pods))
    try:
        await asyncio.gather(*(pods.create(pod(f"pod-{number}", image)) for number in numbers))
        for number in numbers:
            await phases.wait(f"pod-{number}", "Running")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
