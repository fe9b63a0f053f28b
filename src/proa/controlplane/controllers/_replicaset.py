"""The ReplicaSet controller: keeps as many pods as each set says."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any

from proa.controlplane.controllers._adoption import by_controller, candidates, claim
from proa.controlplane.controllers._expectations import PATIENCE, Expectations
from proa.controlplane.controllers._pods import controller_of
from proa.controlplane.controllers._replicaset_plan import new_pod, plan, status, with_status
from proa.kube import Api, Client, ConflictError, KubeError, NotFoundError, Selector
from proa.kube.models import now
from proa.kube.models.apps_v1 import ReplicaSet
from proa.kube.models.core_v1 import Pod
from proa.runtime import Action, Apply, Controller, Delete, InitApply, ObjectRef, Recorder, Reflector


class ReplicaSetController:
    """Creates and deletes pods, adopts and releases them, and writes the sets' status.

    It never counts on its cache alone: pods that it created or deleted count from that moment, so a cache
    that is behind leads to no pod too many.
    """

    def __init__(
        self, client: Client, sets: Reflector[ReplicaSet], pods: Reflector[Pod], recorder: Recorder
    ) -> None:
        self._sets_api = Api(client, ReplicaSet)
        self._pods_api = Api(client, Pod)
        self._sets = sets
        self._pods = pods
        self._recorder = recorder
        self._by_controller = pods.store.index(by_controller)
        self._expectations: Expectations[Pod] = Expectations(lambda: asyncio.get_running_loop().time())
        self.controller = Controller(sets, self.reconcile, name="replicaset").watches(pods, self._concerned)

    async def follow(self) -> None:
        """Note which of one's own writes the watch has shown."""
        async for event in self._pods.subscribe():
            match event:
                case InitApply(pod) | Apply(pod) | Delete(pod):
                    if owner := controller_of(pod):
                        self._expectations.seen(ObjectRef(owner.name, pod.metadata.namespace), pod)

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Bring the pods of one set, and its status, closer to what it says."""
        replica_set = self._sets.store.find(ref)
        if replica_set is None:
            self._expectations.forget(ref)
            return Action.await_change()
        owned = await self._owned(replica_set)
        failure = None
        if replica_set.metadata.deletion_timestamp is None:
            failure = await self._carry_out(ref, replica_set, self._expectations.view(ref, owned))
        again = await self._write_status(replica_set, self._expectations.view(ref, owned), failure)
        if failure is not None:
            raise failure
        if again is None and self._expectations.pending(ref):
            again = PATIENCE
        return Action(again)

    async def _owned(self, replica_set: ReplicaSet) -> list[Pod]:
        found = candidates(replica_set, self._by_controller)
        return await claim(self._sets_api, replica_set, replica_set.spec.selector, self._pods_api, found)

    async def _carry_out(
        self, ref: ObjectRef, replica_set: ReplicaSet, pods: Sequence[Pod]
    ) -> KubeError | None:
        todo = plan(replica_set, pods)
        work = [self._delete(ref, replica_set, pod) for pod in todo.delete]
        work += [self._create(ref, replica_set) for _ in range(todo.create)]
        return await slow_start(work)

    async def _create(self, ref: ObjectRef, replica_set: ReplicaSet) -> None:
        try:
            pod = await self._pods_api.create(new_pod(replica_set))
        except KubeError as error:
            self._recorder.event(
                replica_set, type="Warning", reason="FailedCreate", message=f"Error creating: {error}"
            )
            raise
        self._expectations.created(ref, pod)
        self._recorder.event(
            replica_set, reason="SuccessfulCreate", message=f"Created pod: {pod.metadata.name}"
        )

    async def _delete(self, ref: ObjectRef, replica_set: ReplicaSet, pod: Pod) -> None:
        name = pod.metadata.name or ""
        # Noted before it is sent: an answer that is lost must not lead to a second pod being chosen.
        self._expectations.deleted(ref, pod)
        with suppress(NotFoundError, ConflictError):
            await self._pods_api.delete(name, uid=pod.metadata.uid, namespace=pod.metadata.namespace)
        self._recorder.event(replica_set, reason="SuccessfulDelete", message=f"Deleted pod: {name}")

    async def _write_status(
        self, replica_set: ReplicaSet, pods: Sequence[Pod], failure: KubeError | None
    ) -> float | None:
        wanted, again = status(replica_set, pods, now(), str(failure) if failure else None)
        if wanted != replica_set.status:
            # A conflict means that the set changed; that change leads here again.
            with suppress(NotFoundError, ConflictError):
                await self._sets_api.replace_status(with_status(replica_set, wanted))
        return again

    def _concerned(self, pod: Pod) -> Iterable[ObjectRef]:
        owner = controller_of(pod)
        if owner is not None:
            return [ObjectRef(owner.name, pod.metadata.namespace)] if owner.kind == "ReplicaSet" else []
        return [ObjectRef.of(replica_set) for replica_set in self._sets.store if _matches(replica_set, pod)]


def _matches(replica_set: ReplicaSet, pod: Pod) -> bool:
    return replica_set.metadata.namespace == pod.metadata.namespace and Selector.of(
        replica_set.spec.selector
    ).matches(pod.metadata.labels)


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
