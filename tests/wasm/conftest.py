"""Sandboxes for tests: a zygote for each test, and a guest that does what it is told."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proa.app.testing import no_blocking
from proa.wasm import CompiledModule, Sandbox, Sandboxes, SandboxSpec
from proa.wasm.testing import cache_directory, compile_c, end_zygote

Run = Callable[..., Awaitable[Sandbox]]


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    with no_blocking("proa.wasm"):
        yield


@pytest.fixture(scope="session")
def guest() -> Path:
    """Return a program that does what its first argument says."""
    return compile_c((Path(__file__).parent / "guest.c").read_text())


@pytest.fixture(scope="session")
def shared_cache_dir() -> Path:
    """Return a cache of compiled modules that test runs share."""
    return cache_directory() / "compiled"


@pytest.fixture
def cache_dir(shared_cache_dir: Path) -> Path:
    return shared_cache_dir


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """Return a directory whose zygote does not outlive the test, even one that fails."""
    directory = tmp_path / "state"
    yield directory
    if directory.exists():
        end_zygote(directory)


@pytest.fixture
async def sandboxes(state_dir: Path, cache_dir: Path) -> AsyncIterator[Sandboxes]:
    async with Sandboxes.open(state_dir, cache_dir) as opened:
        yield opened
        await opened.shutdown()


@pytest.fixture
async def module(sandboxes: Sandboxes, guest: Path) -> CompiledModule:
    return await sandboxes.compile(guest)


@pytest.fixture
def run(sandboxes: Sandboxes, module: CompiledModule) -> Run:
    """Return a function that starts the guest with arguments and, by keyword, the rest of its spec."""
    numbers = itertools.count()

    async def start(*args: str, stdin: int | None = None, **spec: Any) -> Sandbox:
        name = spec.pop("id", f"sandbox-{next(numbers)}")
        spec.setdefault("user", os.geteuid())  # The directories of tests are this user's alone.
        return await sandboxes.start(
            SandboxSpec(id=name, module=module, args=("guest", *args), **spec), stdin=stdin
        )

    return start
