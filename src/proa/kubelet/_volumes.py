"""A pod's volumes as directories of the host.

Files that come from the API are there before the first container starts, and are kept new by
`_volume_updates`. A restarted kubelet finds the directories of its pods again by their names.
"""

import asyncio
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from proa.kube import Client
from proa.kube.models.core_v1 import HostPathVolumeSource, ProjectedVolumeSource, Volume
from proa.kubelet import _atomic_files, _claims, _memory_volumes, _references, _volume_files
from proa.kubelet._claims import claim_name
from proa.kubelet._fields import PodFields
from proa.kubelet._references import Referenced
from proa.kubelet._service_account_tokens import Tokens
from proa.kubelet._users import owner
from proa.kubelet._volume_files import File
from proa.kubelet.errors import VolumeError


@dataclass(frozen=True)
class ProvidedVolume:
    """A volume that is there.

    Attributes:
        path: Its directory on the host.
        read_only: It is not the guest's to change.
        is_from_api: Its files come from the API, laid out as `_atomic_files` does.
    """

    path: Path
    read_only: bool = False
    is_from_api: bool = False


async def provide(
    client: Client, volume: Volume, directory: Path, fields: PodFields, tokens: Tokens
) -> ProvidedVolume:
    """Make a volume's directory and what belongs in it.

    Args:
        client: Where config maps and secrets come from.
        volume: What is wanted.
        directory: Where the pod's own volumes are kept; this one gets a directory of its name in it.
        fields: The pod's facts, for the downward API.
        tokens: The pod's.

    Raises:
        VolumeError: It cannot be had: something is missing, or the kind is not supported.
        proa.kubelet.errors.ContainerConfigError: A downward API field that does not exist.
        proa.kube.KubeError: The API server is away or refuses.
    """
    if volume.host_path is not None:
        return ProvidedVolume(await asyncio.to_thread(_host_path, volume.host_path))
    if (claim := claim_name(volume, fields.pod.metadata.name or "")) is not None:
        return await _claimed(client, volume, claim, fields)
    path = directory / volume.name
    if volume.empty_dir is not None and volume.empty_dir.medium == "Memory":
        return ProvidedVolume(await asyncio.to_thread(_memory_volumes.provide, path))
    if _kind(volume) == "emptyDir":
        await asyncio.to_thread(_empty, path)
        return ProvidedVolume(path)
    if not await asyncio.to_thread(_atomic_files.is_written, path):
        await fill(client, volume, path, fields, tokens)
    return ProvidedVolume(path, read_only=True, is_from_api=True)


def is_from_api(volume: Volume) -> bool:
    """Whether what is in it comes from the API server, and so may change."""
    return _kind(volume) in {"configMap", "secret", "downwardAPI", "projected"}


async def fill(client: Client, volume: Volume, path: Path, fields: PodFields, tokens: Tokens) -> None:
    """Make a volume's directory hold what the API server has for it now.

    Raises:
        VolumeError, proa.kubelet.errors.ContainerConfigError, proa.kube.KubeError: As of `provide`.
    """
    referenced = await _references.fetch(client, fields.namespace, _references.of_volume(volume))
    files = _files(volume, referenced, fields)
    files += await tokens.files(volume, fields)
    await asyncio.to_thread(_atomic_files.write, path, files, owner(fields.pod))


async def _claimed(client: Client, volume: Volume, claim: str, fields: PodFields) -> ProvidedVolume:
    ephemeral = volume.ephemeral is not None
    path, read_only = await _claims.directory(client, claim, fields, ephemeral=ephemeral)
    if not await asyncio.to_thread(path.is_dir):
        raise VolumeError(f"persistentvolumeclaim {claim}: there is no directory {path} on the node")
    asked = volume.persistent_volume_claim
    return ProvidedVolume(path, read_only or bool(asked and asked.read_only))


def _empty(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Whoever the guest runs as; the pod's directory around it is closed to all others.
    path.chmod(0o777)


def _kind(volume: Volume) -> str:
    kinds = (kind for name, kind in _kinds() if getattr(volume, name) is not None)
    return next(kinds, "emptyDir")


@cache
def _kinds() -> list[tuple[str, str]]:
    """The kinds of volumes there are: their fields and how the API calls them."""
    fields = msgspec.structs.fields(Volume)
    return [(field.name, field.encode_name) for field in fields if field.name != "name"]


def _files(volume: Volume, referenced: Referenced, fields: PodFields) -> list[File]:
    if (source := volume.config_map) is not None:
        name = source.name or ""
        return _volume_files.of_config_map(
            referenced.config_maps.get(name),
            name,
            source.items,
            source.default_mode,
            optional=bool(source.optional),
        )
    if (secret := volume.secret) is not None:
        name = secret.secret_name or ""
        return _volume_files.of_secret(
            referenced.secrets.get(name),
            name,
            secret.items,
            secret.default_mode,
            optional=bool(secret.optional),
        )
    if (downward := volume.downward_api) is not None:
        return _volume_files.of_downward_api(downward.items, downward.default_mode, fields)
    if (projected := volume.projected) is not None:
        return _projected(projected, referenced, fields)
    raise VolumeError(f'volume "{volume.name}": Proa does not support volumes of kind {_kind(volume)}')


def _projected(projected: ProjectedVolumeSource, referenced: Referenced, fields: PodFields) -> list[File]:
    files: list[File] = []
    mode = projected.default_mode
    for source in projected.sources:
        if (config_map := source.config_map) is not None:
            name = config_map.name or ""
            files += _volume_files.of_config_map(
                referenced.config_maps.get(name),
                name,
                config_map.items,
                mode,
                optional=bool(config_map.optional),
            )
        elif (secret := source.secret) is not None:
            name = secret.name or ""
            files += _volume_files.of_secret(
                referenced.secrets.get(name), name, secret.items, mode, optional=bool(secret.optional)
            )
        elif source.downward_api is not None:
            files += _volume_files.of_downward_api(source.downward_api.items, mode, fields)
        elif source.service_account_token is None:
            raise VolumeError(
                "projected: Proa supports configMap, secret, downwardAPI and serviceAccountToken only"
            )
    return files


def _host_path(source: HostPathVolumeSource) -> Path:
    path = Path(source.path)
    if source.type not in {None, "", "Directory", "DirectoryOrCreate"}:
        raise VolumeError(f"hostPath {path}: a guest can be given directories only, not a {source.type}")
    if source.type == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if not path.is_dir():
        raise VolumeError(f"hostPath {path}: there is no such directory on the node")
    return path
