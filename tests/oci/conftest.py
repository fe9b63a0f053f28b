from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proa.app import Backoff
from proa.app.testing import no_blocking
from proa.oci import BlobStore, RegistryClient
from proa.oci.testing import EMPTY_MODULE, RunningRegistry, running_registry


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    with no_blocking("proa.oci"):
        yield


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[RunningRegistry]:
    async with running_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    async with RegistryClient(timeout=5, backoff=Backoff(initial=0)) as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A core module of 3 MB, so that it takes many pieces to transfer."""
    path = tmp_path / "module.wasm"
    path.write_bytes(EMPTY_MODULE + bytes(range(256)) * 12_000)
    return path
