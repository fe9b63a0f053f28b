"""A pod's sidecars: init containers that are restarted for as long as the others run."""

import asyncio
from types import TracebackType
from typing import Self

from proa.kubelet import _container_states
from proa.kubelet._container import Container


class Sidecars:
    """Those of a pod that are being run. An async context manager, which owns their tasks."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._lives: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._group.__aexit__(kind, error, trace)

    def start(self, container: Container) -> None:
        """Run it until `release`; one that runs is left alone."""
        if container.name not in self._lives:
            life = _container_states.live(container)
            name = f"{container.context.title} {container.name}"
            self._lives[container.name] = self._group.create_task(life, name=name)

    async def release(self, container: Container) -> None:
        """Restart it no more; what runs of it runs on, for others to end."""
        if life := self._lives.pop(container.name, None):
            life.cancel()
            await asyncio.wait([life])
