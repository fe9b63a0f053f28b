"""Backups: one SQLite file with the objects as of one moment, and the cluster's keys and certificates.

A backup is taken beside a running server: SQLite gives a reader one consistent state while others write.

A restore is prepared in a directory of its own, and counts from the moment that this directory gets its final
name; what is left to do then is done by whoever opens the data directory next (`finish_restore`), should the
restore itself be killed. The state before is there until then, and so is not mixed with the one after.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from proa.controlplane._errors import ControlPlaneError

from ._database import APPLICATION, FORMAT
from ._directory import DATABASE, KEPT, RESTORED, data_lock, finish_restore, sync
from ._objects import COMPACTED

_PREPARED = "restore.preparing"
REVISIONS_AHEAD = 1_000_000
"""How far a restore moves on: clients have seen versions that the backup does not know, and must not meet
the same numbers again with other content.
"""


def back_up(directory: Path, target: Path) -> int:
    """Writes a backup of a data directory, whether a server is using it or not; returns its size in bytes.

    The file is readable by its owner only, as it holds the cluster's keys, and is there whole or not at all.

    Raises:
        ControlPlaneError: There is nothing to back up, or it cannot be read or written.
    """
    source = directory / DATABASE
    if not source.exists():
        raise ControlPlaneError(f"there is no cluster in {directory}: choose its directory with --data-dir")
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with _failing(f"cannot back up {directory} to {target}"):
            temporary.unlink(missing_ok=True)
            temporary.touch(mode=0o600)
            with closing(sqlite3.connect(source, timeout=30, isolation_level=None)) as connection:
                connection.execute("VACUUM INTO ?", (str(temporary),))
            _add_files(temporary, directory / KEPT)
            sync(temporary)
            size = temporary.stat().st_size
            temporary.replace(target)
            sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return size


def _add_files(backup: Path, folder: Path) -> None:
    with closing(sqlite3.connect(backup)) as connection, connection:
        connection.execute("CREATE TABLE files (name TEXT PRIMARY KEY, content BLOB NOT NULL)")
        files = [
            path for path in sorted(folder.glob("*")) if path.is_file() and not path.name.startswith(".")
        ]
        connection.executemany(
            "INSERT INTO files VALUES (?, ?)", [(path.name, path.read_bytes()) for path in files]
        )


def restore(backup: Path, directory: Path) -> int:
    """Puts a backup in the place of what a data directory holds; returns the number of objects.

    Killed at any moment, it leaves either all of the old state or all of the new. Clients of the server list
    anew: no version that they may have seen is taken for one of the new.

    Raises:
        ControlPlaneError: A server is using the directory, the file is no sound backup, or it cannot be
            copied.
    """
    if not backup.is_file():
        raise ControlPlaneError(f"cannot restore {backup}: there is no such file")
    with data_lock(directory), _failing(f"cannot restore {backup} to {directory}"):
        finish_restore(directory)
        prepared = directory / _PREPARED
        shutil.rmtree(prepared, ignore_errors=True)
        prepared.mkdir(mode=0o700)
        copy = prepared / DATABASE
        shutil.copyfile(backup, copy)
        copy.chmod(0o600)
        count = _prepare(backup, copy, prepared / KEPT, _newest(directory / DATABASE))
        for path in (copy, *(prepared / KEPT).iterdir(), prepared / KEPT, prepared):
            sync(path)
        prepared.rename(directory / RESTORED)
        sync(directory)
        finish_restore(directory)
    return count


def _newest(database: Path) -> int:
    """The newest revision of the state that is to be replaced; 0 if there is none that can be read."""
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(database)) as connection:
            newest: int | None = connection.execute("SELECT MAX(revision) FROM objects").fetchone()[0]
    except sqlite3.Error:
        return 0
    return newest or 0


def _prepare(backup: Path, copy: Path, folder: Path, newest: int) -> int:
    """Makes a copy of a backup what a server can use, unpacks its files; returns the number of objects."""
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(copy)) as connection, connection:
        _check(backup, connection)
        for name, content in connection.execute("SELECT name, content FROM files").fetchall():
            path = folder / Path(name).name
            path.touch(mode=0o600)
            path.write_bytes(content)
        connection.execute("DROP TABLE files")
        (restored,) = connection.execute("SELECT MAX(revision) FROM objects").fetchone()
        revision = max(newest, restored or 0) + REVISIONS_AHEAD
        connection.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, '', ?, NULL)", (*COMPACTED, revision)
        )
        count: int = connection.execute("SELECT COUNT(*) FROM objects WHERE body IS NOT NULL").fetchone()[0]
    return count


def _check(backup: Path, connection: sqlite3.Connection) -> None:
    try:
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError:
        sound, application, version = False, 0, 0
    if not sound or application != APPLICATION:
        raise ControlPlaneError(f"cannot restore {backup}: it is damaged, or no backup of `proa backup`")
    if version != FORMAT:
        raise ControlPlaneError(
            f"cannot restore {backup}: it has format {version}, and this Proa knows {FORMAT}"
        )


@contextmanager
def _failing(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise ControlPlaneError(f"{what}: {error}") from error
