"""Invoices in an SQLite database: one file to back up, and nothing to read when a server starts."""

from collections.abc import Iterator
from pathlib import Path

from proa.bindle.errors import InvoiceExistsError
from proa.bindle.invoice import Id, Invoice
from proa.bindle.storage._stored import StoredInvoice
from proa.bindle.storage.database import InvoiceIndex
from proa.bindle.storage.index import Found, Query

__all__ = ("SqliteInvoices",)


class SqliteInvoices:
    """Invoices in `DIRECTORY/invoices.sqlite`. All methods block and may be called from any thread.

    Every write is on the disk when its method returns (write-ahead log, synchronous).
    """

    def __init__(self, directory: Path) -> None:
        self._index = InvoiceIndex(directory / "invoices.sqlite", durable=True)

    def open(self) -> None:
        """Open the database, making it if need be.

        Raises:
            StorageError: it can't be opened.
        """
        self._index.open()

    def close(self) -> None:
        """Close the database."""
        self._index.close()

    def get(self, bindle: Id) -> StoredInvoice | None:
        """Return an invoice, None where there is none."""
        invoice = self._index.get(bindle)
        return None if invoice is None else StoredInvoice(invoice)

    def add(self, invoice: Invoice) -> StoredInvoice:
        """Store a new invoice durably.

        Raises:
            InvoiceExistsError: there is one of this id.
            StorageError: the disk refused.
        """
        if not self._index.put(invoice, replace=False):
            raise InvoiceExistsError(f"{invoice.id} exists already; invoices never change")
        return StoredInvoice(invoice)

    def replace(self, invoice: Invoice) -> StoredInvoice:
        """Store an invoice durably in the place of its earlier form."""
        self._index.put(invoice)
        return StoredInvoice(invoice)

    def search(self, query: Query) -> Found:
        """Return a page of invoices."""
        return self._index.search(query)

    def all(self) -> Iterator[Invoice]:
        """Yield every invoice."""
        return self._index.all()

    def __len__(self) -> int:
        return len(self._index)

    def clear(self) -> None:
        """Remove all invoices."""
        self._index.clear()
