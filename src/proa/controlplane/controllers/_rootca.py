"""Each namespace has the cluster's CA certificate in a config map: pods mount it beside their token."""

from __future__ import annotations

from contextlib import suppress

from proa.kube import AlreadyExistsError, Api, Client, NotFoundError
from proa.kube.models.core_v1 import ConfigMap, Namespace
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Action, Controller, ObjectRef, Reflector

NAME = "kube-root-ca.crt"
KEY = "ca.crt"


class RootCaPublisher:
    """Writes the config map, and puts it right when somebody changes or removes it."""

    def __init__(
        self, client: Client, namespaces: Reflector[Namespace], published: Reflector[ConfigMap], ca: str
    ) -> None:
        self._api = Api(client, ConfigMap)
        self._namespaces = namespaces
        self._published = published
        self._ca = ca
        self.controller = Controller(namespaces, self.reconcile, name="rootca").watches(
            published, lambda config_map: [ObjectRef(config_map.metadata.namespace or "")]
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Create the config map where it is missing, and correct it where it is wrong."""
        namespace = self._namespaces.store.find(ref)
        if namespace is None or namespace.metadata.deletion_timestamp is not None:
            return Action.await_change()
        wanted = ConfigMap(metadata=ObjectMeta(name=NAME, namespace=ref.name), data={KEY: self._ca})
        found = self._published.store.get(NAME, ref.name)
        if found is None:
            with suppress(AlreadyExistsError, NotFoundError):
                await self._api.create(wanted)
        elif found.data != wanted.data:
            with suppress(NotFoundError):
                await self._api.replace(wanted)
        return Action.await_change()
