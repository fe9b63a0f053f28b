"""The scheduler at work: watches pods and nodes, decides, binds, and says why where it cannot."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

from proa.app import logs
from proa.controlplane.scheduler._cluster import Cluster
from proa.controlplane.scheduler._schedule import Placement, Unschedulable, schedule
from proa.kube import Api, Client, ConflictError, NotFoundError, Strategic
from proa.kube.models import now
from proa.kube.models.core_v1 import Binding, Node, ObjectReference, Pod
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import (
    Action,
    Apply,
    Controller,
    Delete,
    InitApply,
    InitDone,
    ObjectRef,
    Recorder,
    Reflector,
    background,
)

log = logs.get_logger(__name__)

NAME = "default-scheduler"
CONCURRENT_BINDS = 32


class Scheduler:
    """Assigns pods to nodes, through the Kubernetes API alone.

    ::

        async with Scheduler(client):
            ...

    Decisions are taken one at a time and bound concurrently. A pod that fits nowhere gets the condition
    `PodScheduled=False` and an Event with the reasons; it is looked at again when a node changes or room
    becomes free, without polling. Losing a race (the pod is gone or bound by someone else) is no error.

    Args:
        client: The API server to work with.
        name: The `schedulerName` of the pods to schedule.
    """

    def __init__(self, client: Client, name: str = NAME) -> None:
        self._name = name
        self._api = Api(client, Pod)
        self._pods = Reflector(self._api)
        self._nodes = Reflector(Api(client, Node))
        self._cluster = Cluster()
        self._unschedulable: set[ObjectRef] = set()
        self._recorder = Recorder(client, name)
        self._controller = Controller(
            self._pods, self._reconcile, name="scheduler", concurrency=CONCURRENT_BINDS
        )
        self._nodes_seen = asyncio.Event()
        self._pods_seen = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for part in (self._pods, self._nodes, self._recorder):
                await stack.enter_async_context(part)
            await stack.enter_async_context(background(self._follow_nodes(), "scheduler: nodes"))
            await stack.enter_async_context(background(self._follow_pods(), "scheduler: pods"))
            await stack.enter_async_context(self._controller)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _follow_nodes(self) -> None:
        async for event in self._nodes.subscribe():
            match event:
                case InitApply(node) | Apply(node):
                    if self._cluster.set_node(node):
                        self._wake()
                case Delete(node):
                    self._cluster.remove_node(node)
                case InitDone():
                    self._nodes_seen.set()

    async def _follow_pods(self) -> None:
        async for event in self._pods.subscribe():
            match event:
                case InitApply(pod) | Apply(pod):
                    if self._cluster.set_pod(pod):
                        self._wake()
                case Delete(pod):
                    self._unschedulable.discard(ObjectRef.of(pod))
                    if self._cluster.remove_pod(pod):
                        self._wake()
                case InitDone():
                    self._pods_seen.set()

    def _wake(self) -> None:
        """Look again at the pods that fitted nowhere."""
        for ref in self._unschedulable:
            self._controller.request(ref)
        self._unschedulable.clear()

    async def _reconcile(self, ref: ObjectRef) -> Action:
        # Deciding before every placed pod is counted would give their room away a second time.
        await self._nodes_seen.wait()
        await self._pods_seen.wait()
        pod = self._pods.store.find(ref)
        if pod is None or not self._waits(pod):
            return Action.await_change()
        match schedule(pod, self._cluster):
            case Placement(node_name):
                self._cluster.assume(pod, node_name)
                await self._bind(pod, node_name)
            case Unschedulable() as verdict:
                self._unschedulable.add(ref)
                await self._explain(pod, verdict)
        return Action.await_change()

    def _waits(self, pod: Pod) -> bool:
        return (
            not pod.spec.node_name
            and (pod.spec.scheduler_name or NAME) == self._name
            and not pod.spec.scheduling_gates
            and pod.metadata.deletion_timestamp is None
            and pod.status.phase not in {"Succeeded", "Failed"}
            and not self._cluster.holds(pod)
        )

    async def _bind(self, pod: Pod, node_name: str) -> None:
        name, namespace = pod.metadata.name or "", pod.metadata.namespace
        binding = Binding(
            metadata=ObjectMeta(name=name, namespace=namespace, uid=pod.metadata.uid),
            target=ObjectReference(api_version="v1", kind="Node", name=node_name),
        )
        try:
            await self._api.create_subresource(name, "binding", binding, namespace=namespace)
        except (NotFoundError, ConflictError) as error:
            # Deleted, replaced or bound meanwhile; the watch tells which.
            self._take_back(pod)
            log.debug("not bound", pod=f"{namespace}/{name}", reason=str(error))
        except BaseException:
            self._take_back(pod)
            raise
        else:
            message = f"Successfully assigned {namespace}/{name} to {node_name}"
            self._recorder.event(pod, reason="Scheduled", message=message, action="Binding")

    def _take_back(self, pod: Pod) -> None:
        """Undo an assumption, unless the watch has shown meanwhile that the pod is on a node after all."""
        self._cluster.remove_pod(pod)
        current = self._pods.store.find(ObjectRef.of(pod))
        if current is not None:
            self._cluster.set_pod(current)

    async def _explain(self, pod: Pod, verdict: Unschedulable) -> None:
        condition = next((known for known in pod.status.conditions if known.type == "PodScheduled"), None)
        if condition is not None and condition.message == verdict.message:
            return
        self._recorder.event(
            pod, type="Warning", reason="FailedScheduling", message=verdict.message, action="Scheduling"
        )
        changed = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": verdict.message,
            "lastTransitionTime": (condition and condition.last_transition_time) or now(),
        }
        with suppress(NotFoundError):
            await self._api.patch_status(
                pod.metadata.name or "",
                Strategic({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [changed]}}),
                namespace=pod.metadata.namespace,
            )
