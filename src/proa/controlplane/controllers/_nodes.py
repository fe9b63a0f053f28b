"""Nodes: marked when their kubelet falls silent or is not ready; pods of nodes that are gone are removed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from proa.controlplane.controllers._pods import disrupted, has_ended, is_going, is_ready
from proa.kube import Api, Client, ConflictError, NotFoundError, Strategic
from proa.kube.models import now
from proa.kube.models.coordination_v1 import Lease
from proa.kube.models.core_v1 import Node, NodeCondition, Pod, Taint
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector

SILENCE_SECONDS = 40.0
"""How long a kubelet may leave its lease unrenewed: the node-monitor-grace-period of Kubernetes."""

QUARANTINE_SECONDS = 40.0
"""How long a node must be missing before its pods are taken for lost."""

LEASES = "kube-node-lease"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""Somebody says that the node is off for good: its pods that have been deleted do not run."""
PRESSURES = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
"""Conditions that keep new pods away, and the taints that do so."""

WATCHED = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}


def _is_ready(node: Node) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions)


def silenced(node: Node, at: datetime) -> Sequence[NodeCondition]:
    """Return the node's conditions as they are once nobody knows."""
    return [
        msgspec.structs.replace(
            condition,
            status="Unknown",
            reason="NodeStatusUnknown",
            message="Kubelet stopped posting node status.",
            last_transition_time=at,
        )
        if condition.type in WATCHED and condition.status != "Unknown"
        else condition
        for condition in node.status.conditions
    ]


def tainted(node: Node, at: datetime, *, sends_off: bool = True) -> list[Taint]:
    """Return the taints that the node should have by its conditions and cordon; those of others stay.

    Args:
        node: The node.
        at: The time.
        sends_off: Whether pods have to leave it if it is not ready, or only new ones are kept away.
    """
    statuses = {condition.type: condition.status for condition in node.status.conditions}
    silence = {"True": None, "False": NOT_READY}.get(statuses.get("Ready", "Unknown"), UNREACHABLE)
    wanted = [(key, "NoSchedule") for kind, key in PRESSURES.items() if statuses.get(kind) == "True"]
    if silence is not None:
        wanted += [(silence, "NoSchedule"), *([(silence, "NoExecute")] if sends_off else ())]
    if node.spec.unschedulable:
        wanted.append((UNSCHEDULABLE, "NoSchedule"))
    ours = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURES.values()}
    kept = [
        taint for taint in node.spec.taints if taint.key not in ours or (taint.key, taint.effect) in wanted
    ]
    present = {(taint.key, taint.effect) for taint in kept}
    return kept + [
        Taint(key=key, effect=effect, time_added=at) for key, effect in wanted if (key, effect) not in present
    ]


