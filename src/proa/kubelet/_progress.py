"""What takes long about an image, told by Events: pulling and compiling it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from proa.kubelet._container import Container
from proa.wasm import CompiledModule

_EVERY: Final = 15.0
_SOON: Final = 1.0
_MEGABYTE: Final = 1_000_000


class Progress:
    """Tells every some seconds how far pulling is."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._told_at = _now()

    def __call__(self, done: int, size: int) -> None:
        """So many bytes of so many are here."""
        if _now() - self._told_at >= _EVERY:
            self._told_at = _now()
            how_far = f"{done / _MEGABYTE:.0f} of {size / _MEGABYTE:.0f} MB"
            self._container.event("Pulling", f'Pulling image "{self._container.spec.image}": {how_far}')


async def compiled(work: Coroutine[Any, Any, CompiledModule], container: Container) -> CompiledModule:
    """Wait for a module to be compiled; one that is not in the cache is told of."""
    what, began = f'the module of image "{container.spec.image}"', _now()
    compiling = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait([compiling], timeout=_SOON)
        if done:
            return compiling.result()
        container.event("Compiling", f"Compiling {what}")
        while not done:
            done, _ = await asyncio.wait([compiling], timeout=_EVERY)
            if not done:
                container.event("Compiling", f"Compiling {what} for {_now() - began:.0f} s")
        module = compiling.result()
        container.event("Compiled", f"Compiled {what} in {_now() - began:.1f} s")
        return module
    finally:
        compiling.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()
