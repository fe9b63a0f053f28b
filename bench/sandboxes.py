"""Starting and holding guests: Proa's zygote beside a fresh process per guest.

The peer is what one gets without a zygote: a Python process that imports wasmtime, maps the same precompiled
module and runs it.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench._table import parent, percentile, private_bytes, show, spent
from proa.wasm import Sandboxes, SandboxSpec
from proa.wasm.testing import compile_c, yosys_wasm

RUNS = 100
SLEEPERS = 200
PEER_RUNS = 20
PEER_SLEEPERS = 20

SLEEPER = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) { puts("awake"); fflush(stdout); for (;;) sleep(1000); }
"""
PEER = """
import sys, wasmtime
engine = wasmtime.Engine()
module = wasmtime.Module.deserialize_file(engine, sys.argv[1])
store, linker, wasi = wasmtime.Store(engine), wasmtime.Linker(engine), wasmtime.WasiConfig()
wasi.inherit_stdout()
store.set_wasi(wasi)
linker.define_wasi()
linker.instantiate(store, module).exports(store)["_start"](store)
"""


Row = tuple[float, float, float, float, int]


def main() -> None:
    """Measure and print."""
    guest = compile_c(SLEEPER)
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        ours = asyncio.run(_zygote(Path(folder), guest))
        theirs = _fresh_processes(Path(folder), guest)
        yosys = asyncio.run(_yosys(Path(folder)))
    show(
        "Sandboxes: start to first output, and memory while asleep",
        ("", "p50 ms", "p99 ms", "processor ms each", "private MB each", "of how many"),
        (("Proa, forked from the zygote", *ours), ("a process each (Python, wasmtime)", *theirs)),
        note="Private memory is Private_Clean + Private_Dirty of /proc/PID/smaps_rollup."
        " Processor time includes the zygote's own, but neither its start nor the compilation.",
    )
    if yosys:
        show(
            "A large program: `yosys -V` (69 MB of WebAssembly)",
            ("", "ms"),
            (
                ("compiled for the first time", yosys[0] * 1e3),
                ("first output, from the compile cache", yosys[1] * 1e3),
            ),
        )


async def _zygote(folder: Path, guest: Path) -> Row:
    async with Sandboxes.open(folder / "state", folder / "cache") as sandboxes:
        module = await sandboxes.compile(guest)
        first = await sandboxes.start(SandboxSpec(id="first", module=module, args=("sleeper",)))
        await _readable(first.stdout)
        zygote = parent(first.pid)
        before = spent([zygote]).seconds
        seconds: list[float] = []
        pids: list[int] = []
        for number in range(SLEEPERS):
            began = time.perf_counter()
            sandbox = await sandboxes.start(SandboxSpec(id=str(number), module=module, args=("sleeper",)))
            await _readable(sandbox.stdout)
            seconds.append(time.perf_counter() - began)
            pids.append(sandbox.pid)
        row = _row(seconds[:RUNS], pids, spent([zygote, *pids]).seconds - before)
        await sandboxes.shutdown()
    return row


def _fresh_processes(folder: Path, guest: Path) -> Row:
    import wasmtime

    compiled = folder / "peer.cwasm"
    compiled.write_bytes(wasmtime.Module.from_file(wasmtime.Engine(), str(guest)).serialize())
    seconds: list[float] = []
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(PEER_SLEEPERS):
            began = time.perf_counter()
            process = subprocess.Popen([sys.executable, "-c", PEER, str(compiled)], stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            seconds.append(time.perf_counter() - began)
            processes.append(process)
        pids = [process.pid for process in processes]
        return _row(seconds, pids, spent(pids).seconds)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _row(seconds: list[float], pids: list[int], processor: float) -> Row:
    number, memory = len(pids), sum(map(private_bytes, pids))
    first, last = percentile(seconds, 0.5), percentile(seconds, 0.99)
    return first * 1e3, last * 1e3, processor * 1e3 / number, memory / number / 1e6, number


async def _yosys(folder: Path) -> tuple[float, float] | None:
    path = yosys_wasm()
    if path is None:
        return None
    async with Sandboxes.open(folder / "state", folder / "cache") as sandboxes:
        began = time.perf_counter()
        module = await sandboxes.compile(path)
        compiled = time.perf_counter() - began
        began = time.perf_counter()
        module = await sandboxes.compile(path, module.digest)
        sandbox = await sandboxes.start(SandboxSpec(id="yosys", module=module, args=("yosys", "-V")))
        await _readable(sandbox.stdout)
        first_output = time.perf_counter() - began
        await sandboxes.shutdown()
    return compiled, first_output


async def _readable(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 65536)
