"""One watch for each resource and selection in a process, however many use it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from proa.kube import Api, Client
from proa.runtime._object import K
from proa.runtime._reflector import Reflector
from proa.runtime._watcher import Transform


class Reflectors:
    """Reflectors that are shared by whoever asks for the same.

    ::

        async with Reflectors(client) as shared:
            pods = await shared.get(Pod, namespace="default")
            async with Controller(await shared.get(ReplicaSet), reconcile).owns(pods):
                ...

    A reflector runs from the first time that it is asked for until this is left.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reflectors: dict[tuple[object, ...], Reflector[Any]] = {}
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()

    def __len__(self) -> int:
        """The number of watches."""
        return len(self._reflectors)

    async def get(
        self,
        type_: type[K],
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        transform: Transform[K] | None = None,
    ) -> Reflector[K]:
        """Return the reflector of that selection, running.

        Args:
            type_: The kind; `PartialObjectMetadata.of(Pod)` is another than `Pod`.
            namespace: Where the objects live; None means all namespaces.
            label_selector: Which objects, by label.
            field_selector: Which objects, by field.
            transform: What is kept of them; the same function is the same selection.
        """
        key = (type_, namespace, label_selector, field_selector, transform)
        async with self._starting:
            if key not in self._reflectors:
                api: Any = Api
                reflector: Reflector[K] = Reflector(
                    api(self._client, type_, namespace=namespace),
                    label_selector=label_selector,
                    field_selector=field_selector,
                    transform=transform,
                )
                self._reflectors[key] = await self._stack.enter_async_context(reflector)
            return self._reflectors[key]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all of them."""
        await self._stack.aclose()
        self._reflectors.clear()
