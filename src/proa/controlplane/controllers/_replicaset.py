"""The ReplicaSet controller: keeps as many pods as each set says."""

from __future__ import annotations

from collections.abc import Sequence

from proa.controlplane.controllers._adoption import candidates, claim, concerned
from proa.controlplane.controllers._clock import look_in
from proa.controlplane.controllers._expectations import PATIENCE
from proa.controlplane.controllers._podcontrol import PodControl, slow_start
from proa.controlplane.controllers._pods import COLLECT, countable
from proa.controlplane.controllers._replicaset_plan import new_pod, plan, status, with_status
from proa.controlplane.controllers._status import same
from proa.kube import Api, Client, ConflictError, KubeError, NotFoundError
from proa.kube.models import now
from proa.kube.models.apps_v1 import ReplicaSet
from proa.kube.models.core_v1 import Pod
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector
from proa.runtime.predicates import generation

MANY = 1000
"""So many pods or more are waited for no longer."""


class ReplicaSetController:
    """Creates and deletes pods, adopts and releases them, and writes the sets' status.

    It never counts on its cache alone: pods that it created or deleted count from that moment, so a cache
    that is behind leads to no pod too many.
    """

    def __init__(
        self, client: Client, sets: Reflector[ReplicaSet], pods: Reflector[Pod], recorder: Recorder
    ) -> None:
        self._sets_api = Api(client, ReplicaSet)
        self._sets = sets
        self._pods = PodControl(client, pods, recorder)
        self.follow = self._pods.follow
        # One's own writes of a status are no news: without this each would lead to the next at once.
        self.controller = Controller(sets, self.reconcile, name="replicaset", on=generation).watches(
            pods, concerned(sets, lambda one: one.spec.selector), on=countable, collect=self._patience
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Bring the pods of one set, and its status, closer to what it says."""
        replica_set = self._sets.store.find(ref)
        if replica_set is None:
            self._pods.forget(ref)
            return Action.await_change()
        owned = await self._owned(replica_set)
        failure = None
        if replica_set.metadata.deletion_timestamp is None:
            failure = await self._carry_out(replica_set, self._pods.view(ref, owned))
        again = await self._write_status(replica_set, self._pods.view(ref, owned), failure)
        if failure is not None:
            raise failure
        if again is None and self._pods.pending(ref):
            again = PATIENCE
        return Action(look_in(again))

    def _patience(self, ref: ObjectRef) -> float:
        """Return for how long changes of a set's pods are collected: counting many takes longer."""
        replica_set = self._sets.store.find(ref)
        count = replica_set.spec.replicas or 0 if replica_set else 0
        return COLLECT * (1 + min(count, MANY) / 100)

    async def _owned(self, replica_set: ReplicaSet) -> list[Pod]:
        found = candidates(replica_set, self._pods.by_controller)
        return await claim(self._sets_api, replica_set, replica_set.spec.selector, self._pods.api, found)

    async def _carry_out(self, replica_set: ReplicaSet, pods: Sequence[Pod]) -> KubeError | None:
        todo = plan(replica_set, pods)
        work = [self._pods.delete(replica_set, pod) for pod in todo.delete]
        work += [self._pods.create(replica_set, new_pod(replica_set)) for _ in range(todo.create)]
        return await slow_start(work)

    async def _write_status(
        self, replica_set: ReplicaSet, pods: Sequence[Pod], failure: KubeError | None
    ) -> float | None:
        wanted, again = status(replica_set, pods, now(), str(failure) if failure else None)
        if not same(wanted, replica_set.status):
            try:
                await self._sets_api.replace_status(with_status(replica_set, wanted))
            except ConflictError:
                return COLLECT  # the set is another by now, which the cache will show
            except NotFoundError:
                return None
        return again
