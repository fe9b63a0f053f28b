"""What takes long about an image is told by Events."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proa.app.testing import virtual_time
from proa.kubelet._progress import Progress, compiled
from proa.wasm import CompiledModule, InvalidModuleError

MODULE = CompiledModule("digest", Path("module"), 1)


class Told:
    """Stands for a container that is told of."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.container: Any = SimpleNamespace(spec=SimpleNamespace(image="big:1"), event=self.event)

    def event(self, reason: str, message: str, _type: str = "Normal") -> None:
        self.events.append(f"{reason}: {message}")


async def compiling(seconds: float, error: Exception | None = None) -> CompiledModule:
    await asyncio.sleep(seconds)
    if error is not None:
        raise error
    return MODULE


@virtual_time
async def test_what_is_compiled_already_is_not_worth_an_event() -> None:
    told = Told()
    assert await compiled(compiling(0.9), told.container) is MODULE
    assert told.events == []


@virtual_time
async def test_compiling_is_told_of_after_a_second_and_every_quarter_of_a_minute() -> None:
    told = Told()
    assert await compiled(compiling(40), told.container) is MODULE
    what = 'the module of image "big:1"'
    assert told.events == [
        f"Compiling: Compiling {what}",
        f"Compiling: Compiling {what} for 16 s",
        f"Compiling: Compiling {what} for 31 s",
        f"Compiled: Compiled {what} in 40.0 s",
    ]


@virtual_time
async def test_a_module_that_is_refused_after_long_is_refused_all_the_same() -> None:
    told = Told()
    with pytest.raises(InvalidModuleError, match="no"):
        await compiled(compiling(5, InvalidModuleError("no")), told.container)
    assert len(told.events) == 1


@virtual_time
async def test_a_slow_pull_tells_how_far_it_is() -> None:
    told = Told()
    progress = Progress(told.container)
    for done in range(0, 50_000_000, 10_000_000):
        progress(done, 50_000_000)
        await asyncio.sleep(10)
    assert told.events == [
        'Pulling: Pulling image "big:1": 20 of 50 MB',
        'Pulling: Pulling image "big:1": 40 of 50 MB',
    ]
