"""Standalone bindles: an invoice and its parcels in a directory or tarball, as the reference writes them.

The directory is called by the invoice's storage key and has `invoice.toml` and `parcels/SHA256.dat`; the
tarball `KEY.tar.gz` holds that directory. All functions block: call them in a thread.
"""

import gzip
import hashlib
import secrets
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from proa.bindle.errors import (
    BindleError,
    InvalidInvoiceError,
    ParcelMismatchError,
    StandaloneError,
)
from proa.bindle.invoice import INVOICE_LIMIT, Invoice, Label, encode, is_digest, parse_invoice

__all__ = ("Standalone", "pack", "read_standalone", "unpack", "write_standalone")

_BLOCK: Final = 1024 * 1024


class Standalone:
    """A standalone bindle on disk.

    Attributes:
        directory: where its invoice is.
        invoice: what it is.
    """

    def __init__(self, directory: Path, invoice: Invoice) -> None:
        self.directory = directory
        self.invoice = invoice

    def path(self, label: Label) -> Path:
        """Return where a parcel is.

        Raises:
            StandaloneError: the invoice has no such parcel, or one with a digest that no content can have.
        """
        if self.invoice.label(label.sha256) is None or not is_digest(label.sha256):
            raise StandaloneError(f"{self.invoice.id} has no parcel {label.sha256}")
        return self.directory / "parcels" / f"{label.sha256}.dat"

    def verify(self) -> None:
        """Read every parcel and check that it is what its label says.

        Raises:
            ParcelMismatchError: one is not, or is not there.
        """
        for label in self.invoice.labels:
            try:
                with self.path(label).open("rb") as file:
                    _copy_checked(file, None, label)
            except OSError as error:
                raise ParcelMismatchError(f"can't read {self.path(label)}: {error.strerror}") from None


def read_standalone(path: Path, key: str | None = None) -> Standalone:
    """Read a standalone bindle's invoice.

    Args:
        path: its directory, or one that holds it under its key.
        key: the invoice's storage key.

    Raises:
        StandaloneError: it is none; says why.
    """
    directory = path / key if key and (path / key).is_dir() else path
    try:
        with (directory / "invoice.toml").open("rb") as file:
            invoice = parse_invoice(file.read(INVOICE_LIMIT + 1))
    except (OSError, InvalidInvoiceError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise StandaloneError(f"{directory} is no standalone bindle: invoice.toml: {told}") from None
    if key is not None and invoice.id.sha256 != key:
        raise StandaloneError(f"{directory} holds {invoice.id}, not the bindle that was asked for")
    return Standalone(directory, invoice)


def write_standalone(parent: Path, invoice: Invoice, source: Callable[[Label], Path]) -> Standalone:
    """Write a standalone bindle into a new directory below `parent`, entirely or not at all.

    Raises:
        StandaloneError: it exists already, or the disk refused.
        ParcelMismatchError: what a source holds is not what the label says.
    """
    target = parent / invoice.id.sha256
    draft = parent / f".{invoice.id.sha256}.{secrets.token_hex(6)}"
    try:
        if target.exists():
            raise StandaloneError(f"{target} exists already; nothing is overwritten")
        (draft / "parcels").mkdir(parents=True)
        standalone = Standalone(draft, invoice)
        (draft / "invoice.toml").write_bytes(encode(invoice))
        for label in invoice.labels:
            with source(label).open("rb") as file, standalone.path(label).open("xb") as copy:
                _copy_checked(file, copy, label)
        draft.rename(target)
    except OSError as error:
        raise StandaloneError(f"can't write {target}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Standalone(target, invoice)


def pack(standalone: Standalone, parent: Path) -> Path:
    """Write the tarball of a standalone bindle into `parent` and return where it is.

    The same bindle gives the same bytes.

    Raises:
        StandaloneError: it exists already, or the disk refused.
    """
    key = standalone.invoice.id.sha256
    target, draft = parent / f"{key}.tar.gz", parent / f".{key}.{secrets.token_hex(6)}"
    try:
        if target.exists():
            raise StandaloneError(f"{target} exists already; nothing is overwritten")
        with (
            draft.open("xb") as file,
            _gzip(file) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            _add(archive, standalone.directory / "invoice.toml", f"{key}/invoice.toml")
            for label in standalone.invoice.labels:
                _add(archive, standalone.path(label), f"{key}/parcels/{label.sha256}.dat")
        draft.rename(target)
    except OSError as error:
        raise StandaloneError(f"can't write {target}: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)
    return target


def unpack(tarball: Path, parent: Path) -> Standalone:
    """Unpack a tarball into a new directory below `parent`.

    Only regular files with the names of a standalone bindle are taken, each no larger than its label says and
    with the digest that its name says; so a hostile tarball can neither leave the directory nor fill the
    disk.

    Raises:
        StandaloneError: it is no standalone bindle, or exists already.
        ParcelMismatchError: a parcel is not what its label says.
    """
    draft = parent / f".unpack.{secrets.token_hex(6)}"
    try:
        (draft / "parcels").mkdir(parents=True)
        with tarfile.open(tarball, "r:gz") as archive:
            invoice = _unpacked_invoice(archive, tarball)
            target = parent / invoice.id.sha256
            if target.exists():
                raise StandaloneError(f"{target} exists already; nothing is overwritten")
            (draft / "invoice.toml").write_bytes(encode(invoice))
            _unpack_parcels(archive, Standalone(draft, invoice))
        draft.rename(target)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise StandaloneError(
            f"can't unpack {tarball}: {getattr(error, 'strerror', None) or error}"
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Standalone(target, invoice)


def _unpacked_invoice(archive: tarfile.TarFile, tarball: Path) -> Invoice:
    for member in archive:
        if member.isreg() and member.name.removeprefix("./").partition("/")[2] == "invoice.toml":
            file = archive.extractfile(member)
            assert file is not None
            try:
                return parse_invoice(file.read(INVOICE_LIMIT + 1))
            except BindleError as error:
                raise StandaloneError(f"{tarball}: {error}") from None
    raise StandaloneError(f"{tarball} holds no invoice.toml in a directory")


def _unpack_parcels(archive: tarfile.TarFile, standalone: Standalone) -> None:
    key = standalone.invoice.id.sha256
    wanted = {f"{key}/parcels/{label.sha256}.dat": label for label in standalone.invoice.labels}
    for member in archive:
        label = wanted.pop(member.name.removeprefix("./"), None)
        if label is not None and member.isreg() and (file := archive.extractfile(member)) is not None:
            with standalone.path(label).open("xb") as copy:
                _copy_checked(file, copy, label)


def _copy_checked(source: IO[bytes], target: IO[bytes] | None, label: Label) -> None:
    digest, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        size += len(block)
        if size > label.size:
            break
        digest.update(block)
        if target is not None:
            target.write(block)
    if (size, digest.hexdigest()) != (label.size, label.sha256):
        raise ParcelMismatchError(f"parcel {label.name!r} ({label.sha256}) is not what its label says")


def _gzip(file: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0, compresslevel=6)


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = path.stat().st_size
    with path.open("rb") as file:
        archive.addfile(member, file)
