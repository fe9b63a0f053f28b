"""A machine as Mermaid text, which many sites draw: https://mermaid.js.org/syntax/stateDiagram.html."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proa.statemachine._machine import INITIAL, Machine
from proa.statemachine._state import Done

ANY = "any_state"


def mermaid(machine: Machine[Any]) -> str:
    """Return the text of a state diagram."""
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in _lines(machine)), ""])


def _lines(machine: Machine[Any]) -> Iterator[str]:
    if len(machine.entries) > 1:
        yield f"{ANY} : any state"
    for entry in machine.entries:
        source, label = ("[*]", "") if entry.label == INITIAL else (ANY, entry.label)
        for target in entry.targets:
            yield _arrow(source, _name(target), label)
    for kind, edges in machine.edges.items():
        for edge in edges:
            yield _arrow(kind.__name__, _name(edge.target), edge.label)


def _name(target: type) -> str:
    return "[*]" if target is Done else target.__name__


def _arrow(source: str, target: str, label: str) -> str:
    return f"{source} --> {target}" + (f" : {label}" if label else "")
