"""The SQLite file: one table, one writer thread, all that has queued committed as one statement.

Every commit is a single `INSERT … ON CONFLICT DO UPDATE` of all rows that waited, in autocommit mode: one
transaction, one fsync (`synchronous=FULL` in WAL mode), and the interpreter's lock let go and taken back
once, however many rows there are. A removed object stays as a row without a body until the next opening, so
that the highest revision is always in the table, or until there are many such rows.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from proa.controlplane._errors import ControlPlaneError

from ._directory import DATABASE, finish_restore, take_lock
from ._objects import Key, Stored

FORMAT = 1
APPLICATION = 0x50524F41
"""What `file` and a restore know our databases by: "PROA"."""
ROWS_PER_STATEMENT = 256
TRACES_KEPT = 20_000
"""How many traces of removed objects the table may hold before they are purged."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    uid TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB,
    PRIMARY KEY (resource, namespace, name)
)
"""
_REPLACE = """
ON CONFLICT DO UPDATE SET uid = excluded.uid, revision = excluded.revision, body = excluded.body
"""
"""What makes an insertion one over what is there: that stays in its place, and the index as it is."""
CACHE_KIB = 8 * 1024
"""How much of the file is kept in memory, so that no page is read again to be written."""
_PURGE = """
DELETE FROM objects WHERE body IS NULL
AND revision NOT IN (SELECT MAX(revision) FROM objects GROUP BY resource)
"""


class Row(NamedTuple):
    """One object as the table holds it; without a body it is the trace of a removed object."""

    resource: str
    namespace: str
    name: str
    uid: str
    revision: int
    body: bytes | None


class Write(msgspec.Struct, frozen=True):
    """A row to commit, and what its submitter knows it by.

    A failed commit fails all later writes of its epoch: they may build on what was lost.
    """

    row: Row
    token: object
    epoch: int


class Database:
    """The file that holds the objects, opened for this process alone.

    `submit` may be called from one thread; commits happen in the order of submission, in the writer
    thread, which then calls `committed` with the writes and None, or with the error that undid all of
    them.

    Raises:
        ControlPlaneError: The directory or file is unusable, or another server has it open.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / DATABASE
        self._lock = take_lock(directory)
        try:
            finish_restore(directory)
            self._connection = self._open()
        except BaseException:
            os.close(self._lock)
            raise
        self._queue: queue.SimpleQueue[list[Write] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failed_epoch = -1
        self._traces = 0
        self._failure: Exception | None = None

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.touch(mode=0o600)
            connection = sqlite3.connect(
                self.path,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=2 * ROWS_PER_STATEMENT,
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(str(error)) from error
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, FORMAT}:
            raise self._unusable(f"it has format {version}, and this Proa knows {FORMAT}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # a new file's; that of an old one stays
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute(_SCHEMA)
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        _purge(connection)

    def _unusable(self, why: str) -> ControlPlaneError:
        return ControlPlaneError(
            f"cannot use the database {self.path}: {why}; restore it from a backup or move it away"
        )

    def load(self) -> Iterator[tuple[Key, int, Stored | None]]:
        """All rows: key, revision, and the object unless it was removed.

        Raises:
            ControlPlaneError: The file is damaged.
        """
        try:
            for row in self._connection.execute("SELECT * FROM objects"):
                key = Key(*row[:3])
                yield key, row[4], None if row[5] is None else Stored(key, row[3], row[4], row[5])
        except (sqlite3.Error, ValueError) as error:
            raise self._unusable(str(error)) from error

    def start(self, committed: Callable[[list[Write], Exception | None], None]) -> None:
        """Starts the writer thread."""
        self._thread = threading.Thread(target=self._run, args=(committed,), name="proa-store", daemon=True)
        self._thread.start()

    def submit(self, writes: list[Write]) -> None:
        """Queues rows for the next commit; more than `ROWS_PER_STATEMENT` of them for the next few.

        Each call wakes the writer thread, so few calls with many rows cost less.
        """
        for start in range(0, len(writes), ROWS_PER_STATEMENT):
            self._queue.put(writes[start : start + ROWS_PER_STATEMENT])

    def close(self) -> None:
        """Commits what has queued, ends the writer thread, and lets go of the file. Blocks for the time
        of a commit.
        """
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        self._connection.close()
        os.close(self._lock)

    def _run(self, committed: Callable[[list[Write], Exception | None], None]) -> None:
        ending = False
        while not ending:
            batch, ending = self._next_batch()
            lost = [write for write in batch if write.epoch <= self._failed_epoch]
            sound = [write for write in batch if write.epoch > self._failed_epoch]
            if lost:
                committed(lost, self._failure)
            if sound:
                committed(sound, self._commit(sound))

    def _next_batch(self) -> tuple[list[Write], bool]:
        batch: list[Write] = []
        first = True
        while first or (len(batch) < ROWS_PER_STATEMENT and not self._queue.empty()):
            first = False
            writes = self._queue.get()
            if writes is None:
                return batch, True
            batch += writes
        return batch, False

    def _commit(self, writes: Sequence[Write]) -> Exception | None:
        self._traces += sum(write.row.body is None for write in writes)
        places = ",".join(["(?,?,?,?,?,?)"] * len(writes))
        values = [value for write in writes for value in write.row]
        try:
            statement = f"INSERT INTO objects VALUES {places} {_REPLACE}"  # noqa: S608 - only places
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            self._failed_epoch, self._failure = writes[-1].epoch, error
            return error
        if self._traces >= TRACES_KEPT:
            self._purge()
        return None

    def _purge(self) -> None:
        """Forgets removed objects, so that the file is as large as what is in it, not as what ever was."""
        self._traces = 0
        with suppress(sqlite3.Error):  # the next purge, or the next opening, does it
            _purge(self._connection)


def _purge(connection: sqlite3.Connection) -> None:
    connection.execute(_PURGE)
    connection.executescript("PRAGMA incremental_vacuum")  # a script: `execute` would give back one page only
