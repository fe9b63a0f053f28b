"""What a registry leaves behind when it is killed, seen by the next one on the same directory."""

import asyncio
import contextlib
import filecmp
import io
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from proa.oci import BlobStore, RegistryClient, pull_module, push_module
from proa.oci.reference import Reference
from proa.oci.testing import running_registry

SERVE = """
import asyncio, pathlib, sys
from proa.oci import Registry
async def main():
    async with Registry(data_dir=pathlib.Path(sys.argv[1]), port=0) as registry:
        print(registry.port, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def registry_process(directory: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(directory), stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process, f"127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_what_was_acknowledged_survives_a_kill(
    tmp_path: Path, module: Path, client: RegistryClient, store: BlobStore
) -> None:
    async with registry_process(tmp_path / "registry") as (process, address):
        await push_module(client, module, Reference.parse(f"{address}/hello:1"))
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with running_registry(tmp_path / "registry") as registry:
        pulled = await pull_module(client, registry.reference("hello:1"), store)
    assert filecmp.cmp(pulled.path, module, shallow=False)


async def test_a_kill_in_the_middle_of_an_upload_blocks_no_retry_and_leaves_no_garbage(
    tmp_path: Path, module: Path, client: RegistryClient
) -> None:
    directory = tmp_path / "registry"
    async with registry_process(directory) as (process, address), aiohttp.ClientSession() as session:
        async with session.post(f"http://{address}/v2/hello/blobs/uploads/") as response:
            location = response.headers["Location"]
        async with session.patch(f"http://{address}{location}", data=io.BytesIO(bytes(2**21))) as response:
            assert response.status == 202
        assert len(list((directory / "ingest").iterdir())) == 1
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with running_registry(directory) as registry:
        assert list((directory / "ingest").iterdir()) == []
        await push_module(client, module, registry.reference("hello:1"))
