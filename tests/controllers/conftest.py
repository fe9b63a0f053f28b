"""A real API server with the controllers and the scheduler, and nodes that a test makes up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proa.controlplane.controllers import ControllerManager
from proa.controlplane.testing import api_server
from proa.kube import Client, Config


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        api_server(tmp_path) as server,
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
        ControllerManager(client),
    ):
        yield client
