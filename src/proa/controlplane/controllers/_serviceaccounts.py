"""Service accounts: each namespace has the one that pods use unless they say otherwise."""

from __future__ import annotations

from contextlib import suppress

from proa.kube import AlreadyExistsError, Api, Client, NotFoundError
from proa.kube.models.core_v1 import Namespace, ServiceAccount
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Action, Controller, ObjectRef, Reflector


class ServiceAccountController:
    """Gives each namespace the service account `default`, which pods use unless they say otherwise."""

    def __init__(
        self, client: Client, namespaces: Reflector[Namespace], accounts: Reflector[ServiceAccount]
    ) -> None:
        self._accounts_api = Api(client, ServiceAccount)
        self._namespaces = namespaces
        self._accounts = accounts
        self.controller = Controller(namespaces, self.reconcile, name="serviceaccount").watches(
            accounts, lambda account: [ObjectRef(account.metadata.namespace or "")]
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Create the account where it is missing."""
        namespace = self._namespaces.store.find(ref)
        if namespace is None or namespace.metadata.deletion_timestamp is not None:
            return Action.await_change()
        if self._accounts.store.get("default", ref.name) is None:
            account = ServiceAccount(metadata=ObjectMeta(name="default", namespace=ref.name))
            with suppress(AlreadyExistsError, NotFoundError):
                await self._accounts_api.create(account)
        return Action.await_change()
