"""The files that config maps, secrets and the downward API put into a volume. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from proa.kube.models.core_v1 import ConfigMap, DownwardAPIVolumeFile, KeyToPath, Secret
from proa.kubelet._fields import PodFields
from proa.kubelet.errors import VolumeError

DEFAULT_MODE: Final = 0o644


@dataclass(frozen=True)
class File:
    """A file of a volume.

    Attributes:
        path: Relative to the volume; never leads out of it.
        content: All of it.
        mode: Its permission bits.
    """

    path: PurePosixPath
    content: bytes
    mode: int


def of_config_map(
    found: ConfigMap | None, name: str, items: list[KeyToPath], mode: int | None, *, optional: bool
) -> list[File]:
    """The files of a config map; `found` is None when it does not exist."""
    data = (
        None
        if found is None
        else {key: text.encode() for key, text in found.data.items()} | found.binary_data
    )
    return _selected(f'configmap "{name}"', data, items, mode, optional=optional)


def of_secret(
    found: Secret | None, name: str, items: list[KeyToPath], mode: int | None, *, optional: bool
) -> list[File]:
    """The files of a secret; `found` is None when it does not exist."""
    return _selected(
        f'secret "{name}"', None if found is None else found.data, items, mode, optional=optional
    )


def of_downward_api(
    items: Iterable[DownwardAPIVolumeFile], mode: int | None, fields: PodFields
) -> list[File]:
    """The files of a downward API volume."""
    files = []
    for item in items:
        if item.field_ref is not None:
            value = fields.value(item.field_ref.field_path)
        elif item.resource_field_ref is not None:
            value = fields.resource(item.resource_field_ref, None)
        else:
            raise VolumeError(f"downwardAPI: {item.path} has neither fieldRef nor resourceFieldRef")
        files.append(File(inside(item.path), value.encode(), _mode(item.mode, mode)))
    return files


def inside(path: str) -> PurePosixPath:
    """A path that stays inside the directory that it is relative to.

    Raises:
        VolumeError: It is absolute or has `..` in it.
    """
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in path:
        raise VolumeError(f"path {path!r} must be relative and must not contain '..'")
    return relative


def _selected(
    what: str, data: Mapping[str, bytes] | None, items: list[KeyToPath], mode: int | None, *, optional: bool
) -> list[File]:
    if data is None and not optional:
        raise VolumeError(f"{what} not found")
    if data is None:
        return []
    wanted = items or [KeyToPath(key=key, path=key) for key in data]
    if not optional and (missing := [item.key for item in wanted if item.key not in data]):
        raise VolumeError(f"{what} has no key {', '.join(missing)}")
    return [
        File(inside(item.path), data[item.key], _mode(item.mode, mode)) for item in wanted if item.key in data
    ]


def _mode(own: int | None, default: int | None) -> int:
    return next((mode for mode in (own, default) if mode is not None), DEFAULT_MODE)
