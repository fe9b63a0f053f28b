"""Which repository has which blobs, manifests and tags: a small SQLite database beside the blobs.

All of it blocks, and none of it is for two threads at once: `_state` takes care of both. What a method
changed is on the disk when it returns.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from msgspec import json

from proa.oci.errors import StorageError

__all__ = ("Catalog", "ManifestRecord")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS blobs (
    repository TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS manifests (
    repository TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    subject TEXT, artifact_type TEXT, annotations TEXT NOT NULL, PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS referrers ON manifests (repository, subject);
CREATE INDEX IF NOT EXISTS blob_users ON blobs (digest);
CREATE INDEX IF NOT EXISTS manifest_users ON manifests (digest);
CREATE TABLE IF NOT EXISTS tags (
    repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, tag)
) WITHOUT ROWID;
"""
_COLUMNS: Final = "digest, media_type, size, subject, artifact_type, annotations"


@dataclass(frozen=True, slots=True)
class ManifestRecord:
    """What the catalog knows of a manifest."""

    digest: str
    media_type: str
    size: int
    subject: str | None
    artifact_type: str | None
    annotations: dict[str, str]


class Catalog:
    """An open catalog; `open` makes one and `close` ends it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the database at `path`, made if need be, for this process alone.

        Raises:
            StorageError: damaged, not ours, not writable, or open in another process.
        """
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except sqlite3.Error as error:
            connection.close()
            raise StorageError(_explain(path, error)) from error
        return cls(connection)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def has_repository(self, repository: str) -> bool:
        """Whether anything was ever pushed there and is still there."""
        return self._exists(
            "SELECT 1 FROM manifests WHERE repository = ? LIMIT 1", repository
        ) or self._exists("SELECT 1 FROM blobs WHERE repository = ? LIMIT 1", repository)

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository has the blob."""
        return self._exists("SELECT 1 FROM blobs WHERE repository = ? AND digest = ?", repository, digest)

    def add_blob(self, repository: str, digest: str) -> None:
        """Note that the repository has the blob."""
        self._connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (repository, digest))

    def remove_blob(self, repository: str, digest: str) -> bool:
        """Forget the blob in that repository; return whether it was there."""
        return self._changed("DELETE FROM blobs WHERE repository = ? AND digest = ?", repository, digest)

    def missing(self, repository: str, blobs: Iterable[str], manifests: Iterable[str]) -> list[str]:
        """Return those digests that the repository does not have."""
        lost = [digest for digest in blobs if not self.has_blob(repository, digest)]
        return lost + [digest for digest in manifests if self.manifest(repository, digest) is None]

    def put_manifest(self, repository: str, record: ManifestRecord, tag: str | None) -> None:
        """Note a manifest and, in the same transaction, what tag it has."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(
                "INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    repository,
                    record.digest,
                    record.media_type,
                    record.size,
                    record.subject,
                    record.artifact_type,
                    json.encode(record.annotations).decode(),
                ),
            )
            if tag is not None:
                self._connection.execute(
                    "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", (repository, tag, record.digest)
                )

    def manifest(self, repository: str, digest: str) -> ManifestRecord | None:
        """Return the manifest, if the repository has it."""
        rows = self._records(
            "SELECT * FROM manifests WHERE repository = ? AND digest = ?", repository, digest
        )
        return rows[0] if rows else None

    def resolve(self, repository: str, tag: str) -> str | None:
        """Return the digest that a tag stands for."""
        row = self._connection.execute(
            "SELECT digest FROM tags WHERE repository = ? AND tag = ?", (repository, tag)
        ).fetchone()
        return None if row is None else str(row[0])

    def remove_manifest(self, repository: str, digest: str) -> bool:
        """Forget the manifest and its tags in that repository; return whether it was there."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._changed("DELETE FROM tags WHERE repository = ? AND digest = ?", repository, digest)
            return self._changed(
                "DELETE FROM manifests WHERE repository = ? AND digest = ?", repository, digest
            )

    def remove_tag(self, repository: str, tag: str) -> bool:
        """Forget the tag; return whether it was there."""
        return self._changed("DELETE FROM tags WHERE repository = ? AND tag = ?", repository, tag)

    def is_used(self, digest: str) -> bool:
        """Whether any repository has content of that digest."""
        return self._exists("SELECT 1 FROM blobs WHERE digest = ? LIMIT 1", digest) or self._exists(
            "SELECT 1 FROM manifests WHERE digest = ? LIMIT 1", digest
        )

    def tags(self, repository: str, last: str, limit: int) -> list[str]:
        """Return up to `limit` tags after `last`, in order."""
        return self._names(
            "SELECT tag FROM tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?",
            repository,
            last,
            limit,
        )

    def repositories(self, last: str, limit: int) -> list[str]:
        """Return up to `limit` names of repositories with manifests after `last`, in order."""
        return self._names(
            "SELECT DISTINCT repository FROM manifests WHERE repository > ? ORDER BY repository LIMIT ?",
            last,
            limit,
        )

    def referrers(self, repository: str, subject: str) -> list[ManifestRecord]:
        """Return the manifests whose subject that is."""
        return self._records(
            "SELECT * FROM manifests WHERE repository = ? AND subject = ?", repository, subject
        )

    def _records(self, query: str, *values: str) -> list[ManifestRecord]:
        rows = self._connection.execute(query.replace("*", _COLUMNS), values)
        return [
            ManifestRecord(digest, media_type, size, subject, artifact_type, json.decode(annotations))
            for digest, media_type, size, subject, artifact_type, annotations in rows
        ]

    def _names(self, query: str, *values: str | int) -> list[str]:
        return [str(row[0]) for row in self._connection.execute(query, values)]

    def _exists(self, query: str, *values: str) -> bool:
        return self._connection.execute(query, values).fetchone() is not None

    def _changed(self, query: str, *values: str) -> bool:
        return self._connection.execute(query, values).rowcount > 0


def _explain(path: Path, error: sqlite3.Error) -> str:
    if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return f"{path.parent} is in use by another process: stop that or choose another directory"
    if isinstance(error, sqlite3.OperationalError):
        return f"can't open {path}: {error}; check its owner and that it is a file"
    return f"{path} is damaged ({error}): restore it, or move it away to begin anew"
