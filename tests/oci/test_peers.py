"""Our registry with skopeo, and our client with Debian's docker-registry, where they are installed."""

import asyncio
import contextlib
import filecmp
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proa.oci import BlobStore, Reference, RegistryClient, RegistryUnavailableError, pull_module, push_module
from proa.oci.testing import RunningRegistry


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed: apt-get install {program}"
    )


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@needs("skopeo")
async def test_skopeo_copies_from_and_to_our_registry(
    registry: RunningRegistry, client: RegistryClient, store: BlobStore, module: Path, tmp_path: Path
) -> None:
    digest = await push_module(client, module, registry.reference("hello:1"))
    here, layout = f"docker://{registry.address}", f"oci:{tmp_path}/layout:hello"
    policy = ("--insecure-policy",)
    await run("skopeo", *policy, "copy", "--src-tls-verify=false", f"{here}/hello:1", layout)
    await run("skopeo", *policy, "copy", "--dest-tls-verify=false", layout, f"{here}/copy/of/hello:2")
    pulled = await pull_module(client, registry.reference("copy/of/hello:2"), store)
    assert filecmp.cmp(pulled.path, module, shallow=False)
    assert pulled.manifest_digest == digest
    listed = await run("skopeo", "list-tags", "--tls-verify=false", f"{here}/copy/of/hello")
    assert json.loads(listed)["Tags"] == ["2"]
    raw = await run("skopeo", "inspect", "--raw", "--tls-verify=false", f"{here}/hello:1")
    assert json.loads(raw)["layers"][0]["mediaType"] == "application/wasm"
    await run("skopeo", "delete", "--tls-verify=false", f"{here}/hello:1")


@contextlib.asynccontextmanager
async def docker_registry(directory: Path) -> AsyncIterator[str]:
    """Run Debian's docker-registry and yield its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory)}},
        "http": {"addr": address},
    }
    path = directory / "config.yml"
    path.write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        "docker-registry", "serve", str(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await _answers(address, process)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _answers(address: str, process: asyncio.subprocess.Process) -> None:
    async with RegistryClient() as client, asyncio.timeout(20):
        while process.returncode is None:
            with contextlib.suppress(RegistryUnavailableError):
                return await client.ping(address)
            await asyncio.sleep(0.02)
    pytest.fail("docker-registry ended")


@needs("docker-registry")
@pytest.mark.parametrize("chunk_size", [None, 1_000_000])
async def test_our_client_speaks_to_docker_registry(
    client: RegistryClient, store: BlobStore, module: Path, tmp_path: Path, chunk_size: int | None
) -> None:
    (tmp_path / "peer").mkdir()
    async with docker_registry(tmp_path / "peer") as address:
        reference = Reference.parse(f"{address}/deep/er/hello:1")
        await client.push_blob(reference, module, chunk_size=chunk_size)
        digest = await push_module(client, module, reference)
        pulled = await pull_module(client, reference, store)
        assert filecmp.cmp(pulled.path, module, shallow=False)
        assert pulled.manifest_digest == digest
        await client.get_manifest(reference.at(digest))
