"""Namespaces: the end of each one's content with it, and the default service account of each that lives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import msgspec

from proa.kube import AlreadyExistsError, Api, Client, ConflictError, NotFoundError, encode
from proa.kube.core.request import Request
from proa.kube.errors import MethodNotAllowedError
from proa.kube.models import Resource
from proa.kube.models.core_v1 import Namespace, ServiceAccount
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Action, Controller, ObjectRef, Reflector

FINALIZER = "kubernetes"
LOOK_AGAIN_SECONDS = 1.0
"""Between looks at a namespace whose objects take their time to go: pods with a grace period, finalizers."""


class NamespaceController:
    """Empties a namespace that is being deleted, and then lets it go.

    Args:
        client: The server.
        namespaces: All namespaces.
        kinds: All kinds, as `discover` returns them.
    """

    def __init__(
        self, client: Client, namespaces: Reflector[Namespace], kinds: Iterable[type[Resource]]
    ) -> None:
        self._client = client
        self._namespaces = namespaces
        self._contents: list[Api[Any]] = [Api(client, kind) for kind in kinds if kind.resource.namespaced]
        self.controller = Controller(namespaces, self.reconcile, name="namespace")

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Delete what a terminating namespace holds; finish it once nothing is left."""
        namespace = self._namespaces.store.find(ref)
        if namespace is None or namespace.metadata.deletion_timestamp is None:
            return Action.await_change()
        if FINALIZER not in namespace.spec.finalizers:
            return Action.await_change()
        left = await asyncio.gather(*(self._empty(contents, ref.name) for contents in self._contents))
        if any(left):
            return Action.requeue(LOOK_AGAIN_SECONDS)
        with suppress(NotFoundError, ConflictError):
            await self._finalize(namespace)
        return Action.await_change()

    async def _empty(self, contents: Api[Any], namespace: str) -> bool:
        """Delete all objects of one kind; return whether some are still there."""
        here: Api[Any] = Api(self._client, contents.type, namespace=namespace)
        if not (await here.list_page(limit=1)).items:
            return False
        try:
            await here.delete_collection()
        except (MethodNotAllowedError, NotFoundError):
            async for obj in here.list():
                with suppress(NotFoundError):
                    await here.delete(obj.metadata.name)
        return bool((await here.list_page(limit=1)).items)

    async def _finalize(self, namespace: Namespace) -> None:
        others = [finalizer for finalizer in namespace.spec.finalizers if finalizer != FINALIZER]
        spec = msgspec.structs.replace(namespace.spec, finalizers=others)
        body = encode(msgspec.structs.replace(namespace, spec=spec))
        path = f"/api/v1/namespaces/{namespace.metadata.name}/finalize"
        await self._client.request(Request("PUT", path, body=body))


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
