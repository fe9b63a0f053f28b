"""Files that are there entirely or not at all, whatever is killed when.

A writer fills a file of its own (`create_locked`) beside the place where it shall be, and renames it when it
is whole and on the disk (`put_in_place`). What killed writers leave behind, the next one removes
(`remove_leftovers`). All functions block: call them in a thread (`proa.app.threads.in_thread`).
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from proa.app.errors import ProaError

__all__ = ("StorageError", "create_locked", "put_in_place", "remove_leftovers", "storage_errors")

PREFIX = "ingest-"


class StorageError(ProaError):
    """The disk refused: not writable, full, not a directory, or in use by another process."""


@contextlib.contextmanager
def storage_errors(path: Path, kind: type[StorageError] = StorageError) -> Iterator[None]:
    """Turn an `OSError` into a `StorageError`, or a `kind` of it, that says what to do about `path`."""
    try:
        yield
    except OSError as error:
        raise kind(f"can't use {path}: {_explain(error)}") from error


def create_locked(directory: Path) -> tuple[int, Path]:
    """Create a new file with a unique name in `directory`; return its descriptor and path.

    It carries a lock for as long as this process has it open, by which `remove_leftovers` of any process
    tells a file still being written from one whose writer was killed.
    """
    while True:
        path = directory / f"{PREFIX}{os.urandom(12).hex()}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:  # 0: taken for a leftover between its creation and its lock
            return descriptor, path
        os.close(descriptor)


def remove_leftovers(directory: Path) -> None:
    """Remove what killed writers left behind in `directory`. Files being written, by any process, stay."""
    for path in directory.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another process cleans, too, or the file went into place
            _remove_unlocked(path)


def put_in_place(descriptor: int, source: Path, target: Path) -> None:
    """Rename the open file `source` to `target`, whose directory is made if need be.

    After a crash at any moment either all of the file is there or nothing.
    """
    os.fsync(descriptor)
    _make_directory(target.parent)
    source.replace(target)
    _sync_directory(target.parent)


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


def _make_directory(directory: Path) -> None:
    """Make `directory` so that a power failure can't take it away again with what is put into it."""
    if not directory.is_dir():
        _make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError) -> str:
    match error.errno:
        case errno.ENOTDIR | errno.EEXIST:
            return "a file is where a directory should be; move it away or choose another directory"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "it is not writable; change its owner or choose another directory"
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full"
        case _:
            return error.strerror or str(error)
