"""What the API server's tests share: a server of the test's own, and a session of its administrator."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from proa.app.testing import no_blocking
from proa.controlplane import ApiServer
from proa.controlplane.testing import api_server

TOKENS = 'admin-token,admin,1111,"system:masters"\nviewer-token,viewer,2222,""\n'


@pytest.fixture(autouse=True)
def _nothing_of_ours_blocks_the_loop() -> Iterator[None]:
    with no_blocking("proa.controlplane"):
        yield


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(TOKENS)
    async with api_server(tmp_path, token_auth_file=tokens) as running:
        yield running


@pytest.fixture
async def admin(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": "Bearer admin-token"}
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(server.url, headers=headers, connector=connector) as session:
        yield session
