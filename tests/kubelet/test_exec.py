"""`kubectl exec` and `attach`, with real kubectl, through the API server."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from proa.kube.models.core_v1 import Container, EnvVar, Volume, VolumeMount

Cluster = Any


Run = Callable[..., Awaitable[tuple[int | None, str, str]]]


@pytest.fixture
def run(kubectl: Any) -> Run:
    async def run(cluster: Cluster, *arguments: str, stdin: bytes = b"") -> tuple[int | None, str, str]:
        async with kubectl(cluster, *arguments) as process:
            output, errors = await process.communicate(stdin)
            return process.returncode, output.decode(), errors.decode()

    return run


async def test_a_command_runs_in_the_environment_and_with_the_volumes_of_the_container(
    node: Cluster, run: Run
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


async def test_the_exit_code_of_a_command_is_kubectls(node: Cluster, run: Run) -> None:
    await node.run("forever", "")
    await node.until_phase("Running")
    code, _, errors = await run(node, "exec", "pod", "--", "guest", "exit", "42")
    assert code == 42
    assert "exit code 42" in errors


async def test_a_command_reads_standard_input_to_its_end(node: Cluster, run: Run) -> None:
    await node.run("forever", "")
    await node.until_phase("Running")
    text = b"".join(b"line %d\n" % number for number in range(2_000))
    code, output, _ = await run(node, "exec", "-i", "pod", "--", "guest", "echo", "", stdin=text)
    assert (code, output) == (0, text.decode())


async def test_a_command_ends_when_its_client_leaves(node: Cluster, kubectl: Any) -> None:
    await node.run("forever", "")
    pod = await node.until_phase("Running")
    async with kubectl(node, "exec", "pod", "--", "guest", "tick", "10") as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"tick 0\n"
        assert len(sandboxes(pod.metadata.uid)) == 2
        process.kill()
    await node.eventually(lambda: len(sandboxes(pod.metadata.uid)) == 1)


async def test_a_command_ends_with_its_pod(node: Cluster, kubectl: Any) -> None:
    await node.run("forever", "")
    await node.until_phase("Running")
    async with kubectl(node, "exec", "pod", "--", "guest", "tick", "10") as process:
        assert process.stdout is not None
        await process.stdout.readline()
        await node.pods.delete("pod")
        await process.communicate()
        assert process.returncode == 137


async def test_a_container_that_does_not_run_yet_is_explained(node: Cluster, run: Run) -> None:
    await node.run("say", "x", image=str(node.registry.reference("none:1")))
    await node.until_waiting("ImagePullBackOff")
    code, _, errors = await run(node, "exec", "pod", "--", "guest")
    assert code == 1
    assert "container main is not running" in errors


async def test_a_container_can_be_chosen(node: Cluster, run: Run) -> None:
    pod = node.pod("forever", "", name="two")
    pod.spec.containers.append(Container(name="other", image=node.image, args=["forever", ""]))
    await node.pods.create(pod)
    await node.until_phase("Running", "two")
    code, output, _ = await run(node, "exec", "two", "-c", "other", "--", "guest", "env", "HOSTNAME")
    assert (code, output) == (0, "HOSTNAME=two\n")


async def test_attach_shows_what_is_printed_from_now_on_to_the_end(node: Cluster, kubectl: Any) -> None:
    await node.run("tick", "50")
    await node.until_phase("Running")
    async with kubectl(node, "attach", "pod") as process:
        assert process.stdout is not None
        assert (await process.stdout.readline()).startswith(b"tick ")
        await node.pods.delete("pod")
        await process.communicate()


async def test_attach_writes_to_standard_input_which_stays_open(
    cluster: Cluster, run: Run, kubectl: Any
) -> None:
    async with cluster.kubelet():
        await cluster.run("echo", "", stdin=True)
        await cluster.until_phase("Running")
        for text in (b"first\n", b"second\n"):
            async with kubectl(cluster, "attach", "-i", "pod") as process:
                process.stdin.write(text)
                await process.stdin.drain()
                while await process.stdout.readline() != text:
                    pass
    async with cluster.kubelet():  # Another kubelet, and the guest still listens.
        async with kubectl(cluster, "attach", "-i", "pod") as process:
            process.stdin.write(b"third\n")
            await process.stdin.drain()
            while await process.stdout.readline() != b"third\n":
                pass
        assert await cluster.logs() == b"first\nsecond\nthird"


async def test_with_stdin_once_the_first_clients_end_is_that_of_the_input(node: Cluster, run: Run) -> None:
    await node.run("echo", "", "say", "over", stdin=True, stdin_once=True)
    await node.until_phase("Running")
    await run(node, "attach", "-i", "pod", stdin=b"hello\n")
    await node.until_phase("Succeeded")
    assert await node.logs() == b"hello\nover"


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
