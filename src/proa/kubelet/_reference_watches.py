"""Learning of changes to config maps and secrets that pods refer to, by one watch for each of them.

A node may watch by name only what its own pods refer to: that is all that Kubernetes' node authorisation
allows. Pods that refer to the same object share its watch.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from proa.kube import Api, Client
from proa.kube.models import Namespaced
from proa.kube.models.core_v1 import ConfigMap, Secret
from proa.kubelet._references import References
from proa.runtime import Apply, Delete, InitApply, watcher

_KINDS: Final[dict[str, type[ConfigMap] | type[Secret]]] = {"ConfigMap": ConfigMap, "Secret": Secret}


class _Key(NamedTuple):
    kind: str
    namespace: str
    name: str


@dataclass
class _Watch:
    task: asyncio.Task[None]
    listeners: list[asyncio.Event] = field(default_factory=list)


class ReferenceWatches:
    """All watches of a node. Made by `open`, whose context ends them."""

    def __init__(self, client: Client, group: asyncio.TaskGroup) -> None:
        self._client = client
        self._group = group
        self._watches: dict[_Key, _Watch] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, client: Client) -> AsyncIterator[Self]:
        """Watch as long as the context lasts."""
        async with asyncio.TaskGroup() as group:
            watches = cls(client, group)
            yield watches
            for watch in watches._watches.values():
                watch.task.cancel()

    @contextlib.contextmanager
    def listen(self, namespace: str, references: References) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever one of the objects may have changed."""
        changed = asyncio.Event()
        keys = [_Key("ConfigMap", namespace, name) for name in references.config_maps]
        keys += [_Key("Secret", namespace, name) for name in references.secrets]
        for key in keys:
            self._join(key, changed)
        try:
            yield changed
        finally:
            for key in keys:
                self._leave(key, changed)

    def _join(self, key: _Key, listener: asyncio.Event) -> None:
        watch = self._watches.get(key)
        if watch is None:
            name = f"watch of {key.kind} {key.namespace}/{key.name}"
            watch = self._watches[key] = _Watch(self._group.create_task(self._follow(key), name=name))
        watch.listeners.append(listener)

    def _leave(self, key: _Key, listener: asyncio.Event) -> None:
        watch = self._watches[key]
        watch.listeners.remove(listener)
        if not watch.listeners:
            watch.task.cancel()
            del self._watches[key]

    async def _follow(self, key: _Key) -> None:
        api: Api[Namespaced] = Api(self._client, _KINDS[key.kind], namespace=key.namespace)
        async for event in watcher(api, field_selector=f"metadata.name={key.name}"):
            if isinstance(event, InitApply | Apply | Delete) and (watch := self._watches.get(key)):
                for listener in watch.listeners:
                    listener.set()
