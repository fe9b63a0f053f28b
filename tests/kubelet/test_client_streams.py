"""`exec` and `attach` of `proa.kube`, through the API server, to containers that run."""

from typing import Any

import pytest

from proa.kube import NotFoundError
from proa.kube.core.channels import Exit

Cluster = Any


async def test_a_command_gets_its_input_and_tells_its_exit_code(node: Cluster) -> None:
    await node.run("forever", "")
    await node.until_phase("Running")
    async with node.pods.exec("pod", ["guest", "echo", ""], stdin=True) as process:
        stdout, _, end = await process.communicate(b"hello\n")
    assert (stdout, end) == (b"hello\n", Exit(0))
    async with node.pods.exec("pod", ["guest", "exit", "42"]) as process:
        assert (await process.wait()).code == 42
    with pytest.raises(NotFoundError, match='pods "nobody" not found'):
        async with node.pods.exec("nobody", ["guest"]):
            pass


async def test_attaching_shows_what_is_said_and_answered(node: Cluster) -> None:
    await node.run("echo", "", stdin=True)
    await node.until_phase("Running")
    async with node.pods.attach("pod", stdin=True) as process:
        await process.write(b"first\n")
        said = b""
        async for chunk in process.stdout():
            said += chunk
            if said.endswith(b"first\n"):
                break
