"""The API server alone, over TLS, in a process of its own; the client is another process on the same cores.

Figures of kube-apiserver 1.36 with etcd 3.6 on two such cores, recorded once, stand beside ours: no package
registry has it. Where etcd is installed (Debian's `etcd-server`), its own durable puts are measured in the
same run, as the most that any API server upon it could reach.
"""

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import uvloop

from bench._table import show
from proa.kube import Config
from proa.kube._tls import ssl_context

CONCURRENCY = 64
OBJECTS = 10_000
PODS = 10_000
LISTED = 2_000
PATCHED = 5_000
WATCHERS = 100
DELIVERED = 1_000
IDLERS = 2_000
UNREAD = 1_500
RECORDED = {
    "creates/s": 1600,
    "gets/s": 5000,
    "deletes/s": 1250,
    "watch deliveries/s": 10_000,
    "status patches/s, 10 watchers": 1050,
    "list of 2,000 pods, ms": 36,
    "ready, s": 3.5,
    "memory with 10,000 pods, MB": 323,
}

NAMESPACE = "/api/v1/namespaces/default"
JSON = {"Content-Type": "application/json"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
_FOREVER = aiohttp.ClientTimeout(total=None)

Request = Callable[[int], Awaitable[None]]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        with _server(Path(folder) / "before"):  # so that all modules are compiled, as after any first start
            pass
        with _server(Path(folder)) as (config, ready, pid):
            figures = {"ready, s": ready, "memory idle, MB": _resident_megabytes(pid)}
            figures |= uvloop.run(_measure(config))
            figures[f"memory with {PODS:,} pods, MB"] = _resident_megabytes(pid)
        with _server(Path(folder) / "watched") as (config, _, pid):
            figures |= uvloop.run(_measure_watchers(config, pid))
        etcd = _etcd(Path(folder))
    rows: list[tuple[object, ...]] = [
        (name, value, RECORDED.get(name, "")) for name, value in figures.items()
    ]
    if etcd is not None:
        rows.append(("etcd's own durable puts/s, same run", "", etcd))
    show(
        f"API server over TLS, {CONCURRENCY} requests at once, every write durable",
        ("", "Proa", "kube-apiserver 1.36 + etcd 3.6"),
        rows,
        note="The right column was recorded once on two such cores, unless it says otherwise.",
    )


@contextmanager
def _server(folder: Path) -> Iterator[tuple[Config, float, int]]:
    began = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "proa.cli",
        "apiserver",
        "--data-dir",
        str(folder / "state"),
        "--port",
        "0",
    ]
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    assert process.stdout is not None
    try:
        printed = next(line for line in process.stdout if line.startswith("export KUBECONFIG="))
        ready = time.perf_counter() - began
        yield Config.from_kubeconfig(Path(printed.partition("=")[2].strip())), ready, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


async def _measure(config: Config) -> dict[str, float]:
    connector = aiohttp.TCPConnector(ssl=ssl_context(config), limit=0)
    async with aiohttp.ClientSession(config.server, connector=connector) as session:
        figures = await _measure_config_maps(session)
        return figures | await _measure_pods(session)


async def _measure_config_maps(session: aiohttp.ClientSession) -> dict[str, float]:
    path = f"{NAMESPACE}/configmaps"
    figures = {
        "creates/s": await _rate(OBJECTS, _creating(session, path, _config_map)),
        "gets/s": await _rate(OBJECTS, _getting(session, f"{path}/bench-0")),
    }
    async with _watching(session, path, WATCHERS) as watched:
        began = time.perf_counter()
        await _rate(DELIVERED, _patching(session, path, "bench", b'{"data":{"key":"%d"}}'))
        await watched.until(WATCHERS * DELIVERED)
        figures["watch deliveries/s"] = WATCHERS * DELIVERED / (time.perf_counter() - began)
    figures["deletes/s"] = await _rate(OBJECTS, _deleting(session, path))
    return figures


async def _measure_pods(session: aiohttp.ClientSession) -> dict[str, float]:
    path, figures = f"{NAMESPACE}/pods", {}
    figures["creates of pods/s"] = await _rate(LISTED, _creating(session, path, _pod))
    began = time.perf_counter()
    for _ in range(10):
        async with session.get(path, headers={"Accept-Encoding": "identity"}) as response:
            size = len(await response.read())
    figures[f"list of {LISTED:,} pods, ms"] = (time.perf_counter() - began) / 10 * 1e3
    figures["its size, MB"] = size / 1e6
    async with _watching(session, path, 10) as watched:
        status = b'{"status":{"podIP":"10.0.0.%d","phase":"Running"}}'
        figures["status patches/s, 10 watchers"] = await _rate(
            PATCHED, _patching(session, path, "pod", status, "/status")
        )
        await watched.until(10 * PATCHED)
    await _rate(PODS - LISTED, _creating(session, path, lambda number: _pod(number + LISTED)))
    return figures


async def _measure_watchers(config: Config, pid: int) -> dict[str, float]:
    """What watchers cost in memory that read nothing: while nothing happens, and once much has."""
    path = f"{NAMESPACE}/configmaps"
    connector = aiohttp.TCPConnector(ssl=ssl_context(config), limit=0)
    async with aiohttp.ClientSession(config.server, connector=connector, read_bufsize=1024) as session:
        await _rate(UNREAD, _creating(session, path, _config_map))
        before = _resident_megabytes(pid)
        async with AsyncExitStack() as stack:
            watching = await _watch_idly(session, path, stack)
            idle = _resident_megabytes(pid) - before
            body = b'{"data":{"key":"%d' + b"x" * 1000 + b'"}}'
            await _rate(UNREAD, _patching(session, path, "bench", body))
            unread = _resident_megabytes(pid) - before
            for response in watching:
                response.close()
    return {
        f"{IDLERS:,} watchers, idle, MB": idle,
        f"{IDLERS:,} watchers that read nothing of {UNREAD:,} events, MB": unread,
    }


