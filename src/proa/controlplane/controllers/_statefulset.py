"""The StatefulSet controller: pods with a name, a place and claims of their own, changed in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

import msgspec

from proa.controlplane.controllers._adoption import candidates, claim, concerned
from proa.controlplane.controllers._clock import look_in
from proa.controlplane.controllers._expectations import PATIENCE
from proa.controlplane.controllers._history import History, Wanted
from proa.controlplane.controllers._podcontrol import PodControl, slow_start
from proa.controlplane.controllers._pods import COLLECT, has_ended
from proa.controlplane.controllers._statefulset_plan import Revisions, plan, status
from proa.controlplane.controllers._statefulset_pods import (
    goes_with_former_pod,
    new_claims,
    ordinal_of,
    ordinals,
    owners_of_claim,
    revision_of,
)
from proa.controlplane.controllers._status import same
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, NotFoundError
from proa.kube.models import now
from proa.kube.models.apps_v1 import ControllerRevision, StatefulSet, StatefulSetStatus
from proa.kube.models.core_v1 import PersistentVolumeClaim, Pod
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
        claims: Reflector[PersistentVolumeClaim],
        recorder: Recorder,
    ) -> None:
        self._api = Api(client, StatefulSet)
        self._claims_api = Api(client, PersistentVolumeClaim)
        self._sets = sets
        self._claims = claims.store
        self._recorder = recorder
        self._pods = PodControl(client, pods, recorder)
        self._history = History(client, revisions)
        self.follow = self._pods.follow
        self.controller = (
            Controller(sets, self.reconcile, name="statefulset")
            .watches(pods, concerned(sets, lambda one: one.spec.selector), collect=COLLECT)
            .watches(claims, self._using)
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
        pods = self._pods.view(ref, owned)
        await self._see_to_claims(stateful_set, pods)
        todo = plan(stateful_set, pods, revisions, now())
        failure = await slow_start(
            [self._create(stateful_set, pod) for pod in todo.create]
            + [self._delete(stateful_set, pod) for pod in todo.delete]
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
        wanted = new_claims(stateful_set, ordinal_of(stateful_set, pod) or 0)
        known = [self._claims.get(one.metadata.name or "", one.metadata.namespace) for one in wanted]
        if any(one is not None and goes_with_former_pod(pod, one) for one in known):
            return  # its end leads here again
        await self._make_claims(stateful_set, pod)
        with suppress(AlreadyExistsError):
            await self._pods.create(stateful_set, pod)

    async def _make_claims(self, stateful_set: StatefulSet, pod: Pod) -> None:
        for wanted in new_claims(stateful_set, ordinal_of(stateful_set, pod) or 0):
            if self._claims.get(wanted.metadata.name or "", wanted.metadata.namespace) is not None:
                continue
            with suppress(AlreadyExistsError):
                await self._claims_api.create(wanted)
                message = f"create Claim {wanted.metadata.name} Pod {pod.metadata.name} success"
                self._recorder.event(stateful_set, reason="SuccessfulCreate", message=message)

    async def _delete(self, stateful_set: StatefulSet, pod: Pod) -> None:
        if has_ended(pod):
            failed = pod.status.phase == "Failed"
            self._recorder.event(
                stateful_set,
                type="Warning" if failed else "Normal",
                reason="RecreatingFailedPod" if failed else "RecreatingTerminatedPod",
                message=f"StatefulSet {stateful_set.metadata.namespace}/{stateful_set.metadata.name} "
                f"is recreating {pod.status.phase} Pod {pod.metadata.name}",
            )
        await self._pods.delete(stateful_set, pod)

    async def _see_to_claims(self, stateful_set: StatefulSet, pods: Sequence[Pod]) -> None:
        """Let claims go with whom the policy says, and make anew what a pod that has not begun lacks.

        Before a pod goes its claims must know whether they go with it: a conflict is raised, so that all of
        this is tried again.
        """
        if not stateful_set.spec.volume_claim_templates:
            return
        for pod in pods:
            number = ordinal_of(stateful_set, pod)
            if number in ordinals(stateful_set) and pod.status.phase in {None, "Pending"}:
                await self._make_claims(stateful_set, pod)
            for wanted in new_claims(stateful_set, number or 0):
                claim = self._claims.get(wanted.metadata.name or "", wanted.metadata.namespace)
                if claim is None or claim.metadata.deletion_timestamp is not None:
                    continue
                owners = owners_of_claim(stateful_set, pod, claim)
                if owners != claim.metadata.owner_references:
                    metadata = msgspec.structs.replace(claim.metadata, owner_references=owners)
                    await self._claims_api.replace(msgspec.structs.replace(claim, metadata=metadata))

    def _using(self, claim: PersistentVolumeClaim) -> Iterable[ObjectRef]:
        """Return the sets that a claim's name could be of."""
        namespace = claim.metadata.namespace
        return [
            ObjectRef.of(one)
            for one in self._sets.store
            if one.metadata.namespace == namespace
            and any(
                (claim.metadata.name or "").startswith(f"{template.metadata.name}-{one.metadata.name}-")
                for template in one.spec.volume_claim_templates
            )
        ]

    async def _write_status(self, stateful_set: StatefulSet, wanted: StatefulSetStatus) -> None:
        if not same(wanted, stateful_set.status):
            with suppress(NotFoundError, ConflictError):
                await self._api.replace_status(msgspec.structs.replace(stateful_set, status=wanted))
