"""The processes of a guest: one, and those that a server of requests has started."""

from collections.abc import Iterator
from pathlib import Path


def tree(pid: int) -> Iterator[int]:
    """A process and all below it, as far as they are there when they are asked for. Blocks for a moment."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except OSError:
        return
    for child in children:
        yield from tree(int(child))
