"""What a container has to say about its end: the file at `terminationMessagePath`, else the end of its log.

A guest has no `/dev` unless it is given one: the file's directory is a small one of the container's own,
unless a volume lies there.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from proa.kube.models.core_v1 import Container, VolumeMount
from proa.kubelet import _cri
from proa.kubelet._volumes import ProvidedVolume
from proa.wasm import Mount
from proa.wasm.beneath import open_file

DEFAULT_PATH: Final = "/dev/termination-log"
_MOST: Final = 4096
_MOST_OF_A_POD: Final = 12 * 1024
_LOG_BYTES: Final = 2048
_LOG_LINES: Final = 80


class Place(NamedTuple):
    """Where the file is on the host: a directory and a path beneath it."""

    base: Path
    below: PurePosixPath


def most(containers: int) -> int:
    """The longest message of a container in a pod of so many, in bytes."""
    return min(_MOST, _MOST_OF_A_POD // containers)


def own_mount(container: Container, directory: Path) -> Mount | None:
    """The mount that lets the guest write the file; None when a volume is there. Makes the directory."""
    path = _path(container)
    if _covering(container, path) is not None or path.parent == PurePosixPath("/"):
        return None
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o777)  # For whomever the guest runs as; the pod's directory is closed to others.
    return Mount(source=directory, target=str(path.parent))


def place(container: Container, directory: Path, volumes: Mapping[str, ProvidedVolume]) -> Place | None:
    """Where to look for the file; None when it cannot be known."""
    path = _path(container)
    mount = _covering(container, path)
    if mount is None:
        return Place(directory, PurePosixPath(path.name))
    volume = volumes.get(mount.name)
    if volume is None or mount.sub_path_expr:
        return None
    return Place(volume.path, PurePosixPath(mount.sub_path or "") / path.relative_to(mount.mount_path))


def read(found: Place, most: int) -> str:
    """The message, cut to so many bytes; empty when there is none. Blocks."""
    try:
        descriptor = open_file(found.base, found.below)
    except (OSError, ValueError):
        return ""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, most).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


def end_of_log(path: Path, most: int) -> str:
    """The last lines of a log, for a container that failed without a message. Blocks."""
    try:
        with path.open("rb") as file:
            file.seek(-min(path.stat().st_size, 4 * _LOG_BYTES), os.SEEK_END)
            records = [record for line in file.read().split(b"\n") if (record := _cri.parse(line))]
    except OSError:
        return ""
    text = b"".join(record.content + (b"\n" if record.complete else b"") for record in records)
    lines = text.splitlines(keepends=True)[-_LOG_LINES:]
    return b"".join(lines)[-min(most, _LOG_BYTES) :].decode("utf-8", "replace")


def _path(container: Container) -> PurePosixPath:
    return PurePosixPath("/", container.termination_message_path or DEFAULT_PATH)


def _covering(container: Container, path: PurePosixPath) -> VolumeMount | None:
    around = [mount for mount in container.volume_mounts if path.is_relative_to(mount.mount_path)]
    return max(around, key=lambda mount: len(PurePosixPath(mount.mount_path).parts), default=None)
