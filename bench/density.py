"""How many pods a node holds: 1,000 sleeping ones on a whole cluster (`proa up`)."""

import asyncio
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
AT_A_TIME = 64


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder, up(Path(folder) / "state") as cluster:
        image = push(cluster.registry, compile_c(SLEEPER))
        config = Config.from_kubeconfig(cluster.kubeconfig)
        seconds, memory = asyncio.run(_measure(config, image, Path(folder)))
    show(
        f"{PODS} sleeping pods on one node, created together",
        ("seconds until all ran", "private MB a container"),
        ((seconds, memory / 1e6),),
    )


async def _measure(config: Config, image: str, folder: Path) -> tuple[float, float]:
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
            return seconds, sum(map(private_bytes, found)) / len(found)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _create(pods: Api[Pod], wanted: Pod, turns: asyncio.Semaphore) -> None:
    async with turns:
        await pods.create(wanted)
