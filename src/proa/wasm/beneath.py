"""Opening what lies beneath a directory that a guest may have filled: no path leads out of it.

A guest may put a symbolic link wherever it may write, and may do so between a check and its use. So paths are
opened step by step, each from the descriptor of the one before, and no link is followed.
"""

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import Final

_STEP: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_directory(base: Path, below: PurePosixPath, *, make: bool = False) -> int:
    """Open a directory and return its descriptor, which is only good to name it (`O_PATH`).

    Args:
        base: Where to start; links on the way to it are followed.
        below: Relative to `base`.
        make: Make the directories that are missing, each for whoever may use the one around it.

    Raises:
        OSError: There is no such directory; NotADirectoryError for a link in its place.
        ValueError: `below` is absolute or has `..` in it.
    """
    if below.is_absolute() or ".." in below.parts:
        raise ValueError(f"path {str(below)!r} must be relative and must not contain '..'")
    descriptor = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in below.parts:
        try:
            inner = _step(part, descriptor, make=make)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def open_file(base: Path, below: PurePosixPath) -> int:
    """Open a file for reading and return its descriptor. Only regular files are read, and never waited for.

    Raises:
        OSError: There is no such file, or something else lies there.
        ValueError: `below` is absolute or has `..` in it.
    """
    directory = open_directory(base, below.parent)
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(below.name, flags, dir_fd=directory)
    finally:
        os.close(directory)


def _step(part: str, directory: int, *, make: bool) -> int:
    try:
        return os.open(part, _STEP, dir_fd=directory)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(part, dir_fd=directory)
        made = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.fchmod(made, os.fstat(directory).st_mode & 0o777)
        finally:
            os.close(made)
    return os.open(part, _STEP, dir_fd=directory)
