"""A look into a WebAssembly file: which functions it exports, without an engine. Pure but for reading it."""

from pathlib import Path
from typing import BinaryIO, Final

from proa.wagi.errors import SourceError

__all__ = ["exported_functions"]

_MODULE: Final = b"\0asm\1\0\0\0"
_EXPORTS: Final = 7
_FUNCTION: Final = 0


def exported_functions(path: Path) -> frozenset[str]:
    """Return the names of the functions that a core module exports; none for anything else.

    Raises:
        SourceError: The file is cut off, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _read_exports(file)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
    except (EOFError, UnicodeDecodeError):
        raise SourceError(f"{path} is no whole WebAssembly module") from None


def _read_exports(file: BinaryIO) -> frozenset[str]:
    if file.read(8) != _MODULE:
        return frozenset()
    while kind := file.read(1):
        length = _number(file)
        if kind[0] == _EXPORTS:
            return frozenset(_names(file))
        file.seek(length, 1)
    return frozenset()


def _names(file: BinaryIO) -> list[str]:
    names = []
    for _ in range(_number(file)):
        name = file.read(_number(file)).decode()
        kind = file.read(1)
        _number(file)
        if kind == bytes([_FUNCTION]):
            names.append(name)
    return names


def _number(file: BinaryIO) -> int:
    """Read an unsigned LEB128 number of at most 32 bits."""
    number = 0
    for shift in range(0, 35, 7):
        byte = file.read(1)
        if not byte:
            break
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number
    raise EOFError
