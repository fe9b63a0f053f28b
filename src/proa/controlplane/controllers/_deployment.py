"""The Deployment controller: rolls each Deployment's ReplicaSets towards its template."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import msgspec

from proa.controlplane.controllers._adoption import by_controller, candidates, claim
from proa.controlplane.controllers._clock import look_in
from proa.controlplane.controllers._deployment_plan import Plan, limits_of, plan, sort
from proa.controlplane.controllers._deployment_status import Sets, deadline, status_of
from proa.controlplane.controllers._pods import controller_of, has_ended
from proa.controlplane.controllers._revisions import (
    REVISION,
    changes,
    find_new,
    next_revision,
    revision,
    sizing,
)
from proa.controlplane.controllers._status import same
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, Merge, NotFoundError
from proa.kube.models import now
from proa.kube.models.apps_v1 import Deployment, ReplicaSet
from proa.kube.models.core_v1 import Pod
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector


class DeploymentController:
    """Creates, resizes and removes ReplicaSets, and writes the Deployments' status.

    Every change of a set is made on the version that the decision was based on: if the cache was behind, the
    server refuses it, and the change that was missed leads to a new decision.
    """

    def __init__(
        self,
        client: Client,
        deployments: Reflector[Deployment],
        sets: Reflector[ReplicaSet],
        pods: Reflector[Pod],
        recorder: Recorder,
    ) -> None:
        self._deployments_api = Api(client, Deployment)
        self._sets_api = Api(client, ReplicaSet)
        self._deployments = deployments
        self._recorder = recorder
        self._sets_by_controller = sets.store.index(by_controller)
        self._pods_by_controller = pods.store.index(by_controller)
        self._sets = sets
        self.controller = (
            Controller(deployments, self.reconcile, name="deployment")
            .owns(sets)
            .watches(pods, self._recreating)
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Take the next step of one Deployment's rollout, and write its status."""
        deployment = self._deployments.store.find(ref)
        if deployment is None:
            return Action.await_change()
        found = candidates(deployment, self._sets_by_controller)
        owned = await claim(
            self._deployments_api, deployment, deployment.spec.selector, self._sets_api, found
        )
        sets = sort(deployment, owned)
        if deployment.metadata.deletion_timestamp is None:
            with suppress(ConflictError, NotFoundError):
                await self._carry_out(
                    deployment, sets, plan(deployment, sets, old_pods_run=self._old_pods_run(sets))
                )
                await self._number(deployment, sets)
        return await self._write_status(deployment, sets)

    async def _carry_out(self, deployment: Deployment, sets: Sets, todo: Plan) -> None:
        if todo.create is not None:
            await self._create(deployment, todo.create)
        by_name = {one.metadata.name or "": one for one in sets.all}
        for name, size in (todo.sizes or {}).items():
            await self._resize(deployment, by_name[name], size)
        for outdated in todo.remove:
            await self._sets_api.delete(
                outdated.metadata.name or "", uid=outdated.metadata.uid, namespace=outdated.metadata.namespace
            )

    async def _create(self, deployment: Deployment, new: ReplicaSet) -> None:
        try:
            await self._sets_api.create(new)
        except AlreadyExistsError:
            await self._resolve_collision(deployment, new)
            return
        self._tell_scaled(deployment, new, 0, new.spec.replicas or 0)

    async def _resolve_collision(self, deployment: Deployment, new: ReplicaSet) -> None:
        """Change the hash if the name is taken by a set that is not ours; else the cache is merely behind."""
        taken = await self._sets_api.get_opt(new.metadata.name or "", namespace=new.metadata.namespace)
        owner = controller_of(taken) if taken else None
        ours = owner is not None and owner.uid == deployment.metadata.uid
        if taken is None or (ours and find_new(deployment, [taken])):
            return
        status = msgspec.structs.replace(
            deployment.status, collision_count=(deployment.status.collision_count or 0) + 1
        )
        await self._deployments_api.replace_status(msgspec.structs.replace(deployment, status=status))

    async def _resize(self, deployment: Deployment, replica_set: ReplicaSet, size: int) -> None:
        limits = limits_of(deployment)
        noted = {**replica_set.metadata.annotations, **sizing(limits.replicas, limits.most)}
        before = replica_set.spec.replicas or 0
        if size == before and noted == replica_set.metadata.annotations:
            return
        changed = msgspec.structs.replace(
            replica_set,
            metadata=msgspec.structs.replace(replica_set.metadata, annotations=noted),
            spec=msgspec.structs.replace(replica_set.spec, replicas=size),
        )
        await self._sets_api.replace(changed)
        if size != before:
            self._tell_scaled(deployment, replica_set, before, size)

    async def _number(self, deployment: Deployment, sets: Sets) -> None:
        """Give the new set the highest revision, one rolled back to as well; the Deployment shows it."""
        if sets.new is None:
            return
        current, namespace = max(revision(sets.new), next_revision(sets.old)), deployment.metadata.namespace
        if change := changes(deployment, sets.new, current):
            await self._sets_api.patch(sets.new.metadata.name or "", Merge(change), namespace=namespace)
        if deployment.metadata.annotations.get(REVISION) != str(current):
            shown = Merge({"metadata": {"annotations": {REVISION: str(current)}}})
            await self._deployments_api.patch(deployment.metadata.name or "", shown, namespace=namespace)

    async def _write_status(self, deployment: Deployment, sets: Sets) -> Action:
        at = now()
        wanted = status_of(deployment, sets, limits_of(deployment), at)
        if not same(wanted, deployment.status):
            with suppress(ConflictError, NotFoundError):
                await self._deployments_api.replace_status(msgspec.structs.replace(deployment, status=wanted))
        return Action(look_in(deadline(deployment, wanted, at)))

    def _tell_scaled(self, deployment: Deployment, replica_set: ReplicaSet, before: int, size: int) -> None:
        direction = "up" if size > before else "down"
        self._recorder.event(
            deployment,
            reason="ScalingReplicaSet",
            message=f"Scaled {direction} replica set {replica_set.metadata.name} from {before} to {size}",
        )

    def _old_pods_run(self, sets: Sets) -> bool:
        pods = (pod for one in sets.old for pod in self._pods_by_controller[one.metadata.uid])
        return not all(map(has_ended, pods))

    def _recreating(self, pod: Pod) -> Iterable[ObjectRef]:
        """Map to the Deployment if it recreates: it waits for the end of old pods. Others need not know."""
        owner = controller_of(pod)
        replica_set = self._sets.store.get(owner.name, pod.metadata.namespace) if owner else None
        owner = controller_of(replica_set) if replica_set else None
        deployment = self._deployments.store.get(owner.name, pod.metadata.namespace) if owner else None
        if deployment is None or deployment.spec.strategy.type != "Recreate":
            return []
        return [ObjectRef.of(deployment)]
