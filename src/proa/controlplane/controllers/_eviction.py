"""Taint eviction: pods leave nodes whose NoExecute taints they don't tolerate, or no longer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from proa.controlplane.controllers._clock import look_in
from proa.controlplane.controllers._eviction_plan import NO_EXECUTE, leaves_at
from proa.controlplane.controllers._pods import bound_at, disrupted, is_going
from proa.kube import Api, Client, ConflictError, NotFoundError, Strategic
from proa.kube.models import now
from proa.kube.models.core_v1 import Node, Pod, Taint
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector

REASON = "DeletionByTaintManager"


class TaintEvictionController:
    """Deletes pods from nodes with NoExecute taints when their tolerations run out.

    So the pods of a node that fell silent are replaced elsewhere five minutes later, unless they say else.
    """

    def __init__(
        self, client: Client, nodes: Reflector[Node], pods: Reflector[Pod], recorder: Recorder
    ) -> None:
        self._api = Api(client, Pod)
        self._nodes = nodes.store
        self._pods = pods.store
        self._recorder = recorder
        self._by_node = pods.store.index(lambda pod: [pod.spec.node_name or ""])
        self._dated: dict[str, Sequence[Taint]] = {}
        self.controller = Controller(pods, self.reconcile, name="taint eviction").watches(
            nodes, self._affected
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Send one pod off if it is time, or say when it will be."""
        pod = self._pods.find(ref)
        node = self._nodes.get(pod.spec.node_name or "") if pod is not None else None
        if pod is None or node is None or is_going(pod):
            return Action.await_change()
        at = now()
        due = leaves_at(pod.spec.tolerations, self._sending(node), at, bound_at(pod))
        if due is None:
            return Action.await_change()
        if due > at:
            return Action(look_in((due - at).total_seconds()))
        await self._evict(pod)
        return Action.await_change()

    async def _evict(self, pod: Pod) -> None:
        name, namespace = pod.metadata.name or "", pod.metadata.namespace
        condition = disrupted(REASON, "Taint manager: deleting due to NoExecute taint", now())
        change = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        with suppress(NotFoundError, ConflictError):
            await self._api.patch_status(name, Strategic(change), namespace=namespace)
            await self._api.delete(name, uid=pod.metadata.uid, namespace=namespace)
        message = f"Marking for deletion Pod {namespace}/{name}"
        self._recorder.event(pod, reason="TaintManagerEviction", message=message)

    def _affected(self, node: Node) -> list[ObjectRef]:
        """Return the pods of a node that has, or had, something to send them off; heartbeats concern none."""
        sending = self._sending(node)
        return [ObjectRef.of(pod) for pod in self._by_node[node.metadata.name or ""]] if sending else []

    def _sending(self, node: Node) -> Sequence[Taint]:
        """Return the taints that send pods off, each with its time: at the latest when it was first seen.

        Those that people put there say none.
        """
        name = node.metadata.name or ""
        known = {(taint.key, taint.value): taint.time_added for taint in self._dated.pop(name, ())}
        dated = [
            msgspec.structs.replace(
                taint, time_added=taint.time_added or known.get((taint.key, taint.value)) or now()
            )
            for taint in node.spec.taints
            if taint.effect == NO_EXECUTE
        ]
        if dated and ObjectRef(name) in self._nodes:
            self._dated[name] = dated
        return dated
