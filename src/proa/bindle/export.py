"""Parcels under their own names, as files. Blocks: call it in a thread."""

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from proa.bindle.errors import BindleError
from proa.bindle.invoice import Label

__all__ = ("export", "safe_path")


def safe_path(directory: Path, name: str) -> Path:
    """Return where a parcel of that name belongs below a directory.

    Raises:
        BindleError: the name would lead elsewhere, or is no file's.
    """
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith("/")
        or ".." in parts
        or not name.isprintable()
        or "\\" in name
        or ":" in parts[0]
    ):
        raise BindleError(f"a parcel is called {name[:200]!r}, which is no place below {directory}")
    return directory.joinpath(*parts)


def export(directory: Path, parcels: Iterable[tuple[Label, Path]]) -> list[Path]:
    """Copy parcels below a directory by their names; return where each is. Nothing is overwritten.

    Raises:
        BindleError: a name is not safe, two are the same, a file exists, or the disk refused.
    """
    planned: dict[Path, Path] = {}
    for label, source in parcels:
        target = safe_path(directory, label.name)
        if target in planned or target.exists():
            raise BindleError(f"{target} exists already; nothing is overwritten")
        planned[target] = source
    for target, source in planned.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(directory.resolve()):
                raise BindleError(f"{target} lies outside {directory}: a link leads there")
            with target.open("xb") as copy, source.open("rb") as content:
                shutil.copyfileobj(content, copy, 1024 * 1024)
        except OSError as error:
            raise BindleError(f"can't write {target}: {error.strerror or error}") from None
    return list(planned)
