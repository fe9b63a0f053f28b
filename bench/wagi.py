"""WAGI: requests a second and how long they take, beside the same module run in a loop without HTTP.

The load comes from wrk where it is installed, else from a generator in Python, which costs more than what it
measures: compare only figures made with the same one.
"""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from bench._table import percentile, private_bytes, show
from proa.wagi.config import load_config
from proa.wagi.pods import SERVER
from proa.wagi.service import Service
from proa.wagi.settings import WagiSettings
from proa.wasm import Sandboxes, SandboxSpec
from proa.wasm.testing import compile_c

SECONDS = 5
CONNECTIONS = 64
FLOOR_RUNS = 5000
ROUTES = 1000
STARTS = 30

HELLO = r"""
#include <stdio.h>
int main(void) { printf("Content-Type: text/plain\n\nhello world\n"); return 0; }
"""
LARGE = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    static char block[65536];
    memset(block, 'x', sizeof block);
    printf("Content-Type: text/plain\n\n");
    fflush(stdout);
    for (int i = 0; i < 16; i++) write(1, block, sizeof block);
    return 0;
}
"""
PEER = """
import asyncio, sys
import uvloop
from aiohttp import web

async def hello(request):
    return web.Response(text="hello world\\n")

async def main(port):
    runner = web.ServerRunner(web.Server(hello, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_port=True).start()
    print("ready", flush=True)
    await asyncio.Event().wait()

uvloop.run(main(int(sys.argv[1])))
"""
LOOP = "int main(void) { for (volatile long i = 0;; i++); }"
SLEEP = "#include <unistd.h>\nint main(void) { sleep(1000); }"
TRAP = "int main(void) { __builtin_trap(); }"


def main() -> None:
    """Measure and print."""
    guests = {
        name: compile_c(code)
        for name, code in (
            ("hello", HELLO),
            ("large", LARGE),
            ("loop", LOOP),
            ("sleep", SLEEP),
            ("trap", TRAP),
        )
    }
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        tempfile.tempdir = folder  # The zygotes' directories tell whose they are.
        _serving(Path(folder), guests)
        _isolation(Path(folder), guests)
        _thousand(Path(folder))
        _replicas(Path(folder), guests["hello"])
        tempfile.tempdir = None


def _serving(folder: Path, guests: dict[str, Path]) -> None:
    floor = _floor(guests["hello"])

    async def measure() -> list[tuple[float, float]]:
        async with _peer() as url:
            await _load(url, 1)
            peer = await _load(url, SECONDS)
        async with _service(folder, guests) as url:
            await _load(f"{url}/hello", 1)
            hello = await _load(f"{url}/hello", SECONDS)
            large = await _load(f"{url}/large", SECONDS, connections=8)
            return [peer, hello, large]

    peer, (rate, p99), (large_rate, large_p99) = asyncio.run(measure())
    show(
        f"WAGI: C handlers, two workers, {CONNECTIONS} connections ({_generator()})",
        ("", "requests/s", "p99 ms"),
        (
            ("hello", rate, p99),
            ("peer, same run: the same answer of aiohttp's own, two processes", *peer),
            ("the same module instantiated and run in a loop, one process, no HTTP", floor, ""),
            ("1 MB of body, 8 connections", large_rate, large_p99),
        ),
        note=f"1 MB bodies: {large_rate * 1.048576:,.0f} MB/s. "
        f"Two processes of the floor do {2 * floor:,.0f}: {2 * floor / rate:.1f} times as many.",
    )


def _isolation(folder: Path, guests: dict[str, Path]) -> None:
    async def measure() -> list[tuple[str, float, float]]:
        rows = []
        async with _service(folder, guests) as url:
            rows.append(("alone", *await _load(f"{url}/hello", SECONDS, connections=4)))
            for name in ("trap", "sleep", "loop"):
                async with _beside(f"{url}/{name}"):
                    rows.append((f"beside {name}", *await _load(f"{url}/hello", SECONDS, connections=4)))
        return rows

    show(
        "WAGI: a route while another misbehaves (4 connections to each; the other has a deadline of 1 s)",
        ("", "requests/s", "p99 ms"),
        asyncio.run(measure()),
    )


def _thousand(folder: Path) -> None:
    """Load many different modules, all compiled before."""
    (folder / "many").mkdir()
    text = ""
    for number in range(ROUTES):
        path = folder / "many" / f"{number}.wasm"
        path.write_bytes(compile_c(HELLO).read_bytes() + _custom_section(number))
        text += f'[[module]]\nroute = "/{number}"\nmodule = "{path}"\n'

    async def measure(sample: int) -> tuple[float, float]:
        began = time.perf_counter()
        async with _running(folder, text) as service:
            ready = time.perf_counter() - began
            for number in range(sample):
                await _get(f"{service.url}/{number}")
            memory = _memory(folder, service)
        return ready, memory

    asyncio.run(measure(0))
    ready, memory = asyncio.run(measure(ROUTES))
    show(
        f"WAGI: {ROUTES:,} routes of different modules, from the compile cache",
        ("", ""),
        (
            ("seconds until two workers serve them", ready),
            ("MB of private memory in all processes, after one request to each", memory / 1e6),
        ),
    )


def _replicas(folder: Path, guest: Path) -> None:
    """How soon a pod's module answers that was stopped before."""

    async def measure() -> list[float]:
        durations = []
        async with Sandboxes.open(folder / "replicas", folder / "cache" / "compiled") as sandboxes:
            module = await sandboxes.compile(guest)
            for number in range(STARTS):
                with socket.create_server(("127.0.0.1", 0)) as listener:
                    began = time.perf_counter()
                    spec = SandboxSpec(id=str(number), module=module, server=SERVER)
                    sandbox = await sandboxes.start(spec, listener.fileno())
                    await _ask_once(listener.getsockname())
                    durations.append(time.perf_counter() - began)
                sandbox.terminate()
                await sandbox.wait()
            await sandboxes.shutdown()
        return durations[1:]  # The first loads the server's code.

    durations = asyncio.run(measure())
    p50, p99 = (percentile(durations, share) * 1e3 for share in (0.5, 0.99))
    show(
        "WAGI: a stopped replica of a pod, from its start to its first answer",
        ("p50 ms", "p99 ms", "least ms"),
        [(p50, p99, min(durations) * 1e3)],
    )


async def _ask_once(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"200 OK" in await reader.read()
    writer.close()


@asynccontextmanager
async def _peer() -> AsyncIterator[str]:
    """The same text from two processes of plain aiohttp."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        command = [sys.executable, "-c", PEER, str(port)]
        running = [await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE) for _ in range(2)]
        try:
            for process in running:
                assert process.stdout
                await process.stdout.readline()
            yield f"http://127.0.0.1:{port}/hello"
        finally:
            for process in running:
                process.terminate()
                await process.wait()


def _custom_section(number: int) -> bytes:
    """Make a module differ from all others without changing what it does."""
    return b"\0\x05\x01n" + number.to_bytes(3)


def _floor(guest: Path) -> float:
    """Requests a second that one process could serve if there were nothing but the guest."""
    from wasmtime import Module

    from proa.wagi._native import Prepared, wasi_config
    from proa.wasm._engine import Runtime

    runtime = Runtime.create()
    prepared = Prepared(
        runtime.engine, runtime.linker.instantiate_pre(Module.from_file(runtime.engine, str(guest)))
    )
    names = [f"HTTP_{number}".encode() for number in range(24)]
    with _silence():
        began = time.perf_counter()
        for _ in range(FLOOR_RUNS):
            prepared.run(wasi_config([b"/hello"], names, names, b"", (), stdin_is_path=False), b"_start")
        return FLOOR_RUNS / (time.perf_counter() - began)


@contextmanager
def _silence() -> Iterator[None]:
    sys.stdout.flush()
    saved, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(null)


@asynccontextmanager
async def _service(folder: Path, guests: dict[str, Path]) -> AsyncIterator[str]:
    text = "".join(
        f'[[module]]\nroute = "/{name}"\nmodule = "{path}"\ntimeout = 1\n' for name, path in guests.items()
    )
    async with _running(folder, text) as service:
        yield service.url


@asynccontextmanager
async def _running(folder: Path, text: str) -> AsyncIterator[Service]:
    config = folder / "modules.toml"
    config.write_text(text)
    settings = WagiSettings(
        config=config,
        listen="127.0.0.1:0",
        workers=2,
        module_cache=folder / "cache",
        watch=False,
        log_level="error",
    )
    load_config(config)
    async with Service.open(settings) as service:
        yield service


def _memory(folder: Path, service: Service) -> int:
    """Private memory of the service's processes: this one, the workers, and the zygotes with children."""
    total = sum(private_bytes(pid) for pid in (os.getpid(), *service.workers))
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if str(folder).encode() in (entry / "cmdline").read_bytes():
                total += private_bytes(int(entry.name))
    return total


async def _get(url: str) -> None:
    from aiohttp import ClientSession

    async with ClientSession() as client, client.get(url) as response:
        assert response.status == 200, (url, response.status)
        await response.read()


@asynccontextmanager
async def _beside(url: str) -> AsyncIterator[None]:
    """Keep a few connections busy with what misbehaves."""
    from aiohttp import ClientSession

    async def ask(client: ClientSession) -> None:
        while True:
            async with client.get(url) as response:
                await response.read()
            await asyncio.sleep(0.05)

    async with ClientSession() as client, asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(ask(client)) for _ in range(4)]
        yield
        for task in asking:
            task.cancel()


def _generator() -> str:
    return "wrk" if shutil.which("wrk") else "load from Python"


async def _load(
    url: str, seconds: int, *, connections: int = CONNECTIONS, rate: bool = False
) -> tuple[float, float]:
    """Return requests/s and the 99th percentile in ms; with `rate`, from few connections."""
    connections = 4 if rate else connections
    if shutil.which("wrk"):
        return await _wrk(url, seconds, connections)
    return await _python_load(url, seconds, connections)


async def _wrk(url: str, seconds: int, connections: int) -> tuple[float, float]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", url]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    text = output.decode()
    assert "Non-2xx" not in text, text
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    slowest = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    assert rate
    assert slowest, text
    return float(rate[1]), float(slowest[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[slowest[2]]


async def _python_load(url: str, seconds: int, connections: int) -> tuple[float, float]:
    from aiohttp import ClientSession, TCPConnector

    durations: list[float] = []
    end = time.perf_counter() + seconds

    async def ask(client: ClientSession) -> None:
        while (began := time.perf_counter()) < end:
            async with client.get(url) as response:
                await response.read()
            durations.append(time.perf_counter() - began)

    async with ClientSession(connector=TCPConnector(limit=0)) as client, asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(ask(client))
    return len(durations) / seconds, percentile(durations, 0.99) * 1e3
