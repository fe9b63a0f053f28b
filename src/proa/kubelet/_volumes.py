"""A pod's volumes as directories of the host.

Files come from the API once, before the first container starts. A restarted kubelet finds the directories
of its pods again by their names and leaves what is in them alone.
"""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from proa.kube import Client
from proa.kube.models.core_v1 import HostPathVolumeSource, ProjectedVolumeSource, Volume
from proa.kubelet import _references, _service_account_tokens, _volume_files
from proa.kubelet._fields import PodFields
from proa.kubelet._references import Referenced
from proa.kubelet._volume_files import File
from proa.kubelet.errors import VolumeError


@dataclass(frozen=True)
class ProvidedVolume:
    """A volume that is there.

    Attributes:
        path: Its directory on the host.
        read_only: What the API has put there is not the guest's to change.
    """

    path: Path
    read_only: bool = False


async def provide(client: Client, volume: Volume, directory: Path, fields: PodFields) -> ProvidedVolume:
    """Make a volume's directory and what belongs in it.

    Args:
        client: Where config maps and secrets come from.
        volume: What is wanted.
        directory: Where the pod's own volumes are kept; this one gets a directory of its name in it.
        fields: The pod's facts, for the downward API.

    Raises:
        VolumeError: It cannot be had: something is missing, or the kind is not supported.
        proa.kubelet.errors.ContainerConfigError: A downward API field that does not exist.
        proa.kube.KubeError: The API server is away or refuses.
    """
    if volume.host_path is not None:
        return ProvidedVolume(await asyncio.to_thread(_host_path, volume.host_path))
    path = directory / volume.name
    kind = _kind(volume)
    read_only = kind != "emptyDir"
    if await asyncio.to_thread(path.is_dir):
        return ProvidedVolume(path, read_only)
    if not read_only:
        await asyncio.to_thread(path.mkdir, parents=True, mode=0o700)
        return ProvidedVolume(path)
    referenced = await _references.fetch(client, fields.namespace, _references.of_volume(volume))
    files = _files(volume, referenced, fields) + await _service_account_tokens.files(client, volume, fields)
    await asyncio.to_thread(_fill, path, files)
    return ProvidedVolume(path, read_only)


def _kind(volume: Volume) -> str:
    given = msgspec.structs.asdict(volume)
    wire_names = {field.name: field.encode_name for field in msgspec.structs.fields(volume)}
    kinds = [wire_names[name] for name, source in given.items() if name != "name" and source is not None]
    return kinds[0] if kinds else "emptyDir"


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


def _fill(path: Path, files: list[File]) -> None:
    # Made aside and moved into place whole: a guest never sees half a volume, a crash leaves no half one.
    unfinished = path.with_name(f".{path.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    for file in files:
        target = unfinished / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode & 0o777)
    unfinished.rename(path)
