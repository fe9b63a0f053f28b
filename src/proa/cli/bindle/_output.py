"""What people and programs see: documents, tables on a terminal, progress bars."""

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from proa.bindle.invoice import encode

if TYPE_CHECKING:
    from proa.bindle.client import Progress

__all__ = ("progress", "show", "table", "tell")


def tell(text: str) -> None:
    """Print a line of result."""
    sys.stdout.write(f"{text}\n")


def show(document: msgspec.Struct, form: str) -> None:
    """Print a document as `toml` or `json`."""
    tell(encode(document, "json" if form == "json" else "toml").decode().rstrip("\n"))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, separated by tabs elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            tell("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        # As Text, so that what others wrote is no markup.
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator["Progress"]:
    """Draw a progress bar on a terminal's standard error while bytes move."""
    if not sys.stderr.isatty():
        yield lambda _moved: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda moved: bar.advance(task, moved)
