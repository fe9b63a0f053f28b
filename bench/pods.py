"""Pods on a whole cluster (`proa up`): how soon kubectl would see one run, and what a sleeping one costs."""

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
from proa.wasm.testing import compile_c

TIMED = 100
SLEEPERS = 200


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder, _timed_up(folder) as (ready, cluster):
        image = f"{cluster.registry}/sleeper:1"
        if proa("push", compile_c(SLEEPER), image).returncode != 0:
            raise RuntimeError("the image could not be pushed")
        config = Config.from_kubeconfig(cluster.kubeconfig)
        latencies, together = asyncio.run(_measure(config, image))
        memory = [private_bytes(pid) for pid in _sandboxes(Path(folder))]
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


async def _measure(config: Config, image: str) -> tuple[list[float], float]:
    async with Client(config) as client:
        pods = Api(client, Pod, namespace="default")
        running = _Running()
        watching = asyncio.create_task(running.watch(pods))
        try:
            await _time_one(pods, running, image, "warm-up")
            latencies = [await _time_one(pods, running, image, f"one-{number}") for number in range(TIMED)]
            began = time.perf_counter()
            names = [f"many-{number}" for number in range(SLEEPERS - TIMED)]
            await asyncio.gather(*(pods.create(_pod(name, image)) for name in names))
            for name in names:
                await running.wait(name)
            return latencies, time.perf_counter() - began
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _time_one(pods: Api[Pod], running: "_Running", image: str, name: str) -> float:
    began = time.perf_counter()
    await pods.create(_pod(name, image))
    await running.wait(name)
    return time.perf_counter() - began


class _Running:
    """Which pods a watch has shown to run."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def _event(self, name: str) -> asyncio.Event:
        return self._events.setdefault(name, asyncio.Event())

    async def wait(self, name: str) -> None:
        async with asyncio.timeout(60):
            await self._event(name).wait()

    async def watch(self, pods: Api[Pod]) -> None:
        version = (await pods.list_page()).resource_version
        async with aclosing(pods.watch(version)) as events:
            async for event in events:
                if not isinstance(event, Bookmark) and event.object.status.phase == "Running":
                    self._event(event.object.metadata.name or "").set()


def _pod(name: str, image: str) -> Pod:
    container = Container(name="main", image=image, image_pull_policy="IfNotPresent")
    return Pod(metadata=ObjectMeta(name=name), spec=PodSpec(containers=[container]))


def _sandboxes(folder: Path) -> list[int]:
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
