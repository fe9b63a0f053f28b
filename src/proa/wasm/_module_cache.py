"""Keeping the cache of compiled modules within bounds."""

import contextlib
import time
from collections.abc import Collection
from pathlib import Path


def remove_modules(cache_dir: Path, kept: Collection[str], least_age: float) -> int:
    """Remove compiled modules, those of other versions of the engine included. Blocks.

    Whoever runs such a module runs on: its pages stay until the last process that has mapped them ends.

    Args:
        cache_dir: As of `Sandboxes.open`.
        kept: The digests of modules that stay, in hex.
        least_age: Seconds since a module was compiled before which it stays.

    Returns:
        How many were removed.
    """
    removed, youngest = 0, time.time() - least_age
    for entry in cache_dir.glob("*/*.cwasm"):
        with contextlib.suppress(FileNotFoundError):
            if entry.stem not in kept and entry.stat().st_mtime <= youngest:
                entry.with_suffix(".sha256").unlink(missing_ok=True)
                entry.unlink()
                removed += 1
    return removed
