"""The local-path provisioner: volumes that are directories of this machine."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from proa.app import logs
from proa.controlplane.controllers._binder_plan import PROVISIONED_BY, PROVISIONER, reference_to
from proa.controlplane.scheduler import SELECTED_NODE
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, Merge, NotFoundError
from proa.kube.models.core_v1 import (
    LocalVolumeSource,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
    TopologySelectorLabelRequirement,
    TopologySelectorTerm,
    VolumeNodeAffinity,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.models.storage_v1 import StorageClass
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector

log = logs.get_logger(__name__)

NAME = "proa.dev/local-path"
CLASS = "local-path"
HOSTNAME = "kubernetes.io/hostname"
RETRY_SECONDS = 15.0


async def ensure_storage_class(client: Client, hostname: str) -> None:
    """Make the default storage class, whose volumes are directories of one machine, unless it is there.

    One of that name that is somebody else's stays as it is; one for another host name is made anew, and one
    that does not let claims grow does so from now on.

    Args:
        client: One that may make storage classes.
        hostname: The label `kubernetes.io/hostname` of the nodes that share the machine's directories.

    Raises:
        KubeError: It cannot be made.
    """
    place = TopologySelectorLabelRequirement(key=HOSTNAME, values=[hostname])
    wanted = StorageClass(
        metadata=ObjectMeta(name=CLASS, annotations={"storageclass.kubernetes.io/is-default-class": "true"}),
        provisioner=NAME,
        reclaim_policy="Delete",
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
        allowed_topologies=[TopologySelectorTerm(match_label_expressions=[place])],
    )
    classes = Api(client, StorageClass)
    known = await classes.get_opt(CLASS)
    if known is not None:
        if known.provisioner != NAME:
            return
        if known.allowed_topologies == wanted.allowed_topologies:
            if known.allow_volume_expansion is None:
                await classes.patch(CLASS, Merge({"allowVolumeExpansion": True}))
            return
        await classes.delete(CLASS, uid=known.metadata.uid)  # the machine has another name by now
    with suppress(AlreadyExistsError):
        await classes.create(wanted)


class Provisioner:
    """Makes a directory for each claim that asks for one, and removes it when the claim is gone for good.

    A directory's name follows from the claim's uid, so a provisioner that was killed half-way finds again
    what it began. What is in a directory is never touched but to remove it all, which happens only once the
    volume is released and its reclaim policy is `Delete`.

    Args:
        client: The server.
        directory: Where the directories are made.
        claims: The claims.
        volumes: The volumes.
        classes: The storage classes.
        recorder: Tells what cannot be made.
    """

    def __init__(
        self,
        client: Client,
        directory: Path,
        claims: Reflector[PersistentVolumeClaim],
        volumes: Reflector[PersistentVolume],
        classes: Reflector[StorageClass],
        recorder: Recorder,
    ) -> None:
        self._api = Api(client, PersistentVolume)
        self._directory = directory.absolute()
        self._claims, self._volumes, self._classes = claims.store, volumes.store, classes.store
        self._recorder = recorder
        self.controller = Controller(claims, self.reconcile, name="local path").watches(volumes, _claim_of)

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Make what a claim lacks, and remove what earlier claims of its name left."""
        claim = self._claims.find(ref)
        for volume in self._volumes:
            if _claim_of(volume) == [ref] and self._is_to_go(volume, claim):
                await self._remove(volume)
        if claim is None or not self._wants(claim):
            if claim is not None:
                await self._grow(claim)
            return Action.await_change()
        problem = await self._make(claim)
        if problem is None:
            return Action.await_change()
        message = f'failed to provision volume with StorageClass "{claim.spec.storage_class_name}": {problem}'
        self._recorder.event(claim, type="Warning", reason="ProvisioningFailed", message=message)
        return Action.requeue(RETRY_SECONDS)

    def _wants(self, claim: PersistentVolumeClaim) -> bool:
        return (
            not claim.spec.volume_name
            and claim.metadata.deletion_timestamp is None
            and claim.metadata.annotations.get(PROVISIONER) == NAME
        )

    def _is_to_go(self, volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> bool:
        reference = volume.spec.claim_ref
        released = reference is not None and (claim is None or claim.metadata.uid != reference.uid)
        return (
            released
            and volume.status.phase == "Released"
            and volume.spec.persistent_volume_reclaim_policy == "Delete"
            and volume.metadata.annotations.get(PROVISIONED_BY) == NAME
            and self._path(volume.metadata.name or "")
            == Path(volume.spec.local.path if volume.spec.local else "")
        )

    def _path(self, volume: str) -> Path:
        return self._directory / volume

    async def _make(self, claim: PersistentVolumeClaim) -> str | None:
        """Make a claim's directory and volume; return why that is impossible."""
        storage_class = self._classes.get(claim.spec.storage_class_name or "")
        if storage_class is None:
            return "there is no such class"
        if claim.spec.volume_mode == "Block":
            return "a directory is no block device"
        name = f"pvc-{claim.metadata.uid}"
        path = self._path(name)
        try:
            await asyncio.to_thread(_make, path)
        except OSError as error:
            return f"cannot make {path}: {error.strerror}"
        hosts = [
            value
            for topology in storage_class.allowed_topologies
            for one in topology.match_label_expressions
            if one.key == HOSTNAME
            for value in one.values
        ]
        selected = claim.metadata.annotations.get(SELECTED_NODE)
        with suppress(AlreadyExistsError):
            await self._api.create(_volume(name, path, claim, storage_class, hosts or [selected or ""]))
        message = f"Successfully provisioned volume {name}"
        self._recorder.event(claim, reason="ProvisioningSucceeded", message=message)
        return None

    async def _grow(self, claim: PersistentVolumeClaim) -> None:
        """Give a claim what it asks for by now: a directory has no size of its own."""
        volume = self._volumes.get(claim.spec.volume_name or "")
        asked = claim.spec.resources.requests.get("storage")
        if volume is None or asked is None or volume.metadata.annotations.get(PROVISIONED_BY) != NAME:
            return
        owner = volume.spec.claim_ref
        if owner is None or owner.uid != claim.metadata.uid or volume.spec.capacity["storage"] >= asked:
            return
        spec = msgspec.structs.replace(volume.spec, capacity={**volume.spec.capacity, "storage": asked})
        with suppress(NotFoundError, ConflictError):
            await self._api.replace(msgspec.structs.replace(volume, spec=spec))
            message = f"Resize volume {volume.metadata.name} succeeded"
            self._recorder.event(claim, reason="VolumeResizeSuccessful", message=message)

    async def _remove(self, volume: PersistentVolume) -> None:
        name = volume.metadata.name or ""
        try:
            await asyncio.to_thread(_remove, self._path(name))
        except OSError as error:
            message = f"cannot remove {self._path(name)}: {error.strerror}"
            self._recorder.event(volume, type="Warning", reason="VolumeFailedDelete", message=message)
            raise
        with suppress(NotFoundError, ConflictError):
            await self._api.delete(name, uid=volume.metadata.uid)
        log.debug("removed", volume=name)


def _volume(
    name: str, path: Path, claim: PersistentVolumeClaim, storage_class: StorageClass, hosts: Iterable[str]
) -> PersistentVolume:
    here = NodeSelectorRequirement(key=HOSTNAME, operator="In", values=sorted(hosts))
    terms = [NodeSelectorTerm(match_expressions=[here])]
    return PersistentVolume(
        metadata=ObjectMeta(name=name, annotations={PROVISIONED_BY: NAME}),
        spec=PersistentVolumeSpec(
            capacity={"storage": claim.spec.resources.requests["storage"]},
            access_modes=claim.spec.access_modes,
            claim_ref=reference_to(claim),
            local=LocalVolumeSource(path=str(path)),
            node_affinity=VolumeNodeAffinity(required=NodeSelector(node_selector_terms=terms)),
            persistent_volume_reclaim_policy=storage_class.reclaim_policy or "Delete",
            storage_class_name=claim.spec.storage_class_name,
            volume_mode=claim.spec.volume_mode or "Filesystem",
        ),
    )


def _claim_of(volume: PersistentVolume) -> list[ObjectRef]:
    reference = volume.spec.claim_ref
    return [ObjectRef(reference.name or "", reference.namespace)] if reference else []


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    path.mkdir(exist_ok=True)
    path.chmod(0o777)  # whoever the guest runs as: the directory's name is its secret


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(path)
