"""How many pods a node holds: 1,000 sleeping ones on a whole cluster (`proa up`), and what idling costs.

Control plane and node share one process here: what it uses while idle is more than a node alone would.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from bench._table import private_bytes, show
from bench.pods import Phases, pod, push, sandboxes
from bench.sandboxes import SLEEPER
from proa.cli.testing import up
from proa.kube import Api, Client, Config
from proa.kube.models.core_v1 import Pod
from proa.wasm.testing import compile_c

PODS = 1000
STAY = 100
AT_A_TIME = 64
IDLE_SECONDS = 20.0
SETTLING_SECONDS = 15.0


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder, up(Path(folder) / "state") as cluster:
        image = push(cluster, compile_c(SLEEPER))
        config = Config.from_kubeconfig(cluster.kubeconfig)
        seconds, memory, idle = asyncio.run(_measure(config, image, Path(folder), cluster.process.pid))
    show(
        f"{PODS} sleeping pods on one node, created together",
        ("seconds until all ran", "private MB a container", f"% of a core, idle with {STAY} pods"),
        ((seconds, memory / 1e6, idle),),
        note=f"Idle: API server, scheduler, controllers, kubelet and zygote, over {IDLE_SECONDS:.0f} s.",
    )


async def _measure(config: Config, image: str, folder: Path, process: int) -> tuple[float, float, float]:
    async with Client(config) as client:
        pods = Api(client, Pod, namespace="default")
        phases = Phases()
        watching = asyncio.create_task(phases.watch(pods))
        try:
            names = [f"pod-{number}" for number in range(PODS)]
            turns = asyncio.Semaphore(AT_A_TIME)
            began = time.perf_counter()
            await asyncio.gather(*(_create(pods, pod(name, image), turns) for name in names))
            for name in names:
                await phases.wait(name, "Running")
            seconds = time.perf_counter() - began
            found = sandboxes(folder)
            memory = sum(map(private_bytes, found)) / len(found)
            await asyncio.gather(*(_delete(pods, name, turns) for name in names[STAY:]))
            while len(sandboxes(folder)) > STAY:  # noqa: ASYNC110 - processes have no events
                await asyncio.sleep(1)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    await asyncio.sleep(SETTLING_SECONDS)
    before, moment = _cpu_seconds(process), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    return seconds, memory, 100 * (_cpu_seconds(process) - before) / (time.perf_counter() - moment)


async def _create(pods: Api[Pod], wanted: Pod, turns: asyncio.Semaphore) -> None:
    async with turns:
        await pods.create(wanted)


async def _delete(pods: Api[Pod], name: str, turns: asyncio.Semaphore) -> None:
    async with turns:
        await pods.delete(name, grace_period=0)


def _cpu_seconds(process: int) -> float:
    times = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
