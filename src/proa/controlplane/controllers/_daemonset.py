"""The DaemonSet controller: one pod on every node that fits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from proa.app import Backoff
from proa.controlplane.controllers._adoption import candidates, claim, concerned
from proa.controlplane.controllers._clock import look_in
from proa.controlplane.controllers._daemonset_plan import Place, Plan, places, plan, status
from proa.controlplane.controllers._expectations import PATIENCE
from proa.controlplane.controllers._history import HASH, History, Wanted, hash_of
from proa.controlplane.controllers._podcontrol import PodControl, slow_start
from proa.controlplane.controllers._pods import COLLECT
from proa.controlplane.controllers._status import same
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, KubeError, NotFoundError
from proa.kube.models import now
from proa.kube.models.apps_v1 import ControllerRevision, DaemonSet, DaemonSetStatus
from proa.kube.models.core_v1 import Node, Pod
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector

FAILURES = Backoff(initial=1.0, maximum=900.0, factor=2.0, jitter=0.0)
"""The delays before a pod that failed on a node is replaced there."""


class DaemonSetController:
    """Creates and ends the pods of DaemonSets as nodes come, change and go, and keeps their revisions."""

    def __init__(
        self,
        client: Client,
        sets: Reflector[DaemonSet],
        pods: Reflector[Pod],
        nodes: Reflector[Node],
        revisions: Reflector[ControllerRevision],
        recorder: Recorder,
    ) -> None:
        self._api = Api(client, DaemonSet)
        self._sets = sets
        self._nodes = nodes
        self._recorder = recorder
        self._pods = PodControl(client, pods, recorder)
        self._history = History(client, revisions)
        self._failures: dict[ObjectRef, tuple[int, float]] = {}
        self.follow = self._pods.follow
        self.controller = (
            Controller(sets, self.reconcile, name="daemonset")
            .watches(pods, concerned(sets, lambda one: one.spec.selector), collect=COLLECT)
            .watches(nodes, self._all)
            .owns(revisions)
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Take the next step of one set."""
        daemon_set = self._sets.store.find(ref)
        if daemon_set is None:
            self._pods.forget(ref)
            self._failures.pop(ref, None)
            return Action.await_change()
        found = candidates(daemon_set, self._pods.by_controller)
        owned = await claim(self._api, daemon_set, daemon_set.spec.selector, self._pods.api, found)
        if daemon_set.metadata.deletion_timestamp is not None:
            return Action.await_change()
        revision = await self._revision(daemon_set)
        if revision is None:
            return Action.await_change()
        where = places(daemon_set, self._pods.view(ref, owned), self._nodes.store, revision)
        todo = plan(daemon_set, where, revision, now())
        wait = self._wait(ref, todo, where)
        failure = await self._carry_out(daemon_set, todo, patient=wait > 0)
        pods = self._pods.view(ref, owned)
        where = places(daemon_set, pods, self._nodes.store, revision)
        wanted, again = status(daemon_set, where, now())
        await self._write_status(daemon_set, wanted)
        hashes = {pod.metadata.labels.get(HASH) for pod in pods} | {hash_of(revision)}
        in_use = [one.metadata.name or "" for one in self._history.of(daemon_set) if hash_of(one) in hashes]
        await self._history.prune(daemon_set, in_use, daemon_set.spec.revision_history_limit)
        if failure is not None:
            raise failure
        waits = [seconds for seconds in (look_in(again), wait or None) if seconds is not None]
        return Action(min(waits, default=PATIENCE if self._pods.pending(ref) else None))

    async def _carry_out(self, daemon_set: DaemonSet, todo: Plan, *, patient: bool) -> KubeError | None:
        """Do it; pods that have failed are left for now if the set is to be `patient`."""
        left = todo.failed if patient else ()
        return await slow_start(
            [self._end(daemon_set, pod, todo) for pod in todo.delete if pod not in left]
            + [self._pods.create(daemon_set, pod) for pod in todo.create]
        )

    async def _end(self, daemon_set: DaemonSet, pod: Pod, todo: Plan) -> None:
        if pod in todo.failed:
            name, node = f"{pod.metadata.namespace}/{pod.metadata.name}", pod.spec.node_name
            message = f"Found failed daemon pod {name} on node {node}, will try to kill it"
            self._recorder.event(daemon_set, type="Warning", reason="FailedDaemonPod", message=message)
        await self._pods.delete(daemon_set, pod)

    def _wait(self, ref: ObjectRef, todo: Plan, where: Iterable[Place]) -> float:
        """Return the seconds that failed pods are to stay: longer each time until all run for a while."""
        clock = asyncio.get_running_loop().time()
        attempts, until = self._failures.get(ref, (0, clock))
        if not todo.failed:
            if attempts and all(place.active for place in where if place.runs) and clock > until + PATIENCE:
                del self._failures[ref]
            return 0.0
        if clock < until:
            return until - clock
        self._failures[ref] = (attempts + 1, clock + FAILURES.delay(attempts))
        return 0.0

    async def _revision(self, daemon_set: DaemonSet) -> ControllerRevision | None:
        """Return the newest revision; None if its name was taken, which changes the set and so leads here."""
        collisions, spec = daemon_set.status.collision_count or 0, daemon_set.spec
        try:
            return await self._history.current(Wanted(daemon_set, spec.template, collisions))
        except AlreadyExistsError:
            changed = msgspec.structs.replace(daemon_set.status, collision_count=collisions + 1)
            await self._write_status(daemon_set, changed)
            return None

    async def _write_status(self, daemon_set: DaemonSet, wanted: DaemonSetStatus) -> None:
        if not same(wanted, daemon_set.status):
            with suppress(NotFoundError, ConflictError):
                await self._api.replace_status(msgspec.structs.replace(daemon_set, status=wanted))

    def _all(self, _: Node) -> list[ObjectRef]:
        return [ObjectRef.of(one) for one in self._sets.store]
