"""What becomes of claims for volumes and of volumes: plain functions of both.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#lifecycle-of-a-volume-and-claim
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from proa.controlplane.scheduler import NO_PROVISIONER, SELECTED_NODE, WAIT, find_volume
from proa.kube.models.core_v1 import (
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimStatus,
)
from proa.kube.models.storage_v1 import StorageClass

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
CLAIM_PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"


@dataclass(frozen=True)
class Bind:
    """The claim gets a volume."""

    volume: PersistentVolume


@dataclass(frozen=True)
class Provision:
    """A volume is to be made for the claim, by whoever is called so."""

    provisioner: str


@dataclass(frozen=True)
class Lost:
    """The claim's volume is gone, or another's: what was in it is lost to the claim."""

    reason: str
    message: str


@dataclass(frozen=True)
class Wait:
    """The claim has to wait, and why."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


def decide(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], storage_class: StorageClass | None
) -> Bind | Provision | Lost | Wait:
    """Return what becomes of a claim.

    Args:
        claim: The claim.
        volumes: All volumes.
        storage_class: Its class; None if it names none or there is no such class.
    """
    if claim.spec.volume_name:
        return _with_volume(claim, volumes)
    waiting = storage_class is not None and storage_class.volume_binding_mode == WAIT
    selected = claim.metadata.annotations.get(SELECTED_NODE)
    candidates = [one for one in volumes if not waiting or is_reserved(one, claim)]
    found = find_volume(claim, candidates, None)
    if found is not None:
        return Bind(found)
    if waiting and not selected:
        message = "waiting for first consumer to be created before binding"
        return Wait("WaitForFirstConsumer", message)
    if storage_class is None and claim.spec.storage_class_name:
        message = f'storageclass.storage.k8s.io "{claim.spec.storage_class_name}" not found'
        return Wait("ProvisioningFailed", message, "Warning")
    if storage_class is None or storage_class.provisioner == NO_PROVISIONER:
        message = "no persistent volumes available for this claim and no storage class is set"
        return Wait("FailedBinding", message)
    return Provision(storage_class.provisioner)


def _with_volume(claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume]) -> Bind | Lost | Wait:
    """A claim that names its volume, because it is bound to it or because whoever made it wants it so."""
    name, bound = claim.spec.volume_name, BIND_COMPLETED in claim.metadata.annotations
    volume = next((one for one in volumes if one.metadata.name == name), None)
    if volume is None:
        if bound:
            message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            return Lost("ClaimLost", message)
        return Wait("FailedBinding", f'volume "{name}" not found')
    if volume.spec.claim_ref is None or is_reserved(volume, claim):
        return Bind(volume)
    message = f'volume "{name}" already bound to a different claim.'
    return Lost("ClaimMisbound", message) if bound else Wait("FailedBinding", message, "Warning")


def is_reserved(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Tell whether a volume is this claim's: a claim of that name that came later is another."""
    reference = volume.spec.claim_ref
    if reference is None:
        return False
    same = (reference.namespace, reference.name) == (claim.metadata.namespace, claim.metadata.name)
    return same and reference.uid in {None, "", claim.metadata.uid}


def bound_volume(volume: PersistentVolume, claim: PersistentVolumeClaim) -> PersistentVolume:
    """Return the volume as the claim's."""
    reference = reference_to(claim)
    if volume.spec.claim_ref is not None and volume.spec.claim_ref.uid == reference.uid:
        return volume
    annotations = dict(volume.metadata.annotations)
    if volume.spec.claim_ref is None:
        annotations[BOUND_BY_CONTROLLER] = "yes"
    return msgspec.structs.replace(
        volume,
        metadata=msgspec.structs.replace(volume.metadata, annotations=annotations),
        spec=msgspec.structs.replace(volume.spec, claim_ref=reference),
    )


def bound_claim(claim: PersistentVolumeClaim, volume: PersistentVolume) -> PersistentVolumeClaim:
    """Return the claim as the volume's."""
    annotations = {**claim.metadata.annotations, BIND_COMPLETED: "yes"}
    if not claim.spec.volume_name:
        annotations[BOUND_BY_CONTROLLER] = "yes"
    return msgspec.structs.replace(
        claim,
        metadata=msgspec.structs.replace(claim.metadata, annotations=annotations),
        spec=msgspec.structs.replace(claim.spec, volume_name=volume.metadata.name),
    )


def bound_status(volume: PersistentVolume) -> PersistentVolumeClaimStatus:
    """Return the status of a claim that has a volume."""
    return PersistentVolumeClaimStatus(
        phase="Bound", access_modes=volume.spec.access_modes, capacity=volume.spec.capacity
    )


def phase(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> str:
    """Return the phase of a volume.

    Args:
        volume: The volume.
        claim: The claim of the name that it is reserved for.
    """
    reference = volume.spec.claim_ref
    if reference is None or not reference.uid:
        return "Available"
    if claim is None or claim.metadata.uid != reference.uid:
        return "Released"
    return "Bound" if claim.spec.volume_name == volume.metadata.name else "Available"


def reference_to(claim: PersistentVolumeClaim) -> ObjectReference:
    """Return the reference by which a volume says that it is the claim's."""
    return ObjectReference(
        api_version="v1",
        kind="PersistentVolumeClaim",
        namespace=claim.metadata.namespace,
        name=claim.metadata.name,
        uid=claim.metadata.uid,
    )
