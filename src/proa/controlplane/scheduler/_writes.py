"""What the scheduler writes: bindings, reasons, nominations, and the ends of pods that make room."""

from __future__ import annotations

from contextlib import suppress

from proa.app import logs
from proa.controlplane.scheduler._preemption import Preemption
from proa.controlplane.scheduler._volumes import SELECTED_NODE, Wanted
from proa.kube import Api, Client, ConflictError, Merge, NotFoundError, Strategic
from proa.kube.models import now
from proa.kube.models.core_v1 import (
    Binding,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    PodCondition,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Recorder

log = logs.get_logger(__name__)

GATED = "Scheduling is blocked due to non-empty scheduling gates"


class Writer:
    """Carries decisions out. Losing a race (a pod is gone, or bound by someone else) is no error."""

    def __init__(self, client: Client, recorder: Recorder) -> None:
        self._pods = Api(client, Pod)
        self._claims = Api(client, PersistentVolumeClaim)
        self._volumes = Api(client, PersistentVolume)
        self._recorder = recorder

    async def bind(self, pod: Pod, node_name: str) -> bool:
        """Bind a pod to a node; return whether that worked.

        Raises:
            KubeError: It is not known whether it did.
        """
        name, namespace = pod.metadata.name or "", pod.metadata.namespace
        binding = Binding(
            metadata=ObjectMeta(name=name, namespace=namespace, uid=pod.metadata.uid),
            target=ObjectReference(api_version="v1", kind="Node", name=node_name),
        )
        try:
            await self._pods.create_subresource(name, "binding", binding, namespace=namespace)
        except (NotFoundError, ConflictError) as error:
            # Deleted, replaced or bound meanwhile; the watch tells which.
            log.debug("not bound", pod=f"{namespace}/{name}", reason=str(error))
            return False
        message = f"Successfully assigned {namespace}/{name} to {node_name}"
        self._recorder.event(pod, reason="Scheduled", message=message, action="Binding")
        return True

    async def is_bound(self, pod: Pod) -> bool:
        """Ask whether a pod has a node.

        Raises:
            KubeError: The server could not be asked.
        """
        found = await self._pods.get_opt(pod.metadata.name or "", namespace=pod.metadata.namespace)
        return found is not None and found.metadata.uid == pod.metadata.uid and bool(found.spec.node_name)

    async def explain(self, pod: Pod, message: str, *, nominated: str | None = None) -> None:
        """Say why a pod has no node, as an Event and in its status, unless that is said already."""
        known = _condition(pod)
        if known is not None and known.message == message and not nominated:
            return
        self._recorder.event(
            pod, type="Warning", reason="FailedScheduling", message=message, action="Scheduling"
        )
        status: dict[str, object] = {"conditions": [_scheduled(known, "Unschedulable", message)]}
        if nominated is not None:
            status["nominatedNodeName"] = nominated
        await self._patch_status(pod, status)

    async def gated(self, pod: Pod) -> None:
        """Say that a pod's gates keep it from being scheduled, unless that is said already."""
        known = _condition(pod)
        if known is None or known.reason != "SchedulingGated":
            await self._patch_status(pod, {"conditions": [_scheduled(known, "SchedulingGated", GATED)]})

    async def unnominate(self, pod: Pod) -> None:
        """Say that a pod is not to go any more where it was to go."""
        await self._patch_status(pod, {"nominatedNodeName": None})

    async def make_room(self, pod: Pod, preemption: Preemption) -> None:
        """End the pods that make room, gracefully."""
        for victim in preemption.victims:
            if victim.metadata.deletion_timestamp is not None:
                continue
            name, namespace, uid = victim.metadata.name or "", victim.metadata.namespace, victim.metadata.uid
            disrupted = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "PreemptionByScheduler",
                "message": f"{pod.spec.scheduler_name}: preempting to accommodate a higher priority pod",
                "lastTransitionTime": now(),
            }
            await self._patch_status(victim, {"conditions": [disrupted]})
            with suppress(NotFoundError, ConflictError):
                await self._pods.delete(name, uid=uid, namespace=namespace)
            message = f"Preempted by pod {pod.metadata.uid} on node {preemption.node_name}"
            self._recorder.event(victim, reason="Preempted", message=message, action="Preempting")

    async def take_volumes(self, wanted: list[Wanted], node_name: str) -> None:
        """Give claims their volumes, or have volumes made for them where the pod goes.

        Raises:
            KubeError: One could not be written.
        """
        for one in wanted:
            claim, volume = one.claim, one.volume
            if volume is None:
                note = {"metadata": {"uid": claim.metadata.uid, "annotations": {SELECTED_NODE: node_name}}}
                await self._claims.patch(
                    claim.metadata.name or "", Merge(note), namespace=claim.metadata.namespace
                )
            else:
                await self._volumes.patch(volume.metadata.name or "", Merge(_reserved(volume, claim)))

    async def _patch_status(self, pod: Pod, status: dict[str, object]) -> None:
        change = Strategic({"metadata": {"uid": pod.metadata.uid}, "status": status})
        with suppress(NotFoundError, ConflictError):
            await self._pods.patch_status(pod.metadata.name or "", change, namespace=pod.metadata.namespace)


def _reserved(volume: PersistentVolume, claim: PersistentVolumeClaim) -> dict[str, object]:
    """The volume as the claim's, on the version that was decided about: it goes to one claim only."""
    reference = ObjectReference(
        api_version="v1",
        kind="PersistentVolumeClaim",
        namespace=claim.metadata.namespace,
        name=claim.metadata.name,
        uid=claim.metadata.uid,
    )
    noted = {"pv.kubernetes.io/bound-by-controller": "yes"}
    metadata = {"resourceVersion": volume.metadata.resource_version, "annotations": noted}
    return {"metadata": metadata, "spec": {"claimRef": reference}}


def _condition(pod: Pod) -> PodCondition | None:
    return next((known for known in pod.status.conditions if known.type == "PodScheduled"), None)


def _scheduled(known: PodCondition | None, reason: str, message: str) -> dict[str, object]:
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastTransitionTime": (known and known.last_transition_time) or now(),
    }
