"""The scheduler at work: watches, decides, binds, and says why where it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from proa.app import logs
from proa.controlplane.scheduler._cluster import Cluster
from proa.controlplane.scheduler._preemption import Preemption, preempt
from proa.controlplane.scheduler._queue import BACKOFF, Change, SchedulingQueue
from proa.controlplane.scheduler._schedule import DEFAULT, Placement, Profile, Unschedulable, schedule
from proa.controlplane.scheduler._volumes import SELECTED_NODE, Missing, Wanted, key, name_of, wanted
from proa.controlplane.scheduler._writes import Writer
from proa.kube import Api, Client, KubeError
from proa.kube.models import Resource
from proa.kube.models.apps_v1 import ReplicaSet, StatefulSet
from proa.kube.models.core_v1 import (
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    Service,
)
from proa.kube.models.policy_v1 import PodDisruptionBudget
from proa.kube.models.storage_v1 import StorageClass
from proa.runtime import Apply, Delete, InitApply, InitDone, ObjectRef, Recorder, Reflector, background

log = logs.get_logger(__name__)

K = TypeVar("K", bound=Resource)

CONCURRENT_WRITES = 32
AT_ONCE = 8
"""How many pods are decided about before others have their turn; so many are then also committed together."""

VOLUMES_PATIENCE = 600.0
"""Seconds that a pod waits for the volumes of the node that was chosen for it."""


class Scheduler:
    """Assigns pods to nodes, through the Kubernetes API alone.

    ::

        async with Scheduler(client):
            ...

    Decisions are taken one at a time and carried out concurrently. A pod that fits nowhere gets the condition
    `PodScheduled=False` and an Event with the reasons, and pods of lower priority are ended where that makes
    room for it; it is looked at again when something changes that could help it, without polling. Losing a
    race (the pod is gone or bound by someone else) is no error.

    Args:
        client: The API server to work with.
        profiles: How the pods of each `schedulerName` are scheduled; pods with other names are left alone.
    """

    def __init__(self, client: Client, profiles: Sequence[Profile] = (DEFAULT,)) -> None:
        self._client = client
        self._profiles = {profile.name: profile for profile in profiles}
        self._pods = Reflector(Api(client, Pod))
        self._budgets = Reflector(Api(client, PodDisruptionBudget))
        self._cluster = Cluster()
        self._queue = SchedulingQueue()
        self._recorder = Recorder(client, next(iter(self._profiles)))
        self._write = Writer(client, self._recorder)
        self._hands = asyncio.Semaphore(CONCURRENT_WRITES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._unseen = 0
        self._something = asyncio.Event()
        self._volumes_changed = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        client = self._client
        async with AsyncExitStack() as stack:
            for part in (self._recorder, self._budgets):
                await stack.enter_async_context(part)
            await self._follow(stack, self._pods, self._on_pod, self._on_pod_gone)
            await self._follow(stack, Reflector(Api(client, Node)), self._on_node, self._cluster.remove_node)
            await self._follow(
                stack, Reflector(Api(client, Namespace)), self._on_namespace, self._on_namespace_gone
            )
            await self._follow(
                stack, Reflector(Api(client, PersistentVolumeClaim)), self._on_claim, self._on_claim_gone
            )
            await self._follow(
                stack, Reflector(Api(client, PersistentVolume)), self._on_volume, self._on_volume_gone
            )
            await self._follow(
                stack, Reflector(Api(client, StorageClass)), self._on_class, self._on_class_gone
            )
            groups = self._cluster.groups
            await self._follow(
                stack, Reflector(Api(client, Service)), groups.set_service, groups.remove_service
            )
            for kind in (ReplicaSet, StatefulSet):
                reflector: Reflector[ReplicaSet | StatefulSet] = Reflector(Api(client, kind))
                await self._follow(stack, reflector, groups.set_controller, groups.remove_controller)
            stack.push_async_callback(self._end_tasks)
            await stack.enter_async_context(background(self._run(), "scheduler"))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What the watches tell

    async def _follow(
        self,
        stack: AsyncExitStack,
        reflector: Reflector[K],
        there: Callable[[K], None],
        gone: Callable[[K], None],
    ) -> None:
        await stack.enter_async_context(reflector)
        self._unseen += 1

        async def follow() -> None:
            first = True
            async for event in reflector.subscribe():
                match event:
                    case InitApply(obj) | Apply(obj):
                        there(obj)
                    case Delete(obj):
                        gone(obj)
                    case InitDone():
                        self._unseen -= first
                        first = False
                        self._something.set()

        await stack.enter_async_context(background(follow(), f"scheduler: {reflector.type.resource.plural}"))

    def _wake(self, change: Change) -> None:
        if self._queue.wake(change):
            self._something.set()

    def _on_pod(self, pod: Pod) -> None:
        ref = ObjectRef.of(pod)
        if self._cluster.set_pod(pod):
            self._wake(Change.POD_GONE)
        if not self._waits(pod):
            self._queue.remove(ref)
            if pod.spec.node_name:
                self._wake(Change.POD_PLACED)
            return
        if pod.status.nominated_node_name and self._cluster.nomination(pod) is None:
            self._cluster.nominate(pod, pod.status.nominated_node_name)
        if pod.spec.scheduling_gates:
            self._queue.remove(ref)
            self._spawn(self._write.gated(pod), ref)
        elif self._queue.add(ref, pod.spec.priority or 0, (pod.metadata.uid, pod.spec, pod.metadata.labels)):
            self._something.set()

    def _on_pod_gone(self, pod: Pod) -> None:
        self._queue.remove(ObjectRef.of(pod))
        self._cluster.nominate(pod, None)
        if self._cluster.remove_pod(pod):
            self._wake(Change.POD_GONE)

    def _on_node(self, node: Node) -> None:
        if self._cluster.set_node(node):
            self._wake(Change.NODE)

    def _on_namespace(self, namespace: Namespace) -> None:
        if self._cluster.set_namespace(namespace.metadata.name or "", namespace.metadata.labels):
            self._wake(Change.NAMESPACE)

    def _on_namespace_gone(self, namespace: Namespace) -> None:
        self._cluster.set_namespace(namespace.metadata.name or "", None)

    def _on_claim(self, claim: PersistentVolumeClaim) -> None:
        self._cluster.volumes.claims[key(claim)] = claim
        self._on_storage()

    def _on_claim_gone(self, claim: PersistentVolumeClaim) -> None:
        self._cluster.volumes.claims.pop(key(claim), None)
        self._on_storage()

    def _on_volume(self, volume: PersistentVolume) -> None:
        self._cluster.volumes.set_volume(volume)
        self._on_storage()

    def _on_volume_gone(self, volume: PersistentVolume) -> None:
        self._cluster.volumes.volumes.pop(name_of(volume), None)
        self._on_storage()

    def _on_class(self, storage_class: StorageClass) -> None:
        self._cluster.volumes.classes[storage_class.metadata.name or ""] = storage_class
        self._on_storage()

    def _on_class_gone(self, storage_class: StorageClass) -> None:
        self._cluster.volumes.classes.pop(storage_class.metadata.name or "", None)

    def _on_storage(self) -> None:
        self._volumes_changed.set()
        self._volumes_changed = asyncio.Event()
        self._wake(Change.VOLUME)

    # Decisions

    async def _run(self) -> None:
        while self._unseen:  # deciding before every placed pod is counted would give their room away again
            self._something.clear()
            await self._something.wait()
        begun = 0
        while True:
            ref = self._queue.take(_now())
            if ref is None:
                await self._next()
                continue
            await self._hands.acquire()
            self._spawn(self._attend(ref), ref, self._hands.release)
            begun += 1
            if begun % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _next(self) -> None:
        """Wait for something to happen, or for the time of the next pod in the queue."""
        self._something.clear()
        due = self._queue.next_due()
        alarm = None if due is None else asyncio.get_running_loop().call_at(due, self._something.set)
        try:
            await self._something.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    def _spawn(
        self, work: Coroutine[Any, Any, None], ref: ObjectRef, after: Callable[[], None] | None = None
    ) -> None:
        """Do some work about a pod beside everything else; if it fails, the pod is tried again later."""

        async def do() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - whatever it is, no other pod may suffer from it
                log.warning("could not schedule", pod=str(ref), error=str(error) or type(error).__name__)
                self._queue.failed(ref, _now())
                self._something.set()
            finally:
                if after is not None:
                    after()

        task = asyncio.create_task(do(), name=f"schedule {ref}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, ref: ObjectRef) -> None:
        pod = self._pods.store.find(ref)
        if pod is None or not self._waits(pod) or pod.spec.scheduling_gates or self._cluster.holds(pod):
            return
        profile = self._profiles[pod.spec.scheduler_name or DEFAULT.name]
        match schedule(pod, self._cluster, profile):
            case Placement(node_name):
                await self._place(pod, node_name)
            case Unschedulable() as verdict:
                self._queue.stuck(ref, verdict.plugins, _now())
                await self._try_preemption(pod, verdict, profile)

    async def _place(self, pod: Pod, node_name: str) -> None:
        claims = self._claims(pod, node_name)
        self._cluster.assume(pod, node_name)
        bound = False
        try:
            if claims:
                await self._write.take_volumes(claims, node_name)
                await self._await_volumes(pod, claims, node_name)
            bound = await self._bind(pod, node_name)
        finally:
            if not bound:
                self._take_back(pod, claims)
        if bound:
            self._wake(Change.POD_PLACED)

    async def _bind(self, pod: Pod, node_name: str) -> bool:
        """Bind a pod; where the answer is lost, ask: giving room away again that is taken would be worse."""
        try:
            return await self._write.bind(pod, node_name)
        except KubeError:
            timer = BACKOFF.start()
            while True:
                with suppress(KubeError):
                    if await self._write.is_bound(pod):
                        return True
                    break
                await asyncio.sleep(timer.next())
            raise

    def _claims(self, pod: Pod, node_name: str) -> list[Wanted]:
        """Return the claims that get volumes on the node, which from now on are kept for them."""
        if not pod.spec.volumes:
            return []
        found = wanted(pod, self._cluster.volumes, self._cluster.nodes[node_name].node)
        for one in found:
            if one.volume is not None:
                self._cluster.volumes.promise(one.volume, one.claim)
        return found

    async def _await_volumes(self, pod: Pod, claims: Sequence[Wanted], node_name: str) -> None:
        """Wait until all claims have volumes.

        Raises:
            Missing: One cannot get it on this node, or the pod is gone.
            TimeoutError: One got none for long.
        """
        self._hands.release()
        try:
            async with asyncio.timeout(VOLUMES_PATIENCE):
                while not self._have_volumes(pod, claims, node_name):
                    await self._volumes_changed.wait()
        finally:
            await self._hands.acquire()

    def _have_volumes(self, pod: Pod, claims: Sequence[Wanted], node_name: str) -> bool:
        if self._pods.store.find(ObjectRef.of(pod)) is None:
            raise Missing("the pod is gone")
        current = [self._cluster.volumes.claims.get(key(one.claim)) for one in claims]
        for one, claim in zip(claims, current, strict=True):
            if claim is None:
                raise Missing(f'persistentvolumeclaim "{one.claim.metadata.name}" not found')
            selected = claim.metadata.annotations.get(SELECTED_NODE, node_name)
            seen = claim.metadata.resource_version != one.claim.metadata.resource_version
            if one.volume is None and seen and not claim.spec.volume_name and selected != node_name:
                raise Missing(f"volume of {claim.metadata.name} cannot be made on {node_name}")
        return all(claim is not None and bool(claim.spec.volume_name) for claim in current)

    def _take_back(self, pod: Pod, claims: Sequence[Wanted]) -> None:
        """Undo an assumption, unless the watch has shown meanwhile that the pod is on a node after all."""
        self._cluster.remove_pod(pod)
        self._cluster.volumes.break_promises(one.claim for one in claims)
        current = self._pods.store.find(ObjectRef.of(pod))
        if current is not None:
            self._cluster.set_pod(current)

    async def _try_preemption(self, pod: Pod, verdict: Unschedulable, profile: Profile) -> None:
        found = preempt(pod, self._cluster, verdict, self._budgets.store, profile)
        if not isinstance(found, Preemption):
            message = f"{verdict.message} {found.message}" if verdict.nodes else verdict.message
            await self._write.explain(pod, message)
            return
        behind = [
            other
            for other in self._cluster.nominated.get(found.node_name, {}).values()
            if (other.spec.priority or 0) < (pod.spec.priority or 0)
        ]
        self._cluster.nominate(pod, found.node_name)
        for other in behind:
            self._cluster.nominate(other, None)
            await self._write.unnominate(other)
        await self._write.explain(pod, verdict.message, nominated=found.node_name)
        await self._write.make_room(pod, found)

    def _waits(self, pod: Pod) -> bool:
        return (
            not pod.spec.node_name
            and (pod.spec.scheduler_name or DEFAULT.name) in self._profiles
            and pod.metadata.deletion_timestamp is None
            and pod.status.phase not in {"Succeeded", "Failed"}
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
