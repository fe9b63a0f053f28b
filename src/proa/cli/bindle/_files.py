"""Reading and writing files that the user names. Blocks: call it in a thread."""

import hashlib
import mimetypes
import os
from pathlib import Path

from proa.bindle.errors import BindleError
from proa.bindle.invoice import Invoice, Label, parse_invoice

__all__ = ("label_of", "read_invoice", "write_new")


def read_invoice(path: Path) -> Invoice:
    """Read an invoice, in JSON where the name says so.

    Raises:
        BindleError: it can't be read or is none; names the file.
    """
    try:
        return parse_invoice(path.read_bytes(), "json" if path.suffix == ".json" else "toml")
    except OSError as error:
        raise BindleError(f"can't read {path}: {error.strerror or error}") from None
    except BindleError as error:
        raise BindleError(f"{path}: {error}") from None


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet.

    Raises:
        BindleError: it is there, or the disk refused.
    """
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise BindleError(f"{path} exists already; nothing is overwritten") from None
    except OSError as error:
        raise BindleError(f"can't write {path}: {error.strerror or error}") from None


def label_of(path: Path, name: str | None, media_type: str | None) -> Label:
    """Return the label of a file.

    Raises:
        BindleError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise BindleError(f"can't read {path}: {error.strerror or error}") from None
    guessed = "application/wasm" if path.suffix == ".wasm" else mimetypes.guess_type(path.name)[0]
    media_type = media_type or guessed or "application/octet-stream"
    return Label(sha256=digest, media_type=media_type, name=name or path.name, size=size)
