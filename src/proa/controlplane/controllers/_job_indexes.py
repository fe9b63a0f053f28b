"""Sets of completion indexes as Job's status writes them: `0-2,5,7-9`."""

from __future__ import annotations

from collections.abc import Iterable


def parse(text: str | None, completions: int) -> frozenset[int]:
    """Read intervals, as far as they are below `completions`: a Job may have had more.

    Parts that are none are passed over, as a status may be written by anyone.
    """
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), min(int(last or first) + 1, completions)))
    return frozenset(found)


def text(indexes: Iterable[int]) -> str:
    """Write indexes as ascending intervals; those of two are written as two, as Kubernetes does."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(_run(run) for run in runs)


def _run(run: list[int]) -> str:
    return f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run))
