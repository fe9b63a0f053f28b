"""Invoices in an SQLite database, found by name and version; nothing is read into memory to begin with."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from proa.app.files import StorageError
from proa.bindle.invoice import Id, Invoice, encode, parse_invoice
from proa.bindle.storage.index import LAYOUT, PUT, REPLACE, SCHEMA, Found, Query, Selection
from proa.bindle.version import Version

__all__ = ("InvoiceIndex",)


class InvoiceIndex:
    """Invoices as JSON in a database. All methods block and may be called from any thread.

    Args:
        path: the database; made if need be.
        durable: every write is on the disk when its method returns. Otherwise a power cut may take the last
            ones, and never more than them.
    """

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._path = path
        self._durable = durable
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the database, making it if need be.

        Raises:
            StorageError: it can't be opened.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._prepare(self._database)
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise StorageError(f"can't open {self._path}: {error}") from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        database.execute("PRAGMA cache_size = -65536")
        with self.writing():
            (layout,) = database.execute("PRAGMA user_version").fetchone()
            if layout == 0:
                for statement in _statements(SCHEMA):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {LAYOUT}")
            elif layout != LAYOUT:
                raise StorageError(f"{self._path} was made by another version of Proa")

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def __len__(self) -> int:
        with self._using() as database:
            return int(database.execute("SELECT count(*) FROM invoices").fetchone()[0])

    def get(self, bindle: Id) -> Invoice | None:
        """Return an invoice, None where there is none."""
        with self._using() as database:
            row = database.execute(
                "SELECT content FROM invoices WHERE place = ?", (bindle.sha256,)
            ).fetchone()
        return None if row is None else parse_invoice(row[0], "json")

    def put(self, invoice: Invoice, *, stamp: int = 0, replace: bool = True) -> bool:
        """Store an invoice; return False where there is one and it must not be replaced.

        Args:
            invoice: what to store.
            stamp: what `stamps` shall say of it.
            replace: take the place of an earlier form.
        """
        bindle = invoice.id
        version = Version.parse(bindle.version)
        folded = bindle.name.casefold()
        row = (
            bindle.name,
            folded,
            bindle.version,
            version.key,
            version.release if version.pre else None,
            int(bool(invoice.yanked)),
            bindle.sha256,
            stamp,
            encode(invoice, "json"),
        )
        try:
            with self.writing() as database:
                database.execute(
                    "INSERT OR IGNORE INTO names (name, folded) VALUES (?, ?)",
                    (bindle.name, folded),
                )
                database.execute(PUT + REPLACE * replace, row)
        except StorageError as error:
            if isinstance(error.__cause__, sqlite3.IntegrityError):
                return False
            raise
        return True

    def stamps(self) -> dict[str, int]:
        """Return the stamps of all invoices by the sha256 of their ids."""
        with self._using() as database:
            return dict(database.execute("SELECT place, stamp FROM invoices").fetchall())

    def remove(self, place: str) -> None:
        """Forget an invoice by the sha256 of its id."""
        with self.writing() as database:
            database.execute("DELETE FROM invoices WHERE place = ?", (place,))

    def clear(self) -> None:
        """Forget all invoices."""
        with self.writing() as database:
            database.execute("DELETE FROM invoices")
            database.execute("DELETE FROM names")

    def all(self) -> Iterator[Invoice]:
        """Yield every invoice; what comes meanwhile may be among them."""
        last = 0
        while True:
            with self._using() as database:
                rows = database.execute(
                    "SELECT id, content FROM invoices WHERE id > ? ORDER BY id LIMIT 500", (last,)
                ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            for _, content in rows:
                yield parse_invoice(content, "json")

    def search(self, query: Query) -> Found:
        """Return the page of invoices that the query asks for."""
        wanted = Selection(query)
        if wanted.bounds is None:
            return Found([], 0)
        with self._using() as database:
            (total,) = database.execute(*wanted.count()).fetchone()
            rows = database.execute(*wanted.page(total)).fetchall() if query.offset < (total or 0) else []
        return Found([parse_invoice(content, "json") for (content,) in rows], total or 0)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Do several writes in one, or in the one that is under way."""
        with self._using() as database:
            if database.in_transaction:
                yield database
                return
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._database is None:
                raise StorageError(f"{self._path} is closed")
            try:
                yield self._database
            except sqlite3.Error as error:
                raise StorageError(f"can't use {self._path}: {error}") from error


def _statements(script: str) -> Iterator[str]:
    """Split a script, which `executescript` would run outside of the transaction."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
