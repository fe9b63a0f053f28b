"""Invoices in an SQLite database: one file to back up, and an index that is there at once."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from proa.bindle.errors import InvoiceExistsError
from proa.bindle.invoice import Id, Invoice, encode, parse_invoice
from proa.oci import StorageError

__all__ = ("SqliteInvoices",)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS invoices (
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID, STRICT;
PRAGMA user_version = 1;
"""


class SqliteInvoices:
    """Invoices in `DIRECTORY/invoices.sqlite`. All methods block and may be called from any thread.

    Every write is on the disk when its method returns (write-ahead log, synchronous).
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "invoices.sqlite"
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the database, making it if need be.

        Raises:
            StorageError: it can't be opened.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"can't open {self._path}: {error}") from error
        self._database = database

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def get(self, bindle: Id) -> bytes | None:
        """Return an invoice's TOML, None where there is none."""
        with self._using() as database:
            row = database.execute(
                "SELECT content FROM invoices WHERE name = ? AND version = ?", (bindle.name, bindle.version)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def add(self, invoice: Invoice) -> bytes:
        """Store a new invoice durably and return its TOML.

        Raises:
            InvoiceExistsError: there is one of this id.
            StorageError: the disk refused.
        """
        try:
            return self._write("INSERT", invoice)
        except StorageError as error:
            if isinstance(error.__cause__, sqlite3.IntegrityError):
                raise InvoiceExistsError(f"{invoice.id} exists already; invoices never change") from None
            raise

    def replace(self, invoice: Invoice) -> bytes:
        """Store an invoice durably in the place of its earlier form, and return its TOML."""
        return self._write("REPLACE", invoice)

    def all(self) -> Iterator[Invoice]:
        """Yield every invoice, in the order of ids."""
        last = ("", "")
        while True:
            with self._using() as database:
                rows = database.execute(
                    "SELECT name, version, content FROM invoices WHERE (name, version) > (?, ?)"
                    " ORDER BY name, version LIMIT 500",
                    last,
                ).fetchall()
            if not rows:
                return
            last = rows[-1][:2]
            for _, _, content in rows:
                yield parse_invoice(bytes(content))

    def clear(self) -> None:
        """Remove all invoices."""
        with self._using() as database:
            database.execute("DELETE FROM invoices")

    def _write(self, verb: str, invoice: Invoice) -> bytes:
        content = encode(invoice)
        with self._using() as database:
            database.execute(f"{verb} INTO invoices VALUES (?, ?, ?)", (*_key(invoice.id), content))
        return content

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._database is None:
                raise StorageError(f"{self._path} is closed")
            try:
                yield self._database
            except sqlite3.Error as error:
                raise StorageError(f"can't use {self._path}: {error}") from error


def _key(bindle: Id) -> tuple[str, str]:
    return bindle.name, bindle.version
