"""Sandboxes for tests: state of their own, a cache that test runs share."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proa.wasm import Sandboxes


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def state_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="proa-state-") as directory:
        yield Path(directory)


@pytest.fixture
async def sandboxes(state_dir: Path, cache_dir: Path) -> AsyncIterator[Sandboxes]:
    async with Sandboxes.open(state_dir, cache_dir) as opened:
        yield opened
        await opened.shutdown()
