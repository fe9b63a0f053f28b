"""Machines as Mermaid text and as SVG, and the command that draws them."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.cli import main
from proa.statemachine import Done, Final, Latest, Machine, State, mermaid, svg, within
from proa.statemachine._layout import GAP, layout

SVG = "{http://www.w3.org/2000/svg}"


class Run: ...


class Closed(State[Run]):
    """Nobody gets <in>."""

    async def next(self, run: Run, door: Latest[Any]) -> Open | Stuck:
        return Open()


class Stuck(Final[Run]): ...


class Open(State[Run]):
    @within(30, to=Closed)
    async def next(self, run: Run, door: Latest[Any]) -> Open | Closed | Stuck:
        return self


class Removed(State[Run]):
    async def next(self, run: Run, door: Latest[Any]) -> Done:
        return Done()


DOOR = Machine("door", initial=Closed, deleted=Removed)


def test_mermaid_names_every_state_and_edge() -> None:
    assert mermaid(DOOR).split("\n") == [
        "stateDiagram-v2",
        "    any_state : any state",
        "    [*] --> Closed",
        "    any_state --> Removed : deleted",
        "    Closed --> Open",
        "    Closed --> Stuck",
        "    Removed --> [*]",
        "    Open --> Closed : after 30 s",
        "    Open --> Open",
        "    Open --> Stuck",
        "    Stuck --> [*]",
        "",
    ]


def test_svg_is_well_formed_and_names_every_state_and_reason() -> None:
    root = ElementTree.fromstring(svg(DOOR))
    texts = {element.text for element in root.iter(f"{SVG}text")}
    assert texts == {"Closed", "Open", "Stuck", "Removed", "any state", "after 30 s", "deleted"}
    assert "Nobody gets <in>." in {element.text for element in root.iter(f"{SVG}title")}
    arrows = [path for path in root.iter(f"{SVG}path") if path.get("marker-end")]
    assert len(arrows) == 9


graphs = st.integers(1, 9).flatmap(
    lambda count: st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=20).map(
        lambda edges: (count, edges)
    )
)


@settings(max_examples=200, deadline=None)
@given(graphs)
def test_boxes_never_overlap_and_edges_join_what_they_should(graph: tuple[int, list[Any]]) -> None:
    count, edges = graph
    widths: dict[Hashable, float] = {node: 40.0 + 7 * node for node in range(count)}
    placed = layout(widths, edges)
    for a, b in combinations(placed.boxes.values(), 2):
        assert a.y != b.y or abs(a.x - b.x) >= (a.width + b.width) / 2 + GAP - 1e-6
    for source, target in edges:
        if source != target:
            route = placed.routes[source, target]
            ends = (placed.boxes[source], placed.boxes[target])
            assert (route[0], route[-1]) == tuple((box.x, box.y) for box in ends)


def test_the_command_draws_what_a_module_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Path(__file__).read_text().partition("\ndef test")[0]
    (tmp_path / "drawn_door.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    assert main(["statemachine", "draw", "drawn_door:DOOR"]) == 0
    assert capsys.readouterr().out == mermaid(DOOR)
    assert main(["statemachine", "draw", "drawn_door:Closed", "-o", "door.svg"]) == 0
    ElementTree.fromstring((tmp_path / "door.svg").read_text())


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("nowhere", "names no machine: write MODULE:NAME"),
        ("proa_no_such_module:X", "cannot import 'proa_no_such_module'"),
        ("proa.statemachine:Latest", "is no Machine, Operator or State"),
        ("proa.statemachine:nothing", "is no Machine, Operator or State"),
    ],
)
def test_the_command_says_what_cannot_be_drawn(
    place: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["statemachine", "draw", place]) == 2
    assert problem in capsys.readouterr().err
