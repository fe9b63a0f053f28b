"""Where a guest finds its volumes."""

from collections.abc import Mapping
from pathlib import Path

from proa.kube.models.core_v1 import Container, VolumeMount
from proa.kubelet import _volume_files
from proa.kubelet._expansion import expand
from proa.kubelet._volumes import ProvidedVolume
from proa.kubelet.errors import ContainerConfigError, VolumeError
from proa.wasm import Mount


def mounts(
    container: Container, volumes: Mapping[str, ProvidedVolume], environment: Mapping[str, str]
) -> tuple[Mount, ...]:
    """What to mount where. Makes directories that a subPath names; call it in a thread.

    Raises:
        ContainerConfigError: A volume that is not the pod's, or a subPath that leads out of its volume or
            to a file: a guest can be given directories only.
    """
    return tuple(_mount(mount, volumes, environment) for mount in container.volume_mounts)


def _mount(
    mount: VolumeMount, volumes: Mapping[str, ProvidedVolume], environment: Mapping[str, str]
) -> Mount:
    volume = volumes.get(mount.name)
    if volume is None:
        raise ContainerConfigError(f'volumeMounts: the pod has no volume "{mount.name}"')
    sub_path = mount.sub_path or expand(mount.sub_path_expr or "", environment)
    source = _inside(volume, sub_path) if sub_path else volume.path
    return Mount(source=source, target=mount.mount_path, read_only=bool(mount.read_only) or volume.read_only)


def _inside(volume: ProvidedVolume, sub_path: str) -> Path:
    try:
        path = volume.path
        for part in _volume_files.inside(sub_path).parts:
            path /= part
            # A guest may have put a symbolic link into a volume to get out of it: links are not followed.
            if path.is_symlink():
                raise ContainerConfigError(f"subPath {sub_path!r}: {part!r} is a symbolic link")
            if not path.exists() and not volume.read_only:
                path.mkdir(mode=0o700)
    except VolumeError as error:
        raise ContainerConfigError(f"subPath: {error}") from error
    if not path.is_dir():
        raise ContainerConfigError(
            f"subPath {sub_path!r} is no directory: a guest can be given directories only"
        )
    return path
