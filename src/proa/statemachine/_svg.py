"""A machine as SVG: no program, font or script is needed to look at it; it follows dark and light themes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from proa.statemachine._layout import Box, Layout, Node, layout
from proa.statemachine._machine import INITIAL, Machine
from proa.statemachine._state import Done

HEIGHT = 34.0
CHARACTER = 7.6
PADDING = 22.0
DOT = 9.0
MARGIN = 24.0
LOOP = 26.0

Point = tuple[float, float]
START, END, ANY = "start", "end", "any"

STYLE = """
    svg { --ink: #1f2937; --line: #64748b; --box: #eff6ff; --edge: #3b82f6; --paper: #ffffff }
    @media (prefers-color-scheme: dark) {
      svg { --ink: #e5e7eb; --line: #94a3b8; --box: #1e293b; --edge: #60a5fa; --paper: #0f172a }
    }
    text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: var(--ink); text-anchor: middle }
    .why { font-size: 11px; fill: var(--line); paint-order: stroke; stroke: var(--paper); stroke-width: 4px }
    .state rect { fill: var(--box); stroke: var(--edge) }
    .any rect { fill: none; stroke: var(--line); stroke-dasharray: 4 3 }
    .any text { font-style: italic }
    .dot { fill: var(--ink) }
    .ring { fill: none; stroke: var(--ink) }
    .paper { fill: var(--paper) }
    path { fill: none; stroke: var(--line); stroke-width: 1.3 }
    marker path { fill: var(--line); stroke: none }
"""
DOCUMENT = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"
     viewBox="{left:.0f} {top:.0f} {width:.0f} {height:.0f}" role="img">
<title>{title}</title>
<style>{style}</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0.5 L8 4 L0 7.5 z"/></marker></defs>
<rect class="paper" x="{left:.0f}" y="{top:.0f}" width="100%" height="100%"/>
{parts}
</svg>
"""


def svg(machine: Machine[Any]) -> str:
    """Return the drawing as a document of its own. What a state's docstring says is its tooltip."""
    edges = list(_edges(machine))
    widths: dict[Node, float] = {START: 2 * DOT}
    if len(machine.entries) > 1:
        widths[ANY] = _width("any state")
    widths |= {kind: _width(kind.__name__) for kind in machine.edges}
    if any(target == END for _, target, _ in edges):
        widths[END] = 2 * DOT
    placed = layout(widths, [(source, target) for source, target, _ in edges])
    parts = "\n".join([*_arrows(placed, edges), *_nodes(placed)])
    left, top = -MARGIN, -MARGIN - HEIGHT / 2
    return DOCUMENT.format(
        left=left,
        top=top,
        width=placed.width + 2 * MARGIN + LOOP,
        height=placed.height + 2 * MARGIN + HEIGHT,
        title=escape(machine.name),
        style=STYLE,
        parts=parts,
    )


def _edges(machine: Machine[Any]) -> Iterator[tuple[Node, Node, str]]:
    for entry in machine.entries:
        source, label = (START, "") if entry.label == INITIAL else (ANY, entry.label)
        for target in entry.targets:
            yield source, _node(target), label
    for kind, edges in machine.edges.items():
        for edge in edges:
            yield kind, _node(edge.target), edge.label


def _node(target: type) -> Node:
    return END if target is Done else target


def _width(text: str) -> float:
    return len(text) * CHARACTER + PADDING


def _nodes(placed: Layout) -> Iterator[str]:
    for node, box in placed.boxes.items():
        if node in {START, END}:
            yield f'<circle class="dot" cx="{box.x:.1f}" cy="{box.y:.1f}" r="{DOT - 3 * (node == END):.0f}"/>'
            if node == END:
                yield f'<circle class="ring" cx="{box.x:.1f}" cy="{box.y:.1f}" r="{DOT:.0f}"/>'
        elif isinstance(node, type):
            summary = (inspect.getdoc(node) or "").partition("\n")[0]
            yield _box(box, node.__name__, "state", f"<title>{escape(summary)}</title>" if summary else "")
        else:
            yield _box(box, "any state", "any")


def _box(box: Box, text: str, style: str, title: str = "") -> str:
    left, top = box.x - box.width / 2, box.y - HEIGHT / 2
    return (
        f'<g class="{style}">{title}<rect x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" '
        f'height="{HEIGHT:.0f}" rx="8"/><text x="{box.x:.1f}" y="{box.y + 4.5:.1f}">{escape(text)}</text></g>'
    )


def _arrows(placed: Layout, edges: Sequence[tuple[Node, Node, str]]) -> Iterator[str]:
    reasons: dict[tuple[Node, Node], list[str]] = {}
    for source, target, label in edges:
        reasons.setdefault((source, target), []).extend([label] if label else [])
    ports = _Ports(placed)
    labels = []
    for (source, target), why in reasons.items():
        if source == target:
            path, middle = _loop(placed.boxes[source])
        else:
            points = ports.attached(source, target)
            path, middle = _curve(points), _middle(points)
        yield f'<path d="{path}" marker-end="url(#head)"/>'
        if why:
            text = escape(", ".join(why))
            labels.append(f'<text class="why" x="{middle[0]:.1f}" y="{middle[1] + 4:.1f}">{text}</text>')
    yield from labels


class _Ports:
    """Where edges leave and enter boxes: side by side, in the order of where they lead."""

    def __init__(self, placed: Layout) -> None:
        self._placed = placed
        sides: dict[tuple[Node, bool], list[tuple[float, tuple[Node, Node], int]]] = {}
        for edge, points in placed.routes.items():
            for node, end, near in ((edge[0], 0, points[1]), (edge[1], -1, points[-2])):
                below = near[1] > placed.boxes[node].y
                sides.setdefault((node, below), []).append((near[0], edge, end))
        self._at: dict[tuple[tuple[Node, Node], int], Point] = {}
        for (node, below), ends in sides.items():
            box = placed.boxes[node]
            half = DOT if node in {START, END} else HEIGHT / 2
            room = min(18.0, (box.width - 16) / max(1, len(ends) - 1)) if box.width > 2 * DOT else 0.0
            for index, (_, edge, end) in enumerate(sorted(ends, key=lambda item: item[0])):
                x = box.x + (index - (len(ends) - 1) / 2) * room
                self._at[edge, end] = (x, box.y + (half if below else -half))

    def attached(self, source: Node, target: Node) -> list[Point]:
        """Return the points of an edge, from border to border."""
        edge = (source, target)
        return [self._at[edge, 0], *self._placed.routes[edge][1:-1], self._at[edge, -1]]


def _curve(points: Sequence[Point]) -> str:
    x, y = points[0]
    parts = [f"M{x:.1f} {y:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        bend = (y1 - y0) * 0.45
        parts.append(f"C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}")
    return " ".join(parts)


def _middle(points: Sequence[Point]) -> Point:
    index = (len(points) - 1) // 2
    if len(points) % 2:
        return points[index]
    (x0, y0), (x1, y1) = points[index], points[index + 1]
    return (x0 + x1) / 2, (y0 + y1) / 2


def _loop(box: Box) -> tuple[str, Point]:
    x, y = box.x + box.width / 2, box.y
    path = (
        f"M{x:.1f} {y - 7:.1f} C{x + LOOP:.1f} {y - 20:.1f} {x + LOOP:.1f} {y + 20:.1f} {x:.1f} {y + 7:.1f}"
    )
    return path, (x + LOOP, y)