class NodeController:
    """Declares a node unknown when its lease is not renewed, and taints nodes by their condition.

    The pods of an unknown node are declared not ready, so that Services look elsewhere before they are
    replaced; a kubelet that comes back declares them ready again. Where no node at all is ready it is more
    likely the network or this machine that is to blame: then no pod is sent off.

    The time of a renewal is when it was seen here, by this process's clock: nodes' clocks may differ.
    """

    def __init__(
        self,
        client: Client,
        nodes: Reflector[Node],
        pods: Reflector[Pod],
        leases: Reflector[Lease],
        recorder: Recorder,
    ) -> None:
        self._api = Api(client, Node)
        self._pods_api = Api(client, Pod)
        self._pods_on = pods.store.index(lambda pod: [pod.spec.node_name or ""])
        self._nodes = nodes
        self._leases = leases
        self._recorder = recorder
        self._renewals: dict[str, tuple[str, float]] = {}
        self._all_down = False
        self.controller = Controller(nodes, self.reconcile, name="node").watches(
            leases, lambda lease: [ObjectRef(lease.metadata.name or "")]
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Judge one node."""
        node = self._nodes.store.find(ref)
        if node is None:
            self._renewals.pop(ref.name, None)
            return Action.await_change()
        left = self._seconds_left(node)
        with suppress(NotFoundError, ConflictError):
            if left <= 0:
                node = await self._silence(node)
                await self._mark_pods(node)
            taints = tainted(node, now(), sends_off=not self._is_all_down(node))
            if taints != node.spec.taints:
                spec = msgspec.structs.replace(node.spec, taints=taints)
                await self._api.replace(msgspec.structs.replace(node, spec=spec))
        return Action.requeue(left) if left > 0 else Action.await_change()

    def _is_all_down(self, latest: Node) -> bool:
        """Tell whether no node is ready; where that changes all are looked at again."""
        own = ObjectRef.of(latest)
        down = not _is_ready(latest) and not any(
            _is_ready(node) for node in self._nodes.store if ObjectRef.of(node) != own
        )
        if down != self._all_down:
            self._all_down = down
            for ref in {ObjectRef.of(node) for node in self._nodes.store} - {own}:
                self.controller.request(ref)
        return down

    def _seconds_left(self, node: Node) -> float:
        """Return how long the node may stay silent; a heartbeat is a renewed lease or a changed status."""
        name = node.metadata.name or ""
        lease = self._leases.store.get(name, LEASES)
        ready = next((one for one in node.status.conditions if one.type == "Ready"), None)
        sign = f"{lease and lease.metadata.resource_version} {ready and ready.last_heartbeat_time}"
        seen, at = self._renewals.get(name, ("", 0.0))
        if seen != sign:
            at = _clock()
            self._renewals[name] = (sign, at)
        return at + SILENCE_SECONDS - _clock()

    async def _silence(self, node: Node) -> Node:
        conditions = silenced(node, now())
        if list(conditions) == node.status.conditions:
            return node
        self._recorder.event(
            node, reason="NodeNotReady", message=f"Node {node.metadata.name} status is now: NodeNotReady"
        )
        status = msgspec.structs.replace(node.status, conditions=list(conditions))
        return await self._api.replace_status(msgspec.structs.replace(node, status=status))

    async def _mark_pods(self, node: Node) -> None:
        """Nobody knows whether the pods of a silent node still serve: none is ready."""
        for pod in self._pods_on[node.metadata.name or ""]:
            if not is_ready(pod):
                continue
            condition = {"type": "Ready", "status": "False", "lastTransitionTime": now()}
            change = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
            with suppress(NotFoundError, ConflictError):
                await self._pods_api.patch_status(
                    pod.metadata.name or "", Strategic(change), namespace=pod.metadata.namespace
                )
                self._recorder.event(pod, type="Warning", reason="NodeNotReady", message="Node is not ready")


class PodCollector:
    """Ends pods that no kubelet will ever end.

    Those are the pods of nodes that do not exist any more, pods that have been deleted and have no node, and
    deleted ones on a node that is not ready and that somebody tainted as out of service. They are declared
    failed first: whoever holds them by a finalizer until they have ended, as a Job does, lets go of them.
    """

    def __init__(self, client: Client, nodes: Reflector[Node], pods: Reflector[Pod]) -> None:
        self._nodes_api = Api(client, Node)
        self._pods_api = Api(client, Pod)
        self._nodes = nodes
        self._by_node = pods.store.index(lambda pod: [pod.spec.node_name or ""])
        self._missing: dict[str, float] = {}
        self.controller = Controller(nodes, self.reconcile, name="podgc").watches(
            pods,
            lambda pod: [ObjectRef(pod.spec.node_name or "")] if pod.spec.node_name or is_going(pod) else [],
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """End the pods of one node that never will by themselves; "" is the node of those without one."""
        node = self._nodes.store.find(ref)
        if node is not None or not self._by_node[ref.name]:
            self._missing.pop(ref.name, None)
        if node is not None and not (_is_out_of_service(node) and not _is_ready(node)):
            return Action.await_change()
        if node is not None or not ref.name:
            for pod in filter(is_going, self._by_node[ref.name]):
                await self._end(pod, None)
            return Action.await_change()
        return await self._orphaned(ref)

    async def _orphaned(self, ref: ObjectRef) -> Action:
        """End the pods of a node if it stays missing."""
        if not self._by_node[ref.name]:
            return Action.await_change()
        since = self._missing.setdefault(ref.name, _clock())
        left = since + QUARANTINE_SECONDS - _clock()
        if left > 0:
            return Action.requeue(left)
        if await self._nodes_api.get_opt(ref.name) is not None:
            return Action.await_change()
        for pod in self._by_node[ref.name]:
            await self._end(pod, "PodGC: node no longer exists")
        return Action.await_change()

    async def _end(self, pod: Pod, why: str | None) -> None:
        name, uid, namespace = pod.metadata.name or "", pod.metadata.uid, pod.metadata.namespace
        with suppress(NotFoundError, ConflictError):
            if not has_ended(pod):
                conditions = [disrupted("DeletionByPodGC", why, now())] if why else []
                status = {"phase": "Failed", **({"conditions": conditions} if conditions else {})}
                failed = Strategic({"metadata": {"uid": uid}, "status": status})
                await self._pods_api.patch_status(name, failed, namespace=namespace)
            if pod.metadata.deletion_grace_period_seconds != 0:
                await self._pods_api.delete(name, grace_period=0, uid=uid, namespace=namespace)


def _is_out_of_service(node: Node) -> bool:
    return any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)


def _clock() -> float:
    return asyncio.get_running_loop().time()
