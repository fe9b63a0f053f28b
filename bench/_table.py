"""Figures, and tables of them in Markdown that can be copied to docs/benchmarks.md as they are."""

from collections.abc import Iterable, Sequence
from pathlib import Path


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


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
