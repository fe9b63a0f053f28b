"""Finalizers: names on an object that keep it from vanishing before someone has cleaned up.

https://kubernetes.io/docs/concepts/overview/working-with-objects/finalizers/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from proa.kube import Api, ConflictError, InvalidError, InvalidRequestError, Json, NotFoundError
from proa.kube.models.meta_v1 import Status
from proa.runtime._controller import Action
from proa.runtime._object import K


class Finalizer:
    """One finalizer, such as `moose.example.com/cleanup`.

    Patches are guarded by test operations: they succeed only on the list of finalizers and the object that
    was looked at, so that no finalizer of anybody else is ever lost or removed.

    Args:
        name: A domain name and a path.

    Raises:
        InvalidRequestError: the name has no domain; API servers would refuse it.
    """

    def __init__(self, name: str) -> None:
        domain, slash, path = name.partition("/")
        if not (slash and path and "." in domain):
            raise InvalidRequestError(f"{name!r} is no finalizer such as example.com/cleanup")
        self.name = name

    def stands_on(self, obj: K) -> bool:
        """Whether the object carries it."""
        return self.name in obj.metadata.finalizers

    async def add(self, api: Api[K], obj: K) -> K:
        """Put it on the object; one that has it already is returned as it is.

        Raises:
            ConflictError: the object has changed since `obj` was read.
            NotFoundError: it is gone.
        """
        present = obj.metadata.finalizers
        if self.stands_on(obj):
            return obj
        changes: list[dict[str, Any]]
        if present:
            changes = [
                {"op": "test", "path": "/metadata/finalizers", "value": present},
                {"op": "add", "path": "/metadata/finalizers/-", "value": self.name},
            ]
        else:
            # `add` would replace a list that someone has made meanwhile: the version guards against that.
            version = obj.metadata.resource_version
            changes = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                {"op": "add", "path": "/metadata/finalizers", "value": [self.name]},
            ]
        return await _patch(api, obj, changes)

    async def remove(self, api: Api[K], obj: K) -> K | None:
        """Take it off the object, which may make it vanish; return the object, or None if it is gone.

        Raises:
            ConflictError: the object's finalizers have changed since `obj` was read.
        """
        if not self.stands_on(obj):
            return obj
        path = f"/metadata/finalizers/{obj.metadata.finalizers.index(self.name)}"
        changes = [{"op": "test", "path": path, "value": self.name}, {"op": "remove", "path": path}]
        try:
            return await _patch(api, obj, changes)
        except NotFoundError:
            return None

    async def reconcile(
        self,
        api: Api[K],
        obj: K,
        *,
        apply: Callable[[K], Awaitable[Action]],
        cleanup: Callable[[K], Awaitable[Action]],
    ) -> Action:
        """Call `apply` for an object that is to be, and `cleanup` for one that is to go.

        Guarantees: `apply` is called only for objects that carry the finalizer, so that each of them is
        cleaned up; the finalizer is taken off only when `cleanup` has returned. `cleanup` may be called again
        if it, or the process, fails before that is done: it has to be idempotent.
        """
        if obj.metadata.deletion_timestamp is not None:
            if not self.stands_on(obj):
                return Action.await_change()
            action = await cleanup(obj)
            await self.remove(api, obj)
            return action
        if not self.stands_on(obj):
            await self.add(api, obj)
            return Action.await_change()  # the patch is a change: it calls again
        return await apply(obj)


async def _patch(api: Api[K], obj: K, changes: list[dict[str, Any]]) -> K:
    same = {"op": "test", "path": "/metadata/uid", "value": obj.metadata.uid}
    name, namespace = obj.metadata.name or "", obj.metadata.namespace
    try:
        return await api.patch(name, Json([same, *changes]), namespace=namespace)
    except InvalidError as error:
        # A test that failed is answered with 422: to the caller it is a conflict.
        message = f"the object has changed since it was read: {error}"
        status = Status(status="Failure", code=409, reason="Conflict", message=message)
        raise ConflictError(status) from error
