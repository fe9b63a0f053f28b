"""Pods made and ended in an owner's name, remembered until the watch shows it, and told as Events."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any

from proa.controlplane.controllers._adoption import by_controller
from proa.controlplane.controllers._expectations import Expectations
from proa.controlplane.controllers._pods import controller_of
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, KubeError, NotFoundError
from proa.kube.models import Namespaced
from proa.kube.models.core_v1 import Pod
from proa.runtime import Apply, Delete, InitApply, ObjectRef, Recorder, Reflector


class PodControl:
    """Creates and deletes pods for the owners of one kind.

    What it did counts from that moment (`view`), so a cache that is behind leads to no pod too many. Its
    `follow` must run beside it.
    """

    def __init__(self, client: Client, pods: Reflector[Pod], recorder: Recorder) -> None:
        self.api = Api(client, Pod)
        self.by_controller = pods.store.index(by_controller)
        self._pods = pods
        self._recorder = recorder
        self._expectations: Expectations[Pod] = Expectations(lambda: asyncio.get_running_loop().time())

    async def follow(self) -> None:
        """Note which of one's own writes the watch has shown."""
        async for event in self._pods.subscribe():
            match event:
                case InitApply(pod) | Apply(pod) | Delete(pod):
                    if owner := controller_of(pod):
                        self._expectations.seen(ObjectRef(owner.name, pod.metadata.namespace), pod)

    def view(self, owner: ObjectRef, cached: Iterable[Pod]) -> list[Pod]:
        """Return the owner's pods: those in the cache, with one's own writes applied."""
        return self._expectations.view(owner, cached)

    def pending(self, owner: ObjectRef) -> bool:
        """Tell whether some write for `owner` has not been seen."""
        return self._expectations.pending(owner)

    def forget(self, owner: ObjectRef) -> None:
        """Drop what is noted for an owner that is gone."""
        self._expectations.forget(owner)

    async def create(self, owner: Namespaced, pod: Pod) -> None:
        """Create a pod.

        Raises:
            AlreadyExistsError: One of that name is there.
            KubeError: It could not be created; an Event of the owner says so.
        """
        try:
            made = await self.api.create(pod)
        except AlreadyExistsError:
            raise
        except KubeError as error:
            self._recorder.event(
                owner, type="Warning", reason="FailedCreate", message=f"Error creating: {error}"
            )
            raise
        self._expectations.created(ObjectRef.of(owner), made)
        self._recorder.event(owner, reason="SuccessfulCreate", message=f"Created pod: {made.metadata.name}")

    async def delete(self, owner: Namespaced, pod: Pod) -> None:
        """Delete a pod; one that is gone, or another by now, is no error."""
        name = pod.metadata.name or ""
        # Noted before it is sent: an answer that is lost must not lead to a second pod being chosen.
        self._expectations.deleted(ObjectRef.of(owner), pod)
        with suppress(NotFoundError, ConflictError):
            await self.api.delete(name, uid=pod.metadata.uid, namespace=pod.metadata.namespace)
        self._recorder.event(owner, reason="SuccessfulDelete", message=f"Deleted pod: {name}")


async def slow_start(work: Sequence[Coroutine[Any, Any, None]]) -> KubeError | None:
    """Do the work in batches of 1, 2, 4, ...; return the first failure, after which no batch begins.

    What is bound to fail (an exceeded quota, say) then costs one request instead of hundreds.
    """
    position, size = 0, 1
    try:
        while position < len(work):
            batch = work[position : position + size]
            position, size = position + len(batch), size * 2
            for outcome in await asyncio.gather(*batch, return_exceptions=True):
                if isinstance(outcome, KubeError):
                    return outcome
                if isinstance(outcome, BaseException):
                    raise outcome
        return None
    finally:
        for coroutine in work[position:]:
            coroutine.close()