async def _watch_idly(
    session: aiohttp.ClientSession, path: str, stack: AsyncExitStack
) -> list[aiohttp.ClientResponse]:
    query = {"watch": "1", "timeoutSeconds": "600"}
    async with session.get(path, params={"limit": "1"}) as response:
        query["resourceVersion"] = (await response.json())["metadata"]["resourceVersion"]
    found: list[aiohttp.ClientResponse] = []
    while len(found) < IDLERS:
        opening = (session.get(path, params=query, timeout=_FOREVER) for _ in range(100))
        found += await asyncio.gather(*(stack.enter_async_context(one) for one in opening))
    return found


class _Watched:
    """How many events all watchers together have received."""

    def __init__(self) -> None:
        self._count = 0
        self._wanted = 0
        self._reached = asyncio.Event()

    async def read(self, response: aiohttp.ClientResponse) -> None:
        """Counts a stream's events."""
        async for data in response.content.iter_any():
            self._count += data.count(b"\n")
            if self._wanted and self._count >= self._wanted:
                self._reached.set()

    async def until(self, count: int) -> None:
        """Waits until that many have come."""
        self._wanted = count
        if self._count < count:
            await asyncio.wait_for(self._reached.wait(), 60)


@asynccontextmanager
async def _watching(session: aiohttp.ClientSession, path: str, count: int) -> AsyncIterator[_Watched]:
    """So many clients that watch from now on."""
    async with session.get(path, params={"limit": "1"}) as response:
        version = (await response.json())["metadata"]["resourceVersion"]
    watched, query = _Watched(), {"watch": "1", "resourceVersion": version}
    async with AsyncExitStack() as stack:
        responses = [
            await stack.enter_async_context(session.get(path, params=query, timeout=_FOREVER))
            for _ in range(count)
        ]
        tasks = [asyncio.create_task(watched.read(response)) for response in responses]
        try:
            yield watched
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _rate(count: int, request: Request) -> float:
    """Requests answered per second, `CONCURRENCY` of them under way at any time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await request(number)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
    return count / (time.perf_counter() - began)


def _creating(session: aiohttp.ClientSession, path: str, body: Callable[[int], bytes]) -> Request:
    async def create(number: int) -> None:
        async with session.post(path, data=body(number), headers=JSON) as response:
            if response.status != 201:
                raise RuntimeError(f"a create was answered with {response.status}: {await response.text()}")
            await response.read()

    return create


def _getting(session: aiohttp.ClientSession, path: str) -> Request:
    async def get(number: int) -> None:
        del number
        async with session.get(path) as response:
            response.raise_for_status()
            await response.read()

    return get


def _patching(
    session: aiohttp.ClientSession, path: str, name: str, body: bytes, subresource: str = ""
) -> Request:
    async def patch(number: int) -> None:
        url = f"{path}/{name}-{number % 1000}{subresource}"
        async with session.patch(url, data=body % number, headers=MERGE_PATCH) as response:
            response.raise_for_status()
            await response.read()

    return patch


def _deleting(session: aiohttp.ClientSession, path: str) -> Request:
    async def delete(number: int) -> None:
        async with session.delete(f"{path}/bench-{number}") as response:
            response.raise_for_status()
            await response.read()

    return delete


def _config_map(number: int) -> bytes:
    metadata = {"name": f"bench-{number}", "labels": {"app": "bench"}}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "value" * 20}}
    return json.dumps(document).encode()


def _pod(number: int) -> bytes:
    """A pod of the size that pods have once their status is written."""
    container = {
        "name": "main",
        "image": "registry.example/team/service:1.2.3",
        "args": ["--listen", "0.0.0.0:8080"],
        "env": [{"name": f"SETTING_{index}", "value": "x" * 40} for index in range(8)],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    metadata = {"name": f"pod-{number}", "labels": {"app": "bench", "pod-template-hash": "5d4f8c7b9"}}
    spec = {"containers": [container], "schedulerName": "nobody"}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}).encode()


def _resident_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _etcd(folder: Path) -> float | None:
    """Durable puts per second of an etcd on this machine, over its JSON gateway; None where it is absent."""
    if shutil.which("etcd") is None:
        return None
    client, peer = "http://127.0.0.1:23790", "http://127.0.0.1:23800"
    command = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", client]
    command += ["--advertise-client-urls", client, "--listen-peer-urls", peer]
    command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
    with (folder / "etcd.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        return asyncio.run(_etcd_puts(client))
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _etcd_puts(url: str) -> float:
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(url, connector=connector) as session:
        await _until_healthy(session)
        value = base64.b64encode(_config_map(0)).decode()

        async def put(number: int) -> None:
            key = base64.b64encode(f"/registry/configmaps/default/bench-{number}".encode()).decode()
            async with session.post("/v3/kv/put", json={"key": key, "value": value}) as response:
                response.raise_for_status()
                await response.read()

        return await _rate(OBJECTS // 2, put)


async def _until_healthy(session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                async with session.get("/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
