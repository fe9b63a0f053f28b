"""Pods on a whole cluster (`proa up`): how soon kubectl would see one run, and what a sleeping one costs.

The 69 MB program is Yosys, from a wheel; its row is left out where that is not installed.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from bench._table import percentile, private_bytes, show
from bench.sandboxes import SLEEPER
from proa.cli.testing import Up, proa, up
from proa.kube import Api, Bookmark, Client, Config
from proa.kube.models.core_v1 import Container, Pod, PodSpec
from proa.kube.models.meta_v1 import ObjectMeta
from proa.wasm.testing import compile_c, yosys_wasm

TIMED = 100
SLEEPERS = 200


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder, _timed_up(folder) as (ready, cluster):
        image = push(cluster.registry, compile_c(SLEEPER))
        yosys = yosys_wasm()
        large = push(cluster.registry, yosys) if yosys else None
        config = Config.from_kubeconfig(cluster.kubeconfig)
        latencies, together, large_seconds = asyncio.run(_measure(config, image, large))
        memory = [private_bytes(pid) for pid in sandboxes(Path(folder))]
    show(
        "`proa up`: from the command to ready, in seconds",
        ("new state", "the same state again"),
        ((ready[0], ready[1]),),
    )
    show(
        f"Pods: create → Running as a client sees it, {TIMED} one after the other, image cached",
        ("p50 ms", "p99 ms", "most ms"),
        ((percentile(latencies, 0.5) * 1e3, percentile(latencies, 0.99) * 1e3, max(latencies) * 1e3),),
    )
    show(
        f"{SLEEPERS} sleeping pods",
        (f"seconds until the last {SLEEPERS - TIMED}, created together, ran", "private MB a container"),
        ((together, sum(memory) / len(memory) / 1e6),),
        note=f"Memory is the mean over {len(memory)} sandbox processes.",
    )
    if large_seconds:
        show(
            "`yosys -V` (69 MB of WebAssembly) as a pod: create → Succeeded",
            ("pulled and compiled, s", "the same again, ms"),
            ((large_seconds[0], large_seconds[1] * 1e3),),
        )


def push(registry: str, module: Path) -> str:
    image = f"{registry}/bench/{module.stem[:40]}:1"
    result = proa("push", module, image)
    if result.returncode != 0:
        raise RuntimeError(f"the image could not be pushed: {result.stderr}")
    return image


@contextmanager
def _timed_up(folder: str) -> Iterator[tuple[list[float], Up]]:
    """A cluster that was started twice, and how long that took each time."""
    seconds: list[float] = []
    for last in (False, True):
        began = time.perf_counter()
        with up(Path(folder) / "state") as cluster:
            seconds.append(time.perf_counter() - began)
            if last:
                yield seconds, cluster


async def _measure(config: Config, image: str, large: str | None) -> tuple[list[float], float, list[float]]:
    async with Client(config) as client:
        pods = Api(client, Pod, namespace="default")
        phases = Phases()
        watching = asyncio.create_task(phases.watch(pods))
        try:
            await _time_one(pods, phases, pod("warm-up", image), "Running")
            latencies = [
                await _time_one(pods, phases, pod(f"one-{number}", image), "Running")
                for number in range(TIMED)
            ]
            began = time.perf_counter()
            names = [f"many-{number}" for number in range(SLEEPERS - TIMED)]
            await asyncio.gather(*(pods.create(pod(name, image)) for name in names))
            for name in names:
                await phases.wait(name, "Running")
            together = time.perf_counter() - began
            large_seconds = [
                await _time_one(pods, phases, pod(name, large, "-V"), "Succeeded")
                for name in ("large-first", "large-again")
                if large
            ]
            return latencies, together, large_seconds
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _time_one(pods: Api[Pod], phases: "Phases", pod: Pod, phase: str) -> float:
    began = time.perf_counter()
    await pods.create(pod)
    await phases.wait(pod.metadata.name or "", phase)
    return time.perf_counter() - began


class Phases:
    """Which phases of pods a watch has shown."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str | None], asyncio.Event] = {}

    def _event(self, name: str, phase: str | None) -> asyncio.Event:
        return self._events.setdefault((name, phase), asyncio.Event())

    async def wait(self, name: str, phase: str) -> None:
        """Wait until a pod was seen in a phase."""
        async with asyncio.timeout(300):
            await self._event(name, phase).wait()

    async def watch(self, pods: Api[Pod]) -> None:
        """Note what is seen, for ever."""
        version = (await pods.list_page()).resource_version
        async with aclosing(pods.watch(version)) as events:
            async for event in events:
                if not isinstance(event, Bookmark):
                    self._event(event.object.metadata.name or "", event.object.status.phase).set()


def pod(name: str, image: str, *arguments: str) -> Pod:
    container = Container(name="main", image=image, image_pull_policy="IfNotPresent", args=list(arguments))
    spec = PodSpec(containers=[container], restart_policy="Never")
    return Pod(metadata=ObjectMeta(name=name), spec=spec)


def sandboxes(folder: Path) -> list[int]:
    """The sandbox processes below the zygote that was started for this folder."""
    parents: dict[int, int] = {}
    zygotes = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if str(folder) in (entry / "cmdline").read_text() and "zygote" in (entry / "cmdline").read_text():
                zygotes.add(int(entry.name))
        except OSError:
            continue
    return [pid for pid, parent in parents.items() if parent in zygotes]
