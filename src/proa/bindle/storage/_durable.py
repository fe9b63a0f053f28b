"""Putting a file that nobody else sees yet in its place, so that a power cut can't take it back."""

import os
from pathlib import Path

from proa.app.files import put_in_place

__all__ = ("put",)


def put(descriptor: int, draft: Path, target: Path) -> None:
    """Rename the open file `draft` to `target`, in a directory of its own that may be new. Blocks."""
    put_in_place(descriptor, draft, target)
    above = os.open(target.parent.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(above)
    finally:
        os.close(above)
