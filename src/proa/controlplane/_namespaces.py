"""Namespaces that are being deleted lose their content, and then go themselves."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from proa.app import logs

from ._errors import StatusError
from ._housekeeping import Housekeeper
from ._json import Document
from .registry import Catalogue, Options, Registry, Resource
from .registry._options import DeleteOptions
from .storage import Event, Key
from .storage._store import StorageError

RETRY_SECONDS = 5.0


class NamespaceCleaner(Housekeeper):
    """Empties namespaces whose deletion has begun. Use as an async context manager: it runs within.

    It is woken by every removal in such a namespace, so one whose pods take their grace period goes right
    after the last of them. Interrupted, it goes on when the server starts again.
    """

    def __init__(self, registry: Registry, catalogue: Catalogue) -> None:
        super().__init__()
        self._registry = registry
        self._store = registry.store
        self._catalogue = catalogue
        self._resources: dict[str, Resource] = {}
        self._namespaces = catalogue.find("", "namespaces")
        self._terminating: set[str] = set()
        self._woken = asyncio.Event()
        self._log = logs.get_logger(__name__)

    def begin(self) -> None:
        for stored in self._store.scan("namespaces"):
            self._notice(stored.key.name, stored.document())
        self.ends.append(self._store.subscribe("namespaces", self._on_namespace))
        self._follow()
        self._catalogue.on_change(self._follow)

    def _follow(self) -> None:
        """Notices which resources namespaces can have by now."""
        known = {one.storage: one for one in self._catalogue if one.namespaced and one.is_stored}
        for storage in known.keys() - self._resources.keys():
            self.ends.append(self._store.subscribe(storage, self._on_content))
        self._resources = known | {name: one for name, one in self._resources.items() if name not in known}
        self._woken.set()

    def _notice(self, name: str, namespace: Document) -> None:
        if "deletionTimestamp" in namespace["metadata"]:
            self._terminating.add(name)
            self._woken.set()

    def _on_namespace(self, event: Event) -> None:
        if event.current is None:
            self._terminating.discard(event.key.name)
        else:
            self._notice(event.key.name, event.current.document())

    def _on_content(self, event: Event) -> None:
        if self._terminating and event.key.namespace in self._terminating and event.current is None:
            self._woken.set()

    async def run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            for name in sorted(self._terminating):
                try:
                    await self._clean(name)
                except (StatusError, StorageError) as error:
                    self._log.warning("a namespace cannot be emptied yet", namespace=name, error=str(error))
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._woken.set)

    async def _clean(self, name: str) -> None:
        for storage, resource in self._resources.items():
            for stored in list(self._store.scan(storage, name)):
                await self._delete(resource, stored.key)
        if not any(self._store.count(storage, name) for storage in self._resources):
            await self._finish(name)

    async def _delete(self, resource: Resource, key: Key) -> None:
        stored = self._store.latest(key)
        if stored is None or "deletionTimestamp" in stored.document()["metadata"]:
            return
        await self._registry.delete(
            resource, key.namespace, key.name, DeleteOptions(propagation="Background")
        )

    async def _finish(self, name: str) -> None:
        assert self._namespaces is not None

        def without_ours(namespace: Document) -> Document:
            held = [one for one in namespace["spec"].get("finalizers", []) if one != "kubernetes"]
            return {**namespace, "spec": {"finalizers": held}}

        with suppress(StatusError):
            await self._registry.finish_finalizers(self._namespaces, name, without_ours, Options())
