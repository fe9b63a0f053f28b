"""The StatefulSet controller: pods with a name, a place and claims of their own, changed in order."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from proa.controlplane.controllers._adoption import candidates, claim, concerned
from proa.controlplane.controllers._clock import look_in
from proa.controlplane.controllers._expectations import PATIENCE
from proa.controlplane.controllers._history import History, Wanted
from proa.controlplane.controllers._podcontrol import PodControl, slow_start
from proa.controlplane.controllers._pods import COLLECT
from proa.controlplane.controllers._statefulset_plan import Plan, Revisions, plan, status
from proa.controlplane.controllers._statefulset_pods import (
    claim_names,
    new_claims,
    ordinal_of,
    revision_of,
    scaled_away,
)
from proa.controlplane.controllers._status import same
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, NotFoundError
from proa.kube.models import now
from proa.kube.models.apps_v1 import ControllerRevision, StatefulSet, StatefulSetStatus
from proa.kube.models.core_v1 import PersistentVolumeClaim, Pod
from proa.kube.models.meta_v1 import OwnerReference
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector


class StatefulSetController:
    """Creates and ends the pods of StatefulSets, makes their claims, and keeps their revisions.

    At most one pod of a name exists at any time: the API server's uniqueness of names guarantees it, also
    where a cache is behind or two controllers run.
    """

    def __init__(
        self,
        client: Client,
        sets: Reflector[StatefulSet],
        pods: Reflector[Pod],
        revisions: Reflector[ControllerRevision],
        recorder: Recorder,
    ) -> None:
        self._api = Api(client, StatefulSet)
        self._claims_api = Api(client, PersistentVolumeClaim)
        self._sets = sets
        self._recorder = recorder
        self._pods = PodControl(client, pods, recorder)
        self._history = History(client, revisions)
        self.follow = self._pods.follow
        self.controller = (
            Controller(sets, self.reconcile, name="statefulset")
            .watches(pods, concerned(sets, lambda one: one.spec.selector), collect=COLLECT)
            .owns(revisions)
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Take the next step of one set."""
        stateful_set = self._sets.store.find(ref)
        if stateful_set is None:
            self._pods.forget(ref)
            return Action.await_change()
        found = candidates(stateful_set, self._pods.by_controller)
        owned = await claim(self._api, stateful_set, stateful_set.spec.selector, self._pods.api, found)
        if stateful_set.metadata.deletion_timestamp is not None:
            return Action.await_change()
        revisions = await self._revisions(stateful_set)
        if revisions is None:
            return Action.await_change()
        todo = plan(stateful_set, self._pods.view(ref, owned), revisions, now())
        failure = await slow_start(
            [self._create(stateful_set, pod) for pod in todo.create]
            + [self._delete(stateful_set, pod, todo) for pod in todo.delete]
        )
        pods = self._pods.view(ref, owned)
        wanted, again = status(stateful_set, pods, revisions, now())
        await self._write_status(stateful_set, wanted)
        in_use = {revision_of(pod) or "" for pod in pods} | {wanted.current_revision, wanted.update_revision}
        limit = stateful_set.spec.revision_history_limit
        await self._history.prune(stateful_set, {name for name in in_use if name}, limit)
        if failure is not None:
            raise failure
        return Action(PATIENCE if again is None and self._pods.pending(ref) else look_in(again))

    async def _revisions(self, stateful_set: StatefulSet) -> Revisions | None:
        """Return the revisions; None if a name was taken, which changes the set and so leads here again."""
        collisions = stateful_set.status.collision_count or 0
        spec = stateful_set.spec
        try:
            update = await self._history.current(Wanted(stateful_set, spec.template, collisions))
        except AlreadyExistsError:
            changed = msgspec.structs.replace(stateful_set.status, collision_count=collisions + 1)
            await self._write_status(stateful_set, changed)
            return None
        name = stateful_set.status.current_revision
        known = (one for one in self._history.of(stateful_set) if one.metadata.name == name)
        return Revisions(next(known, update), update)

    async def _create(self, stateful_set: StatefulSet, pod: Pod) -> None:
        for wanted in new_claims(stateful_set, ordinal_of(stateful_set, pod) or 0):
            with suppress(AlreadyExistsError):
                await self._claims_api.create(wanted)
                message = f"create Claim {wanted.metadata.name} Pod {pod.metadata.name} success"
                self._recorder.event(stateful_set, reason="SuccessfulCreate", message=message)
        with suppress(AlreadyExistsError):
            await self._pods.create(stateful_set, pod)

    async def _delete(self, stateful_set: StatefulSet, pod: Pod, todo: Plan) -> None:
        if pod in todo.condemned and (owner := scaled_away(stateful_set, pod)) is not None:
            number = ordinal_of(stateful_set, pod) or 0
            for name in claim_names(stateful_set, number).values():
                await self._hand_over(name, owner, pod.metadata.namespace)
        await self._pods.delete(stateful_set, pod)

    async def _hand_over(self, name: str, owner: OwnerReference, namespace: str | None) -> None:
        """Let a claim go with its pod. A conflict is raised, so that all of this is tried again."""
        found = await self._claims_api.get_opt(name, namespace=namespace)
        if found is not None and all(one.uid != owner.uid for one in found.metadata.owner_references):
            found.metadata.owner_references += [owner]
            await self._claims_api.replace(found)

    async def _write_status(self, stateful_set: StatefulSet, wanted: StatefulSetStatus) -> None:
        if not same(wanted, stateful_set.status):
            with suppress(NotFoundError, ConflictError):
                await self._api.replace_status(msgspec.structs.replace(stateful_set, status=wanted))
