"""Claims for volumes: where the volumes of a pod are or can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from proa.controlplane.scheduler._affinity import satisfies
from proa.kube import Selector
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod
from proa.kube.models.storage_v1 import StorageClass

WAIT = "WaitForFirstConsumer"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"

Name: TypeAlias = "tuple[str, str]"
"""A claim's namespace and name."""


@dataclass(frozen=True)
class Wanted:
    """A claim that gets its volume when its pod's node is known.

    Attributes:
        claim: The claim.
        volume: An existing volume for it; None if one is to be made.
    """

    claim: PersistentVolumeClaim
    volume: PersistentVolume | None


class Missing(Exception):  # noqa: N818 - it is no error of the program
    """A pod's claims let no node have it; the message says why."""


class Volumes:
    """The claims, volumes and storage classes of the cluster."""

    def __init__(self) -> None:
        self.claims: dict[Name, PersistentVolumeClaim] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self.classes: dict[str, StorageClass] = {}
        self._promised: dict[str, Name] = {}

    def of(self, pod: Pod) -> list[PersistentVolumeClaim]:
        """Return the claims of a pod.

        Raises:
            Missing: One is not there, or is being deleted.
        """
        namespace = pod.metadata.namespace or ""
        return [self._claim(namespace, name) for name in claim_names(pod)]

    def _claim(self, namespace: str, name: str) -> PersistentVolumeClaim:
        claim = self.claims.get((namespace, name))
        if claim is None:
            raise Missing(f'persistentvolumeclaim "{name}" not found')
        if claim.metadata.deletion_timestamp is not None:
            raise Missing(f'persistentvolumeclaim "{name}" is being deleted')
        return claim

    def waits(self, claim: PersistentVolumeClaim) -> bool:
        """Tell whether an unbound claim waits for its pod's node rather than the pod for it."""
        storage_class = self.classes.get(claim.spec.storage_class_name or "")
        return storage_class is not None and storage_class.volume_binding_mode == WAIT

    def find(self, claim: PersistentVolumeClaim, node: Node | None) -> PersistentVolume | None:
        """Return the smallest free volume that a claim can have, on `node` if one is given."""
        free = (
            one for one in self.volumes.values() if self._promised.get(name_of(one), key(claim)) == key(claim)
        )
        return find_volume(claim, free, node)

    def provides(self, claim: PersistentVolumeClaim, node: Node) -> bool:
        """Tell whether a volume for the claim can be made for a node."""
        storage_class = self.classes.get(claim.spec.storage_class_name or "")
        if storage_class is None or storage_class.provisioner == NO_PROVISIONER:
            return False
        labels = node.metadata.labels
        topologies = storage_class.allowed_topologies
        return not topologies or any(
            all(labels.get(one.key) in one.values for one in topology.match_label_expressions)
            for topology in topologies
        )

    def promise(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        """Keep a volume from other claims until the server shows whose it is."""
        self._promised[name_of(volume)] = key(claim)

    def set_volume(self, volume: PersistentVolume) -> None:
        """Take in a new or changed volume."""
        self.volumes[name_of(volume)] = volume
        if volume.spec.claim_ref is not None:
            self._promised.pop(name_of(volume), None)

    def break_promises(self, claims: Iterable[PersistentVolumeClaim]) -> None:
        """Let go of the volumes that are kept for some claims."""
        keys = {key(claim) for claim in claims}
        self._promised = {name: one for name, one in self._promised.items() if one not in keys}


def check(pod: Pod, volumes: Volumes) -> Callable[[Node], str | None] | None:
    """Return what says of a node why the pod's volumes keep it away; None if it has no claims.

    Raises:
        Missing: They keep it away from every node.
    """
    claims = volumes.of(pod)
    if not claims:
        return None
    bound = [claim for claim in claims if claim.spec.volume_name]
    unbound = [claim for claim in claims if not claim.spec.volume_name]
    if any(not volumes.waits(claim) for claim in unbound):
        raise Missing("pod has unbound immediate PersistentVolumeClaims")
    held = [volumes.volumes.get(claim.spec.volume_name or "") for claim in bound]

    def obstacle(node: Node) -> str | None:
        if any(volume is None for volume in held):
            return "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
        if not all(volume is None or reaches(volume, node) for volume in held):
            return "node(s) didn't match PersistentVolume's node affinity"
        if not all(_can_have(volumes, claim, node) for claim in unbound):
            return "node(s) didn't find available persistent volumes to bind"
        return None

    return obstacle


def wanted(pod: Pod, volumes: Volumes, node: Node) -> list[Wanted]:
    """Return the claims of a pod that are to get their volumes now that it goes to `node`.

    Raises:
        Missing: A claim has gone meanwhile.
    """
    return [
        Wanted(claim, volumes.find(claim, node)) for claim in volumes.of(pod) if not claim.spec.volume_name
    ]


def claim_names(pod: Pod) -> Iterator[str]:
    """Yield the names of the claims that a pod's volumes stand for."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield volume.persistent_volume_claim.claim_name
        elif volume.ephemeral is not None:
            yield f"{pod.metadata.name}-{volume.name}"


def find_volume(
    claim: PersistentVolumeClaim, volumes: Iterable[PersistentVolume], node: Node | None
) -> PersistentVolume | None:
    """Return the volume reserved for a claim, else the smallest free one that it can have.

    Args:
        claim: The claim.
        volumes: The volumes to choose from.
        node: Where the volume has to be reachable; None means anywhere.
    """
    fitting = [one for one in volumes if _fits(claim, one) and (node is None or reaches(one, node))]
    return min(fitting, key=lambda one: (one.spec.claim_ref is None, _size(one), name_of(one)), default=None)


def reaches(volume: PersistentVolume, node: Node) -> bool:
    """Tell whether a volume can be used on a node."""
    affinity = volume.spec.node_affinity
    return affinity is None or affinity.required is None or satisfies(affinity.required, node)


def key(claim: PersistentVolumeClaim) -> Name:
    """Return a claim's namespace and name."""
    return claim.metadata.namespace or "", claim.metadata.name or ""


def name_of(volume: PersistentVolume) -> str:
    """Return a volume's name."""
    return volume.metadata.name or ""


def _can_have(volumes: Volumes, claim: PersistentVolumeClaim, node: Node) -> bool:
    return volumes.find(claim, node) is not None or volumes.provides(claim, node)


def _fits(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    reserved = volume.spec.claim_ref
    if volume.metadata.deletion_timestamp is not None:
        return False
    if reserved is not None:
        same = (reserved.namespace, reserved.name) == (claim.metadata.namespace, claim.metadata.name)
        return same and reserved.uid in {None, "", claim.metadata.uid}
    selector = claim.spec.selector
    return (
        (volume.spec.storage_class_name or "") == (claim.spec.storage_class_name or "")
        and (volume.spec.volume_mode or "Filesystem") == (claim.spec.volume_mode or "Filesystem")
        and set(claim.spec.access_modes) <= set(volume.spec.access_modes)
        and _size(volume) >= _bytes(claim.spec.resources.requests)
        and (selector is None or Selector.of(selector).matches(volume.metadata.labels))
        and volume.status.phase in {None, "", "Pending", "Available"}
    )


def _size(volume: PersistentVolume) -> float:
    return _bytes(volume.spec.capacity)


def _bytes(quantities: Mapping[str, Quantity]) -> float:
    return float(quantities["storage"].value) if "storage" in quantities else 0.0
