"""Where a guest finds its volumes."""

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from proa.kube.models.core_v1 import Container, VolumeMount
from proa.kubelet import _atomic_files
from proa.kubelet._expansion import expand
from proa.kubelet._volume_files import inside
from proa.kubelet._volumes import ProvidedVolume
from proa.kubelet.errors import ContainerConfigError, VolumeError
from proa.wasm import Mount
from proa.wasm.beneath import open_directory


def mounts(
    container: Container,
    volumes: Mapping[str, ProvidedVolume],
    environment: Mapping[str, str],
    copies: Path,
) -> tuple[Mount, ...]:
    """What to mount where. Makes directories that a subPath names; call it in a thread.

    A guest can be given directories only. A subPath that is one file of a config map, secret or the like is
    copied into a directory that stands for the one around its mountPath.

    Args:
        container: Whose mounts.
        volumes: The pod's, by name.
        environment: For `subPathExpr`.
        copies: A directory of the container's own for such files; made if need be.

    Raises:
        ContainerConfigError: A volume that is not the pod's, or a subPath that leads out of its volume or
            to a file of a volume that guests write to.
    """
    made: list[Mount] = []
    files: defaultdict[PurePosixPath, dict[str, Path]] = defaultdict(dict)
    for mount in container.volume_mounts:
        volume = volumes.get(mount.name)
        if volume is None:
            raise ContainerConfigError(f'volumeMounts: the pod has no volume "{mount.name}"')
        sub_path = mount.sub_path or expand(mount.sub_path_expr or "", environment)
        file = _own_file(volume, sub_path)
        if file is not None:
            target = PurePosixPath(mount.mount_path)
            files[target.parent][target.name] = file
        else:
            made.append(_directory(mount, volume, sub_path))
    made += [_copied(copies / str(number), *one) for number, one in enumerate(files.items())]
    targets = [PurePosixPath(mount.target) for mount in made]
    if len(set(targets)) < len(targets):
        raise ContainerConfigError("volumeMounts: two volumes, or a volume and a file, meet in one directory")
    return tuple(made)


def _directory(mount: VolumeMount, volume: ProvidedVolume, sub_path: str) -> Mount:
    source = _atomic_files.data_directory(volume.path) if sub_path and volume.is_from_api else volume.path
    read_only = bool(mount.read_only) or volume.read_only
    try:
        below = inside(sub_path)
        os.close(open_directory(source, below, make=not volume.read_only))
    except VolumeError as error:
        raise ContainerConfigError(f"subPath: {error}") from error
    except OSError as error:
        raise ContainerConfigError(
            f"subPath {sub_path!r} of volume {mount.name} is no directory, or a symbolic link is on the way:"
            f" {error.strerror}"
        ) from error
    return Mount(source, mount.mount_path, read_only, str(below) if sub_path else "")


def _own_file(volume: ProvidedVolume, sub_path: str) -> Path | None:
    """The file that a subPath names in a volume that no guest writes to; None when it is something else."""
    if not sub_path or not volume.is_from_api:
        return None
    try:
        path = _atomic_files.data_directory(volume.path) / inside(sub_path)
    except VolumeError as error:
        raise ContainerConfigError(f"subPath: {error}") from error
    return path if path.is_file() else None


def _copied(directory: Path, target: PurePosixPath, files: Mapping[str, Path]) -> Mount:
    directory.mkdir(parents=True, exist_ok=True)
    for name, path in files.items():
        copy = directory / name
        copy.unlink(missing_ok=True)
        copy.write_bytes(path.read_bytes())
        status = path.stat()
        copy.chmod(status.st_mode & 0o777)
        os.chown(copy, status.st_uid, status.st_gid)
    return Mount(directory, str(target), read_only=True)
