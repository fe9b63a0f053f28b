"""Directories of files that change all at once, laid out as Kubernetes' kubelet does.

::

    volume/..2026-11-21.x7f3/key      the files themselves, in a directory that never changes
    volume/..data -> ..2026-11-21.x7f3
    volume/key -> ..data/key

A guest that opens `key` reads the new content as soon as `..data` points elsewhere, and never half of it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from proa.kubelet._volume_files import File

_DATA: Final = "..data"


def is_written(directory: Path) -> bool:
    """Whether the directory has been written before."""
    return (directory / _DATA).is_symlink()


def data_directory(directory: Path) -> Path:
    """Where the files are now, without a link on the way."""
    return directory / (directory / _DATA).readlink()


def write(directory: Path, files: Iterable[File], owner: int | None = None) -> bool:
    """Make the directory hold exactly these files; return whether anything changed. Blocks.

    A crash at any moment leaves the old files or the new ones.

    Args:
        directory: Made if need be.
        files: What it is to hold.
        owner: The user that the files belong to; None is this process's own.
    """
    wanted = {str(file.path): file for file in files}
    directory.mkdir(parents=True, exist_ok=True)
    old = data_directory(directory) if is_written(directory) else None
    if old is not None and _holds(old, wanted):
        return False
    new = Path(tempfile.mkdtemp(prefix=f"..{datetime.now(UTC):%Y-%m-%d_%H_%M_%S}.", dir=directory))
    new.chmod(0o755)
    for file in wanted.values():
        _write(new / file.path, file, owner)
    _point(directory / _DATA, new.name)
    _expose(directory, {file.path.parts[0] for file in wanted.values()})
    for stale in directory.glob("..2*"):
        if stale != new:
            shutil.rmtree(stale, ignore_errors=True)
    return True


def _holds(data: Path, wanted: dict[str, File]) -> bool:
    present = {str(path.relative_to(data)): path for path in data.rglob("*") if path.is_file()}
    return present.keys() == wanted.keys() and all(
        path.read_bytes() == wanted[name].content for name, path in present.items()
    )


def _write(target: Path, file: File, owner: int | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as opened:  # noqa: PTH123
        opened.write(file.content)
        os.fchmod(descriptor, file.mode & 0o777)
        if owner is not None:
            os.fchown(descriptor, owner, owner)


def _point(link: Path, target: str) -> None:
    draft = link.with_name(f"{link.name}_tmp")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.rename(link)


def _expose(directory: Path, names: set[str]) -> None:
    """Link the first part of each file's path; remove the links that lead nowhere now."""
    for name in names:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    for entry in directory.iterdir():
        if entry.is_symlink() and entry.name not in names and not entry.name.startswith(".."):
            entry.unlink()
