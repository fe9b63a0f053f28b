"""The life of definitions: their names are accepted, their resources served, their instances removed with
them.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from proa.app import logs
from proa.controlplane._errors import StatusError
from proa.controlplane._housekeeping import Housekeeper
from proa.controlplane._json import Document
from proa.controlplane.registry import Catalogue, Options, Registry, Resource
from proa.controlplane.registry._metadata import CLEANUP
from proa.controlplane.registry._options import DeleteOptions
from proa.controlplane.storage import Event, Key
from proa.controlplane.storage._store import StorageError

from ._conversion import Conversions
from ._names import TakenNames, is_true, settle_names, with_condition
from ._resource import resources_of

GROUP, PLURAL = "apiextensions.k8s.io", "customresourcedefinitions"
DEFINITIONS = f"{PLURAL}.{GROUP}"
RETRY_SECONDS = 5.0
_OPTIONS = Options(manager="kube-apiserver")


class CustomResources(Housekeeper):
    """Follows the definitions of a store. Use as an async context manager: it works within.

    A definition is served once its status says that it is established, which the next moment after its
    creation it does. One that is being deleted takes no new instances; when the last is gone, it goes.
    """

    def __init__(self, registry: Registry, catalogue: Catalogue, conversions: Conversions) -> None:
        super().__init__()
        self._registry = registry
        self._store = registry.store
        self._catalogue = catalogue
        self._conversions = conversions
        resource = catalogue.find(GROUP, PLURAL)
        assert resource is not None
        self._resource = resource
        self._names: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: dict[str, set[str]] = {}
        self._log = logs.get_logger(__name__)

    def begin(self) -> None:
        for stored in self._store.scan(DEFINITIONS):
            self._serve(stored.key.name, stored.document())
            self._names.put_nowait(stored.key.name)
        self.ends.append(self._store.subscribe(DEFINITIONS, self._on_definition))

    def _on_definition(self, event: Event) -> None:
        name = event.key.name
        if event.current is None:
            self._catalogue.serve(name, [])
            for stored in self._store.scan(DEFINITIONS):  # a name may be free for another now
                self._names.put_nowait(stored.key.name)
            return
        self._serve(name, event.current.document())
        self._names.put_nowait(name)

    def _serve(self, name: str, definition: Document) -> None:
        """Serves what an established definition says: under the names that it has been given."""
        status = definition.get("status") or {}
        if not is_true(status.get("conditions") or (), "Established"):
            return
        accepted = {**definition["spec"]["names"], **status.get("acceptedNames", {})}
        given = {**definition, "spec": {**definition["spec"], "names": accepted}}
        resources: list[Resource] = list(resources_of(given))
        for stored in self._store.scan(name):
            stored.forget_fields()
        self._catalogue.serve(name, resources)

    async def run(self) -> None:
        while True:
            name = await self._names.get()
            try:
                await self._settle(name)
            except (StatusError, StorageError) as error:
                self._log.warning("a definition cannot be settled yet", definition=name, error=str(error))
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._names.put_nowait, name)

    async def _settle(self, name: str) -> None:
        stored = self._store.latest(Key(DEFINITIONS, "", name))
        if stored is None:
            return
        definition = stored.document()
        if "deletionTimestamp" in definition["metadata"]:
            await self._remove_instances(name, definition)
            return
        status = settle_names(definition, self._taken(name, definition["spec"]["group"]))
        if status != definition.get("status"):
            await self._write_status(name, status)
        await self._conversions.convert_stored(self._store, name)

    def _taken(self, name: str, group: str) -> TakenNames:
        taken = TakenNames()
        for resource in self._catalogue:
            if resource.group == group and not resource.is_custom:
                taken.resources.update((resource.plural, resource.singular, *resource.short_names))
                taken.kinds.add(resource.kind)
        for stored in self._store.scan(DEFINITIONS):
            other = stored.document()
            if stored.key.name != name and other["spec"]["group"] == group:
                taken.take((other.get("status") or {}).get("acceptedNames") or {})
        return taken

    async def _write_status(self, name: str, status: Document) -> None:
        def change(old: Document) -> Document:
            return {**old, "status": {**(old.get("status") or {}), **status}}

        await self._registry.update(self._resource, "", name, change, _OPTIONS, "status")

    async def _remove_instances(self, name: str, definition: Document) -> None:
        if CLEANUP not in definition["metadata"].get("finalizers", ()):
            return
        resources = self._catalogue.custom(name)
        if resources:
            await self._delete_all(resources[0])
        if self._store.count(name):
            self._wait_for(name)
            return
        await self._write_status(name, _removed(definition))

        def change(old: Document) -> Document:
            kept = [one for one in old["metadata"].get("finalizers", ()) if one != CLEANUP]
            return {**old, "metadata": {**old["metadata"], "finalizers": kept}}

        await self._registry.update(self._resource, "", name, change, _OPTIONS)

    async def _delete_all(self, resource: Resource) -> None:
        for stored in list(self._store.scan(resource.storage)):
            with suppress(StatusError):
                await self._registry.delete(
                    resource, stored.key.namespace, stored.key.name, DeleteOptions(propagation="Background")
                )

    def _wait_for(self, name: str) -> None:
        """Looks again when an instance that something holds is gone."""
        if name in self._waiting:
            return
        self._waiting[name] = set()

        def on_instance(event: Event) -> None:
            if event.current is None and not self._store.count(name):
                del self._waiting[name]
                end()
                self._names.put_nowait(name)

        end = self._store.subscribe(name, on_instance)


def _removed(definition: Document) -> Document:
    conditions = list((definition.get("status") or {}).get("conditions") or ())
    why = "removed all instances"
    return {
        "conditions": with_condition(conditions, "Terminating", "False", "InstanceDeletionCompleted", why)
    }
