"""The data directory: one server's at a time, and where a restore that was begun comes to its end."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proa.controlplane._errors import ControlPlaneError

DATABASE = "objects.db"
KEPT = "pki"
"""The directory that a backup has too: without it, nobody's credentials would be good after a restore."""
RESTORED = "restore.ready"
"""Where a restore has put what is to take the place of both."""


@contextmanager
def data_lock(directory: Path) -> Iterator[None]:
    """Keeps servers out of a data directory, which is made if it is not there.

    Raises:
        ControlPlaneError: One is using it.
    """
    lock = take_lock(directory)
    try:
        yield
    finally:
        os.close(lock)


def take_lock(directory: Path) -> int:
    """Takes the lock of a data directory, which is made if it is not there; to be closed by the caller.

    Raises:
        ControlPlaneError: A server has it, or the directory is unusable.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / "apiserver.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = (
            f"cannot use the state directory {directory}: {error.strerror}; choose another with --data-dir"
        )
        raise ControlPlaneError(message) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        message = f"another API server is using {directory}; stop it, or choose another --data-dir"
        raise ControlPlaneError(message) from error
    return lock


def finish_restore(directory: Path) -> None:
    """Does what is left of a restore that was killed, if there was one. The caller holds the lock."""
    ready = directory / RESTORED
    if not ready.exists():
        return
    if (ready / KEPT).exists():
        shutil.rmtree(directory / KEPT, ignore_errors=True)
        (ready / KEPT).rename(directory / KEPT)
    if (ready / DATABASE).exists():
        for suffix in ("-wal", "-shm"):  # of the state before: it must not be played into the new one
            (directory / f"{DATABASE}{suffix}").unlink(missing_ok=True)
        (ready / DATABASE).replace(directory / DATABASE)
    sync(directory)
    ready.rmdir()


def sync(path: Path) -> None:
    """Waits until a file or a directory is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
