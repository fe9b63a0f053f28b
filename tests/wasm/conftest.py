"""Sandboxes for tests: a zygote for each test, and a guest that does what it is told."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from proa.wasm import CompiledModule, Sandbox, Sandboxes, SandboxSpec
from proa.wasm.testing import cache_directory, compile_c

Run = Callable[..., Awaitable[Sandbox]]


@pytest.fixture(scope="session")
def guest() -> Path:
    """Return a program that does what its first argument says."""
    return compile_c((Path(__file__).parent / "guest.c").read_text())


@pytest.fixture
def cache_dir() -> Path:
    """Return a cache of compiled modules that test runs share."""
    return cache_directory() / "compiled"


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


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
        return await sandboxes.start(
            SandboxSpec(id=name, module=module, args=("guest", *args), **spec), stdin=stdin
        )

    return start
