"""Nothing here may block the event loop: the whole network of a cluster runs on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def no_blocking() -> Iterator[BlockBuster]:
    with blockbuster_ctx("proa.controlplane.network") as buster:
        yield buster


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What the test opens is closed after it."""
    async with AsyncExitStack() as stack:
        yield stack
    await asyncio.sleep(0)
