"""The graph of a machine: its states, its edges, and what is wrong with them. Pure."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proa.statemachine._annotations import AnnotationError, Target, targets, variables
from proa.statemachine._declare import declared
from proa.statemachine._state import R, State

Kind = type[State[Any]]


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a state to another.

    Attributes:
        source: The state that is left.
        target: The state that is entered, or `Done`.
        label: What it is taken for, where a decorator says that: an error, a time-out.
    """

    source: Kind
    target: Target
    label: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A way into the machine, and the states that it may begin with."""

    label: str
    targets: tuple[Target, ...]


@dataclass(slots=True)
class Graph:
    """What the annotations say, and what is wrong with it."""

    entries: list[Entry] = field(default_factory=list)
    edges: dict[Kind, tuple[Edge, ...]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def explore(entries: Mapping[str, Callable[..., object]], states: Iterable[Kind] | None) -> Graph:
    """Follow the edges from the entries on.

    Args:
        entries: By what they are called in messages: a state's class, or a function that chooses one.
        states: What must be reachable; None for the states of the same run in the modules of those found.
    """
    graph = Graph()
    for label, entry in entries.items():
        _enter(graph, label, entry)
    waiting = [target for entry in graph.entries for target in entry.targets]
    while waiting:
        kind = waiting.pop(0)
        if issubclass(kind, State) and kind not in graph.edges:
            graph.edges[kind] = tuple(_leave(graph, kind))
            waiting += [edge.target for edge in graph.edges[kind]]
    graph.problems += _unreachable(graph, states)
    return graph


def _enter(graph: Graph, label: str, entry: Callable[..., object]) -> None:
    name = getattr(entry, "__name__", str(entry))
    try:
        graph.entries.append(Entry(label, targets(entry)))
    except AnnotationError as error:
        graph.problems.append(f"{label} {name} {error}")
        return
    if isinstance(entry, type) and (missing := _required(entry)):
        graph.problems.append(
            f"{label} {name} cannot be made without {missing}: give a function that makes it from (run, obj)"
        )


def _required(entry: type) -> str:
    if entry.__init__ is object.__init__:  # type: ignore[misc]
        return ""
    parameters = list(inspect.signature(entry).parameters.values())
    kinds = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]
    return ", ".join(required)


def _leave(graph: Graph, kind: Kind) -> Iterator[Edge]:
    """Yield the edges of a state: those with a reason of their own, then those that have none."""
    following = kind.next
    try:
        plain = targets(following, kind)
    except AnnotationError as error:
        graph.problems.append(f"{kind.__name__}.next {error}")
        return
    explained: set[Target] = set()
    for edge in declared(following):
        try:
            aims = targets(edge.to)
        except AnnotationError as error:
            graph.problems.append(f"{kind.__name__}.next: what is taken for {edge.label} {error}")
            continue
        for target in aims:
            explained.add(target)
            if target not in plain:
                graph.problems.append(
                    f"{kind.__name__}.next goes to {target.__name__} for {edge.label}, which its annotation "
                    "does not name"
                )
            yield Edge(kind, target, edge.label)
    if not set(plain) - {kind}:
        graph.problems.append(f"{kind.__name__} has no way out: a state that nothing follows returns Done")
    yield from (Edge(kind, target) for target in plain if target not in explained)


def _unreachable(graph: Graph, states: Iterable[Kind] | None) -> list[str]:
    expected = _siblings(graph.edges) if states is None else states
    lost = [kind for kind in expected if kind not in graph.edges]
    return [f"{kind.__name__} cannot be reached: no edge leads to it" for kind in lost]


def _siblings(found: Mapping[Kind, Sequence[Edge]]) -> list[Kind]:
    """Return the states defined in the same modules for the same run, found or not."""
    modules = {kind.__module__ for kind in found}
    runs = [_run_of(kind) for kind in found]
    return [
        kind
        for module in sorted(modules)
        for kind in vars(sys.modules[module]).values()
        if isinstance(kind, type)
        and issubclass(kind, State)
        and kind.__module__ == module
        and not inspect.isabstract(kind)
        and not _is_base(kind)
        and _run_of(kind) in runs
    ]


def _run_of(kind: Kind) -> object:
    return variables(kind, State).get(R)


def _is_base(kind: Kind) -> bool:
    return bool(getattr(kind, "__parameters__", ())) or bool(kind.__subclasses__())
