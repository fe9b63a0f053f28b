"""Persistent volume claims whose volume is a directory of this node: `local` and `hostPath` volumes."""

from pathlib import Path

from proa.kube import Api, Client
from proa.kube.models.core_v1 import PersistentVolume, PersistentVolumeClaim, Volume
from proa.kubelet._fields import PodFields
from proa.kubelet.errors import VolumeError


def claim_name(volume: Volume, pod_name: str) -> str | None:
    """The claim that a volume is of, its own one (`ephemeral`) included; None when it is of none."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return f"{pod_name}-{volume.name}" if volume.ephemeral is not None else None


async def directory(client: Client, claim: str, fields: PodFields, *, ephemeral: bool) -> tuple[Path, bool]:
    """The directory of a claim, and whether it may only be read.

    Raises:
        VolumeError: There is no such claim, it is not bound yet, or its volume is of another kind.
        proa.kube.KubeError: The API server is away or refuses.
    """
    found = await Api(client, PersistentVolumeClaim, namespace=fields.namespace).get_opt(claim)
    if found is None:
        raise VolumeError(f'persistentvolumeclaim "{claim}" not found')
    owners = {owner.uid for owner in found.metadata.owner_references}
    if ephemeral and fields.pod.metadata.uid not in owners:
        raise VolumeError(f'persistentvolumeclaim "{claim}" is not the pod\'s own')
    if found.status.phase != "Bound" or not found.spec.volume_name:
        raise VolumeError(f'persistentvolumeclaim "{claim}" is not bound to a volume yet')
    spec = (await Api(client, PersistentVolume).get(found.spec.volume_name)).spec
    source = spec.local or spec.host_path
    if source is None:
        raise VolumeError(
            f'persistentvolume "{found.spec.volume_name}": Proa supports local and hostPath volumes only'
        )
    return Path(source.path), spec.access_modes == ["ReadOnlyMany"]
