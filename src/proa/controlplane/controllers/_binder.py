"""Claims and volumes: bound to each other, told when they have to wait, and kept as long as they are used."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from proa.controlplane.controllers._binder_plan import (
    CLAIM_PROTECTION,
    PROVISIONER,
    VOLUME_PROTECTION,
    Bind,
    Lost,
    Provision,
    Wait,
    bound_claim,
    bound_status,
    bound_volume,
    decide,
    phase,
)
from proa.controlplane.controllers._pods import has_ended
from proa.controlplane.scheduler import claim_names
from proa.kube import Api, Client, ConflictError, NotFoundError
from proa.kube.models import Resource
from proa.kube.models.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
from proa.kube.models.storage_v1 import StorageClass
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector

R = TypeVar("R", bound=Resource)


class ClaimController:
    """Gives claims their volumes.

    Every write is made on the version that was decided about. The volume says first whose it is, and only
    then the claim: two claims cannot get one volume, wherever this is interrupted.
    """

    def __init__(
        self,
        client: Client,
        claims: Reflector[PersistentVolumeClaim],
        volumes: Reflector[PersistentVolume],
        classes: Reflector[StorageClass],
        pods: Reflector[Pod],
        recorder: Recorder,
    ) -> None:
        self._claims_api = Api(client, PersistentVolumeClaim)
        self._volumes_api = Api(client, PersistentVolume)
        self._claims, self._volumes, self._classes = claims.store, volumes.store, classes.store
        self._users = pods.store.index(_claims_of)
        self._recorder = recorder
        self.controller = (
            Controller(claims, self.reconcile, name="claim")
            .watches(volumes, self._interested)
            .watches(classes, self._of_class)
            .watches(pods, _claims_of, on=lambda pod: (pod.status.phase, pod.spec.node_name))
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Bring one claim closer to what it asks for."""
        claim = self._claims.find(ref)
        if claim is None:
            return Action.await_change()
        # A conflict means that something changed; that change leads here again.
        with suppress(ConflictError, NotFoundError):
            if claim.metadata.deletion_timestamp is not None:
                if not any(_uses(pod) for pod in self._users[ref]):
                    await self._claims_api.replace(_without(claim, CLAIM_PROTECTION))
                return Action.await_change()
            if CLAIM_PROTECTION not in claim.metadata.finalizers:
                claim = await self._claims_api.replace(_with(claim, CLAIM_PROTECTION))
            await self._carry_out(claim)
        return Action.await_change()

    async def _carry_out(self, claim: PersistentVolumeClaim) -> None:
        storage_class = self._classes.get(claim.spec.storage_class_name or "")
        match decide(claim, self._volumes, storage_class):
            case Bind(volume):
                await self._bind(claim, volume)
            case Provision(provisioner):
                await self._ask(claim, provisioner)
            case Lost(reason, message):
                if claim.status.phase != "Lost":
                    self._recorder.event(claim, type="Warning", reason=reason, message=message)
                    status = msgspec.structs.replace(claim.status, phase="Lost")
                    await self._claims_api.replace_status(msgspec.structs.replace(claim, status=status))
            case Wait(reason, message, type_):
                self._recorder.event(claim, type=type_, reason=reason, message=message)

    async def _bind(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        wanted = bound_volume(volume, claim)
        if wanted != volume:
            await self._volumes_api.replace(wanted)
        bound = bound_claim(claim, volume)
        if bound != claim:
            claim = await self._claims_api.replace(bound)
        status = bound_status(volume)
        if claim.status.phase != status.phase or claim.status.capacity != status.capacity:
            await self._claims_api.replace_status(msgspec.structs.replace(claim, status=status))

    async def _ask(self, claim: PersistentVolumeClaim, provisioner: str) -> None:
        if claim.metadata.annotations.get(PROVISIONER) == provisioner:
            return
        annotations = {**claim.metadata.annotations, PROVISIONER: provisioner}
        metadata = msgspec.structs.replace(claim.metadata, annotations=annotations)
        await self._claims_api.replace(msgspec.structs.replace(claim, metadata=metadata))
        message = f"Waiting for a volume to be created by the provisioner '{provisioner}'"
        self._recorder.event(claim, reason="ExternalProvisioning", message=message)

    def _interested(self, volume: PersistentVolume) -> Iterable[ObjectRef]:
        reference = volume.spec.claim_ref
        if reference is not None:
            return [ObjectRef(reference.name or "", reference.namespace)]
        return [ObjectRef.of(claim) for claim in self._claims if not claim.spec.volume_name]

    def _of_class(self, storage_class: StorageClass) -> Iterable[ObjectRef]:
        name = storage_class.metadata.name
        return [ObjectRef.of(claim) for claim in self._claims if claim.spec.storage_class_name == name]


class VolumeController:
    """Says in the status of volumes whether they are free, bound or released, and keeps bound ones."""

    def __init__(
        self,
        client: Client,
        volumes: Reflector[PersistentVolume],
        claims: Reflector[PersistentVolumeClaim],
    ) -> None:
        self._api = Api(client, PersistentVolume)
        self._volumes, self._claims = volumes.store, claims.store
        self.controller = Controller(volumes, self.reconcile, name="volume").watches(
            claims, lambda claim: [ObjectRef(claim.spec.volume_name)] if claim.spec.volume_name else []
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Bring the status and the finalizer of one volume up to date."""
        volume = self._volumes.find(ref)
        if volume is None:
            return Action.await_change()
        reference = volume.spec.claim_ref
        claim = self._claims.get(reference.name or "", reference.namespace) if reference else None
        now = phase(volume, claim)
        with suppress(ConflictError, NotFoundError):
            if volume.status.phase != now:
                status = msgspec.structs.replace(volume.status, phase=now)
                volume = await self._api.replace_status(msgspec.structs.replace(volume, status=status))
            if volume.metadata.deletion_timestamp is None:
                if VOLUME_PROTECTION not in volume.metadata.finalizers:
                    await self._api.replace(_with(volume, VOLUME_PROTECTION))
            elif now != "Bound" and VOLUME_PROTECTION in volume.metadata.finalizers:
                await self._api.replace(_without(volume, VOLUME_PROTECTION))
        return Action.await_change()


def _claims_of(pod: Pod) -> list[ObjectRef]:
    return [ObjectRef(name, pod.metadata.namespace) for name in claim_names(pod)]


def _uses(pod: Pod) -> bool:
    """Tell whether a pod may have its claims mounted: one that waits for a node never gets one with these."""
    return bool(pod.spec.node_name) and not has_ended(pod)


def _with(obj: R, finalizer: str) -> R:
    return _finalized(obj, [*obj.metadata.finalizers, finalizer])


def _without(obj: R, finalizer: str) -> R:
    return _finalized(obj, [one for one in obj.metadata.finalizers if one != finalizer])


def _finalized(obj: R, finalizers: list[str]) -> R:
    copy: Any = obj
    changed: R = msgspec.structs.replace(
        copy, metadata=msgspec.structs.replace(obj.metadata, finalizers=finalizers)
    )
    return changed
