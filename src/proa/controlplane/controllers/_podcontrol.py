"""Pods made and ended in an owner's name, remembered until the watch shows it, and told as Events."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from proa.controlplane.controllers._adoption import by_controller
from proa.controlplane.controllers._expectations import Expectations
from proa.controlplane.controllers._pods import controller_of
from proa.controlplane.registry._names import generated
from proa.kube import (
    AlreadyExistsError,
    Api,
    ApiError,
    Client,
    ConflictError,
    ConnectError,
    KubeError,
    NotFoundError,
)
from proa.kube.models import Namespaced
from proa.kube.models.core_v1 import Pod
from proa.runtime import Apply, Delete, InitApply, ObjectRef, Recorder, Reflector


class PodControl:
    """Creates and deletes pods for the owners of one kind.

    What it did counts from that moment (`view`), so a cache that is behind leads to no pod too many. Nor does
    an answer that is lost: the names of pods are chosen here, and a creation that may have happened is
    repeated under the same name. Its `follow` must run beside it.
    """

    def __init__(self, client: Client, pods: Reflector[Pod], recorder: Recorder) -> None:
        self.api = Api(client, Pod)
        self.by_controller = pods.store.index(by_controller)
        self._pods = pods
        self._recorder = recorder
        self._expectations: Expectations[Pod] = Expectations(lambda: asyncio.get_running_loop().time())
        self._unanswered: dict[ObjectRef, dict[str, Pod]] = {}

    async def follow(self) -> None:
        """Note which of one's own writes the watch has shown."""
        async for event in self._pods.subscribe():
            match event:
                case InitApply(pod) | Apply(pod) | Delete(pod):
                    if owner := controller_of(pod):
                        ref = ObjectRef(owner.name, pod.metadata.namespace)
                        self._expectations.seen(ref, pod)
                        self._unanswered.get(ref, {}).pop(pod.metadata.name or "", None)

    def view(self, owner: ObjectRef, cached: Iterable[Pod]) -> list[Pod]:
        """Return the owner's pods: those in the cache, with one's own writes applied."""
        return self._expectations.view(owner, cached)

    def pending(self, owner: ObjectRef) -> bool:
        """Tell whether some write for `owner` has not been seen."""
        return self._expectations.pending(owner)

    def forget(self, owner: ObjectRef) -> None:
        """Drop what is noted for an owner that is gone."""
        self._expectations.forget(owner)
        self._unanswered.pop(owner, None)

    async def create(self, owner: Namespaced, pod: Pod) -> None:
        """Create a pod.

        Raises:
            AlreadyExistsError: One of that name is there.
            KubeError: It could not be created; an Event of the owner says so.
        """
        ref = ObjectRef.of(owner)
        attempt = self._attempt(ref, pod)
        try:
            made = await self._create_once(owner, pod, attempt)
        except AlreadyExistsError:
            raise
        except KubeError as error:
            if may_have_happened(error) and not self._is_shown(owner, attempt):
                self._unanswered.setdefault(ref, {})[attempt.metadata.name or ""] = pod
            self._recorder.event(
                owner, type="Warning", reason="FailedCreate", message=f"Error creating: {error}"
            )
            raise
        self._expectations.created(ref, made)
        self._recorder.event(owner, reason="SuccessfulCreate", message=f"Created pod: {made.metadata.name}")

    def _attempt(self, owner: ObjectRef, pod: Pod) -> Pod:
        """Return the pod with a name: that of an attempt of which nothing is known, or a new one."""
        if pod.metadata.name:
            return pod
        tried = self._unanswered.get(owner, {})
        name = next((name for name, wanted in tried.items() if wanted == pod), None)
        if name is None:
            name = generated(pod.metadata.generate_name or "")
        tried.pop(name, None)
        return replace(pod, metadata=replace(pod.metadata, name=name))

    async def _create_once(self, owner: Namespaced, wanted: Pod, attempt: Pod) -> Pod:
        try:
            return await self.api.create(attempt)
        except AlreadyExistsError:
            if wanted.metadata.name:
                raise
            found = await self.api.get(attempt.metadata.name or "", namespace=attempt.metadata.namespace)
            made_by = controller_of(found)
            if made_by is None or made_by.uid != owner.metadata.uid:
                raise
            return found  # by the attempt before

    def _is_shown(self, owner: Namespaced, pod: Pod) -> bool:
        shown = self.by_controller[owner.metadata.uid or ""]
        return any(one.metadata.name == pod.metadata.name for one in shown)

    async def delete(self, owner: Namespaced, pod: Pod) -> None:
        """Delete a pod; one that is gone, or another by now, is no error."""
        name = pod.metadata.name or ""
        # Noted before it is sent: an answer that is lost must not lead to a second pod being chosen.
        self._expectations.deleted(ObjectRef.of(owner), pod)
        with suppress(NotFoundError, ConflictError):
            await self.api.delete(name, uid=pod.metadata.uid, namespace=pod.metadata.namespace)
        self._recorder.event(owner, reason="SuccessfulDelete", message=f"Deleted pod: {name}")


def may_have_happened(error: KubeError) -> bool:
    """Tell whether a write that failed so may have been done all the same: its answer did not come."""
    if isinstance(error, ApiError):
        return error.code >= 500
    return not isinstance(error, ConnectError)


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
