"""Figures, and tables of them in Markdown that can be copied to docs/benchmarks.md as they are."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple


def show(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> None:
    """Print one table."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for row in rows:
        print("| " + " | ".join(_cell(value) for value in row) + " |")
    if note:
        print(f"\n{note}")


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` (0 to 1) of all values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def private_bytes(pid: int) -> int:
    """What only this process has in memory: Private_Clean and Private_Dirty of its smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


class Spent(NamedTuple):
    """Seconds of processor time, and how often a thread was given a processor."""

    seconds: float
    turns: int


def spent(pids: Iterable[int]) -> Spent:
    """What all threads of these processes have spent so far, as the kernel counts it: `schedstat`."""
    threads = [place for pid in pids for place in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    figures = [place.read_text().split() for place in threads]
    return Spent(sum(int(one[0]) for one in figures) / 1e9, sum(int(one[2]) for one in figures))


def parent(pid: int) -> int:
    """The process that started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
