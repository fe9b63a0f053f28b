"""Invoices on disk, in the reference implementation's layout: `invoices/<sha256 of the id>/invoice.toml`.

Beside them is `index.sqlite`, by which they are searched. It is brought up to date when it is opened, also
with what other programs did to the files, and can be deleted at any time that nobody uses it.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from proa.app import logs
from proa.app.files import StorageError, create_locked, storage_errors
from proa.bindle.errors import InvalidInvoiceError, InvoiceExistsError
from proa.bindle.invoice import Id, Invoice, encode, parse_invoice
from proa.bindle.storage._durable import put
from proa.bindle.storage._stored import StoredInvoice
from proa.bindle.storage.database import InvoiceIndex
from proa.bindle.storage.index import Found, Query

__all__ = ("FileInvoices",)

log = logs.get_logger(__name__)


class FileInvoices:
    """Invoices as files. All methods block; any number of processes may share a directory without an index.

    Args:
        directory: where.
        indexed: keep an index, for `search`, `all` and `len`.
    """

    def __init__(self, directory: Path, *, indexed: bool = True) -> None:
        self._directory = directory / "invoices"
        self._drafts = directory / "uploads"
        self._index_path = directory / "index.sqlite"
        self._index = InvoiceIndex(self._index_path, durable=False) if indexed else None

    def open(self) -> None:
        """Make the directories, and bring the index up to date.

        Raises:
            StorageError: the disk refused.
        """
        with storage_errors(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            self._drafts.mkdir(parents=True, exist_ok=True)
            if self._index is not None:
                self._open(self._index)

    def close(self) -> None:
        """Close the index."""
        if self._index is not None:
            self._index.close()

    def get(self, bindle: Id) -> StoredInvoice | None:
        """Return an invoice, None where there is none."""
        try:
            content = self._path(bindle).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return StoredInvoice(parse_invoice(content), content)

    def add(self, invoice: Invoice) -> StoredInvoice:
        """Store a new invoice durably.

        Raises:
            InvoiceExistsError: there is one of this id.
            StorageError: the disk refused.
        """
        return self._write(invoice, replace=False)

    def replace(self, invoice: Invoice) -> StoredInvoice:
        """Store an invoice durably in the place of its earlier form."""
        return self._write(invoice, replace=True)

    def search(self, query: Query) -> Found:
        """Return a page of invoices."""
        assert self._index is not None
        return self._index.search(query)

    def all(self) -> Iterator[Invoice]:
        """Yield every invoice; one that can't be read was logged and left out."""
        assert self._index is not None
        return self._index.all()

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    def clear(self) -> None:
        """Remove all invoices."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._index is not None:
            self._index.clear()

    def _open(self, index: InvoiceIndex) -> None:
        try:
            index.open()
            self._update(index)
        except StorageError as error:
            log.warning("the index is made anew", path=str(self._index_path), error=str(error))
            index.close()
            for path in self._index_path.parent.glob(f"{self._index_path.name}*"):
                path.unlink()
            index.open()
            self._update(index)

    def _update(self, index: InvoiceIndex) -> None:
        known = index.stamps()
        with index.writing(), os.scandir(self._directory) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    path = f"{entry.path}/invoice.toml"
                    if (stamp := os.stat(path).st_mtime_ns) != known.pop(entry.name, None):  # noqa: PTH116 - fast
                        self._read_into(index, Path(path), stamp)
            for place in known:
                index.remove(place)

    @staticmethod
    def _read_into(index: InvoiceIndex, path: Path, stamp: int) -> None:
        try:
            index.put(parse_invoice(path.read_bytes()), stamp=stamp)
        except (InvalidInvoiceError, PermissionError) as error:
            index.remove(path.parent.name)
            log.warning("an invoice can't be read and is left out", path=str(path), error=str(error))

    def _path(self, bindle: Id) -> Path:
        return self._directory / bindle.sha256 / "invoice.toml"

    def _write(self, invoice: Invoice, *, replace: bool) -> StoredInvoice:
        content, target = encode(invoice), self._path(invoice.id)
        with storage_errors(self._directory):
            descriptor, draft = create_locked(self._drafts)
            try:
                os.write(descriptor, content)
                if not replace:
                    os.fsync(descriptor)
                    self._claim(draft, target, invoice.id)
                put(descriptor, draft, target)
                if self._index is not None:
                    self._index.put(invoice, stamp=os.fstat(descriptor).st_mtime_ns)
            finally:
                draft.unlink(missing_ok=True)
                os.close(descriptor)
        return StoredInvoice(invoice, content)

    @staticmethod
    def _claim(draft: Path, target: Path, bindle: Id) -> None:
        """Make `target` a second name of the draft, which fails where another writer was first."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(draft, target)
        except FileExistsError:
            raise InvoiceExistsError(f"{bindle} exists already; invoices never change") from None
