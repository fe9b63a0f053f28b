"""Every test here runs with a guard against blocking the event loop; servers come with either storage."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from proa.app import testing
from proa.bindle.client import BindleClient
from proa.bindle.testing import RunningServer, running_server


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    with testing.no_blocking("proa.bindle"):
        yield


@pytest.fixture(params=["files", "sqlite"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(tmp_path / "server", kind=request.param) as running:
        yield running


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[BindleClient]:
    async with BindleClient(server.url) as connected:
        yield connected


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    """Speaks the bare protocol: paths are relative to the base, as `_i/NAME/VERSION`."""
    async with aiohttp.ClientSession(server.url) as session:
        yield session
