"""The quota controller: keeps what ResourceQuotas say is used, for API servers that leave that to one.

Each count is taken from lists as of after the quota was read, and written on the version that was read: an
API server that notes the use of new objects itself, as all do, changes that version with each.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from proa.controlplane.admission._quota_room import storages_of
from proa.controlplane.admission._quotas import count
from proa.controlplane.controllers._discovery import Kinds
from proa.controlplane.controllers._pods import has_ended
from proa.kube import Api, Client, ConflictError, NotFoundError, decode, encode
from proa.kube.errors import UnknownResourceError
from proa.kube.models import Namespaced, Quantity
from proa.kube.models.core_v1 import (
    PersistentVolumeClaim,
    Pod,
    ResourceQuota,
    ResourceQuotaStatus,
    Service,
)
from proa.runtime import Action, Controller, ObjectRef, Reflector

EVERY = 300.0
"""Seconds between counts though nothing is known to have changed: most kinds are not watched for this."""
TOGETHER = 0.5
"""Seconds within which changes are counted together."""

_WHOLE: dict[str, type[Namespaced]] = {
    "pods": Pod,
    "persistentvolumeclaims": PersistentVolumeClaim,
    "services": Service,
}
"""What is looked into; of other kinds only the number counts."""


class QuotaController:
    """Counts anew when a quota changes, when something that it is about goes, and now and then."""

    def __init__(
        self,
        client: Client,
        quotas: Reflector[ResourceQuota],
        pods: Reflector[Pod],
        claims: Reflector[PersistentVolumeClaim],
        services: Reflector[Service],
        kinds: Kinds,
    ) -> None:
        self._client = client
        self._api = Api(client, ResourceQuota)
        self._quotas = quotas.store
        self._in = quotas.store.index(lambda quota: [quota.metadata.namespace])
        self._kinds = kinds
        self.controller = (
            Controller(
                quotas, self.reconcile, name="quota", on=lambda one: encode(one.spec), debounce=TOGETHER
            )
            .watches(pods, self._about, on=has_ended)
            .watches(claims, self._about, on=lambda claim: encode(claim.spec))
            .watches(services, self._about, on=lambda service: encode(service.spec))
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Count what one quota is about."""
        quota = self._quotas.find(ref)
        if quota is None or quota.metadata.deletion_timestamp is not None:
            return Action.await_change()
        document = decode(encode(quota), dict[str, Any])
        objects = [
            (storage, one)
            for storage in sorted(storages_of(document))
            for one in await self._list(storage, ref.namespace or "")
        ]
        used = {name: Quantity(amount) for name, amount in count(document, objects).items()}
        wanted = ResourceQuotaStatus(hard=quota.spec.hard, used=used)
        if wanted != quota.status:
            try:
                await self._api.replace_status(msgspec.structs.replace(quota, status=wanted))
            except NotFoundError:
                return Action.await_change()
            except ConflictError:
                return Action.requeue(TOGETHER)
        return Action.requeue(EVERY)

    async def _list(self, resource: str, namespace: str) -> list[dict[str, Any]]:
        kind = _WHOLE.get(resource)
        if kind is not None:
            found = Api(self._client, kind, namespace=namespace).list()
            return [decode(encode(one), dict[str, Any]) async for one in found]
        try:
            named: Any = await self._kinds.named(resource)
        except UnknownResourceError:
            return []
        return [{} async for _ in Api(self._client, named, namespace=namespace).list()]

    def _about(self, obj: Namespaced) -> Iterable[ObjectRef]:
        return [ObjectRef.of(quota) for quota in self._in[obj.metadata.namespace]]
