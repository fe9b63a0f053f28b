"""A small layered layout of directed graphs, after Sugiyama, Tagawa and Toda (1981). Pure.

Layers come from the longest path once edges that close a cycle are turned round; an edge over several
layers gets a point in each; points are ordered by the mean of their neighbours' places, and then pulled
towards them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

Node: TypeAlias = Hashable

SWEEPS = 24
GAP = 28.0
"""The least distance between two boxes of a layer."""
BEND = 24.0
"""The room that an edge passing through a layer takes."""
LAYER = 78.0
"""The distance between two layers."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a node is: its centre and its width."""

    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is."""

    boxes: dict[Node, Box]
    routes: dict[tuple[Node, Node], tuple[tuple[float, float], ...]]
    """For each edge the points that it passes, from the centre of its source to that of its target."""
    width: float
    height: float


def layout(widths: Mapping[Node, float], edges: Sequence[tuple[Node, Node]]) -> Layout:
    """Place nodes of the given widths in layers; the first node comes first. Loops need no route."""
    distinct = [edge for edge in dict.fromkeys(edges) if edge[0] != edge[1]]
    forward = _without_cycles(list(widths), distinct)
    rank = _ranks(list(widths), list(forward.values()))
    chains = {edge: _chain(edge, *downward, rank) for edge, downward in forward.items()}
    rows = _rows(widths, rank, chains.values())
    sizes = {point: widths.get(point, BEND) for row in rows for point in row}
    neighbours = _neighbours(chains.values())
    rows = _ordered(rows, rank, neighbours)
    xs = _columns(rows, sizes, neighbours)
    left = min(xs[point] - sizes[point] / 2 for point in xs)
    right = max(xs[point] + sizes[point] / 2 for point in xs)
    ys = {point: index * LAYER for index, row in enumerate(rows) for point in row}
    place = {point: (xs[point] - left, ys[point]) for point in xs}
    routes = {}
    for edge, chain in chains.items():
        points = tuple(place[point] for point in chain)
        routes[edge] = points if forward[edge] == edge else points[::-1]
    boxes = {node: Box(*place[node], widths[node]) for node in widths}
    return Layout(boxes, routes, right - left, (len(rows) - 1) * LAYER)


def _without_cycles(
    nodes: Sequence[Node], edges: Sequence[tuple[Node, Node]]
) -> dict[tuple[Node, Node], tuple[Node, Node]]:
    """Return each edge with the direction it is drawn in: one that leads back to an ancestor goes up."""
    out: dict[Node, list[Node]] = {node: [] for node in nodes}
    for source, target in edges:
        out[source].append(target)
    drawn: dict[tuple[Node, Node], tuple[Node, Node]] = {}
    done: set[Node] = set()

    def visit(node: Node, ancestors: frozenset[Node]) -> None:
        for target in out[node]:
            back = target in ancestors
            drawn[node, target] = (target, node) if back else (node, target)
            if not back and target not in done:
                visit(target, ancestors | {target})
        done.add(node)

    for node in nodes:
        if node not in done:
            visit(node, frozenset({node}))
    return drawn


def _ranks(nodes: Sequence[Node], edges: Sequence[tuple[Node, Node]]) -> dict[Node, int]:
    rank = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for source, target in edges:
            rank[target] = max(rank[target], rank[source] + 1)
    # A node that nothing above holds up comes down to what it leads to: shorter edges.
    has_parent = {target for _, target in edges}
    for node in nodes:
        below = [rank[target] for source, target in edges if source == node]
        if node not in has_parent and below:
            rank[node] = min(below) - 1
    return rank


def _chain(edge: tuple[Node, Node], source: Node, target: Node, rank: Mapping[Node, int]) -> list[Node]:
    between = [(edge, layer) for layer in range(rank[source] + 1, rank[target])]
    return [source, *between, target]


def _rows(nodes: Iterable[Node], rank: dict[Node, int], chains: Iterable[Sequence[Node]]) -> list[list[Node]]:
    rows: list[list[Node]] = [[] for _ in range(max(rank.values()) + 1)]
    for node in nodes:
        rows[rank[node]].append(node)
    for chain in chains:
        for offset, point in enumerate(chain[1:-1], 1):
            rank[point] = rank[chain[0]] + offset
            if point not in rows[rank[point]]:
                rows[rank[point]].append(point)
    return rows


def _neighbours(chains: Iterable[Sequence[Node]]) -> dict[Node, tuple[list[Node], list[Node]]]:
    """Return for each point those it is joined to in the layer above and in the layer below."""
    found: dict[Node, tuple[list[Node], list[Node]]] = {}
    for chain in chains:
        for point in chain:
            found.setdefault(point, ([], []))
        for above, below in pairwise(chain):
            found[above][1].append(below)
            found[below][0].append(above)
    return found


def _ordered(
    rows: list[list[Node]], rank: Mapping[Node, int], neighbours: Mapping[Node, tuple[list[Node], list[Node]]]
) -> list[list[Node]]:
    best, fewest = rows, _crossings(rows, neighbours)
    for sweep in range(SWEEPS):
        side = sweep % 2
        order = range(len(rows)) if side == 0 else reversed(range(len(rows)))
        rows = [list(row) for row in rows]
        for layer in order:
            place = {point: index for row in rows for index, point in enumerate(row)}

            def mean(point: Node, place: Mapping[Node, int] = place, side: int = side) -> float:
                near = neighbours.get(point, ([], []))[side]
                return sum(place[other] for other in near) / len(near) if near else place[point]

            rows[layer].sort(key=mean)
        if (crossings := _crossings(rows, neighbours)) < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(
    rows: Sequence[Sequence[Node]], neighbours: Mapping[Node, tuple[list[Node], list[Node]]]
) -> int:
    place = {point: index for row in rows for index, point in enumerate(row)}
    total = 0
    for row in rows:
        lines = [(place[p], place[q]) for p in row for q in neighbours.get(p, ([], []))[1]]
        total += sum(
            (a - c) * (b - d) < 0 for index, (a, b) in enumerate(lines) for c, d in lines[index + 1 :]
        )
    return total


def _columns(
    rows: Sequence[Sequence[Node]],
    sizes: Mapping[Node, float],
    neighbours: Mapping[Node, tuple[list[Node], list[Node]]],
) -> dict[Node, float]:
    xs: dict[Node, float] = {}
    for row in rows:
        _spread(row, dict.fromkeys(row, 0.0), sizes, xs)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else list(reversed(rows)):
            wanted = {}
            for point in row:
                near = [other for side in neighbours.get(point, ([], [])) for other in side]
                wanted[point] = sum(xs[other] for other in near) / len(near) if near else xs[point]
            _spread(row, wanted, sizes, xs)
    return xs


def _spread(
    row: Sequence[Node], wanted: Mapping[Node, float], sizes: Mapping[Node, float], xs: dict[Node, float]
) -> None:
    """Place a row as near to what is wanted as order and gaps allow: blocks that touch share their mean."""
    offsets: list[float] = []
    for index, point in enumerate(row):
        before = offsets[-1] + (sizes[row[index - 1]] + sizes[point]) / 2 + GAP if index else 0.0
        offsets.append(before)
    blocks: list[tuple[float, int]] = []
    for point, offset in zip(row, offsets, strict=True):
        blocks.append((wanted[point] - offset, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (mean, count), (other, more) = blocks.pop(), blocks.pop()
            blocks.append(((mean * count + other * more) / (count + more), count + more))
    origins = [mean for mean, count in blocks for _ in range(count)]
    for point, offset, origin in zip(row, offsets, origins, strict=True):
        xs[point] = origin + offset
