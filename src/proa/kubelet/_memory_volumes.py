"""Volumes in memory (`emptyDir` of `medium: Memory`): directories in the machine's shared memory.

The pod's own directory holds a link to each, by which they are found again and removed. Where there is no
shared memory, or none that may be written to, the volume is on disk.
"""

import contextlib
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Final

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - closed to others below


def provide(link: Path) -> Path:
    """Make a volume, or find it; returns its directory. Blocks.

    Args:
        link: Where the pod's directory has it.
    """
    if not link.is_symlink():
        if link.is_dir() or not os.access(_SHARED_MEMORY, os.W_OK):
            return _open_to_guests(link)
        link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        link.symlink_to(_place(link))
    # After a reboot the link is there, and what it leads to is not.
    place = link.readlink()
    place.parent.mkdir(exist_ok=True, mode=0o700)
    return _open_to_guests(place)


def remove(volumes: Path) -> None:
    """Remove what the links among some volumes lead to. Blocks."""
    with contextlib.suppress(OSError):
        for link in volumes.iterdir():
            if link.is_symlink() and link.readlink().is_relative_to(_SHARED_MEMORY):
                shutil.rmtree(link.readlink(), ignore_errors=True)


def _place(link: Path) -> Path:
    name = sha256(os.fsencode(link.absolute())).hexdigest()[:32]
    return _SHARED_MEMORY / f"proa-kubelet-{os.geteuid()}" / name


def _open_to_guests(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Whoever the guest runs as; the directory around it is closed to all others.
    directory.chmod(0o777)
    return directory
