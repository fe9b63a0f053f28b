"""Invoices on disk, in the reference implementation's layout: `invoices/<sha256 of the id>/invoice.toml`."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from proa.app import logs
from proa.bindle.errors import InvalidInvoiceError, InvoiceExistsError
from proa.bindle.invoice import Id, Invoice, encode, parse_invoice
from proa.bindle.storage._durable import put
from proa.oci._files import create_locked, storage_errors

__all__ = ("FileInvoices",)

log = logs.get_logger(__name__)


class FileInvoices:
    """Invoices as files. All methods block; any number of processes may share a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "invoices"
        self._drafts = directory / "uploads"

    def open(self) -> None:
        """Make the directories."""
        with storage_errors(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            self._drafts.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        """Nothing is held open."""

    def get(self, bindle: Id) -> bytes | None:
        """Return an invoice's TOML, None where there is none."""
        try:
            return self._path(bindle).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def add(self, invoice: Invoice) -> bytes:
        """Store a new invoice durably and return its TOML.

        Raises:
            InvoiceExistsError: there is one of this id.
            StorageError: the disk refused.
        """
        return self._write(invoice, replace=False)

    def replace(self, invoice: Invoice) -> bytes:
        """Store an invoice durably in the place of its earlier form, and return its TOML."""
        return self._write(invoice, replace=True)

    def all(self) -> Iterator[Invoice]:
        """Yield every invoice; one that can't be read is logged and left out."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self._directory) as entries:
            for entry in entries:
                path = Path(entry.path, "invoice.toml")
                try:
                    yield parse_invoice(path.read_bytes())
                except FileNotFoundError:
                    continue
                except (InvalidInvoiceError, OSError) as error:
                    log.warning("an invoice can't be read and is left out", path=str(path), error=str(error))

    def clear(self) -> None:
        """Remove all invoices."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self.open()

    def _path(self, bindle: Id) -> Path:
        return self._directory / bindle.sha256 / "invoice.toml"

    def _write(self, invoice: Invoice, *, replace: bool) -> bytes:
        content, target = encode(invoice), self._path(invoice.id)
        with storage_errors(self._directory):
            descriptor, draft = create_locked(self._drafts)
            try:
                os.write(descriptor, content)
                if not replace:
                    os.fsync(descriptor)
                    self._claim(draft, target, invoice.id)
                put(descriptor, draft, target)
            finally:
                draft.unlink(missing_ok=True)
                os.close(descriptor)
        return content

    @staticmethod
    def _claim(draft: Path, target: Path, bindle: Id) -> None:
        """Make `target` a second name of the draft, which fails where another writer was first."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(draft, target)
        except FileExistsError:
            raise InvoiceExistsError(f"{bindle} exists already; invoices never change") from None
