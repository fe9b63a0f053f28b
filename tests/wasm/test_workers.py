"""Workers run the client's own functions, confined like sandboxes, and never outlive the client."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from proa.wasm import SandboxError, Sandboxes, WorkerSpec
from proa.wasm.testing import read_to_end


async def test_a_worker_runs_a_function_until_it_returns(sandboxes: Sandboxes) -> None:
    read, write = os.pipe()
    try:
        worker = await sandboxes.start_worker(WorkerSpec(id="w", target="os:get_inheritable"), read)
        ended = await worker.wait()
        assert ended.exit_code == 128
        assert b"TypeError" in await read_to_end(worker.stderr)  # It was given the runtime.
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize("target", ["", "module", "module:", ":function", "a b:c", "m:f()"])
async def test_a_target_is_a_module_and_a_function(sandboxes: Sandboxes, target: str) -> None:
    with pytest.raises(SandboxError, match="is not module:function"):
        await sandboxes.start_worker(WorkerSpec(id="w", target=target))


async def test_a_worker_ends_with_its_clients_connection(state_dir: Path, cache_dir: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
            with theirs:
                spec = WorkerSpec(id="w", target="proa.wagi._executor:main")
                await sandboxes.start_worker(spec, theirs.fileno())
        ours.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(ours, 1) == b""
    async with Sandboxes.open(state_dir, cache_dir) as sandboxes:
        for left in sandboxes.list():
            await left.wait()
        await sandboxes.shutdown()
