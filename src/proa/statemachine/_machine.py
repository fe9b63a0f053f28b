"""The machine: defined once and checked then; run for each object."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, cast

from proa.statemachine._annotations import Target
from proa.statemachine._errors import MachineError, UndeclaredEdgeError
from proa.statemachine._graph import Edge, Entry, explore
from proa.statemachine._latest import Latest
from proa.statemachine._state import Done, R, State

Start: TypeAlias = Callable[[], State[R]] | Callable[[R, Any], State[R] | Done]
"""A state's class, or a function that chooses a state and names all it may choose in its annotation."""

Interrupt: TypeAlias = Callable[[R, Latest[Any]], Coroutine[Any, Any, State[R] | Done]]
"""Waits for something that takes the machine elsewhere, whatever state it is in."""

Entered: TypeAlias = Callable[[State[R]], Awaitable[None]]
"""Called with each state before its `next`."""

INITIAL, DELETED = "initial", "deleted"


class Machine(Generic[R]):
    """States that lead to each other, from the first to the last.

    ::

        POD = Machine("pod", initial=Admitting, deleted=Stopping)

        end = await POD.run(PodRun(...), Latest(pod))

    Everything is checked when the machine is made: every annotation names states, every state can be
    reached and can be left, every entry can be made.

    Args:
        name: What it is called in messages and drawings.
        initial: Where a run begins. A function that looks at the object makes it resume where an earlier
            process left it: its annotation names every state that it may resume at.
        deleted: Where it goes, from any state, when the object is to go; None to just stop.
        interrupts: What may take it elsewhere from any state but those of deletion; each happens at most
            once a run.
        states: All states that must be reachable. By default these are all states for the same run that
            are defined in the modules of those that are: a state that nothing leads to is a mistake.

    Raises:
        MachineError: it is not well defined, with every reason.
    """

    def __init__(
        self,
        name: str,
        *,
        initial: Start[R],
        deleted: Start[R] | None = None,
        interrupts: Sequence[Interrupt[R]] = (),
        states: Iterable[type[State[R]]] | None = None,
    ) -> None:
        self.name = name
        self._initial = initial
        self._deleted = deleted
        self._interrupts = tuple(interrupts)
        entries: dict[str, Callable[..., object]] = {INITIAL: initial}
        if deleted is not None:
            entries[DELETED] = deleted
        entries |= {interrupt.__name__: interrupt for interrupt in interrupts}
        graph = explore(entries, states)
        if graph.problems:
            raise MachineError(name, graph.problems)
        self.entries: tuple[Entry, ...] = tuple(graph.entries)
        """The ways in: `initial`, `deleted`, and the interrupts by name."""
        self.edges: Mapping[type[State[R]], tuple[Edge, ...]] = MappingProxyType(graph.edges)
        """Every state with the edges out of it, in the order they are reached."""
        self._allowed: dict[type, frozenset[Target]] = {
            kind: frozenset(edge.target for edge in edges) for kind, edges in graph.edges.items()
        }

    def __repr__(self) -> str:
        return f"<Machine {self.name} of {len(self.edges)} states>"

    @property
    def handles_deletion(self) -> bool:
        """Whether there is a branch for deletion."""
        return self._deleted is not None

    async def run(
        self,
        run: R,
        obj: Latest[Any],
        *,
        entered: Entered[R] | None = None,
        deleted: asyncio.Event | None = None,
    ) -> State[R] | None:
        """Go from state to state to the end.

        Args:
            run: What this run carries from state to state.
            obj: The object that it is about.
            entered: Called and awaited when a state is entered, before its `next`.
            deleted: Set when the object is to go: whatever state the machine is in is cancelled then, and
                the branch for deletion taken, to its end.

        Returns:
            The last state; None if it was done before it entered any.

        Raises:
            UndeclaredEdgeError: a state returned one that its annotation does not name.
            Exception: whatever a state raises and has not declared as an edge.
        """
        interrupts = list(self._interrupts)
        state = None if deleted and deleted.is_set() else self._begin(self._initial, INITIAL, run, obj)
        while state is not None:
            watches = [_named(interrupt(run, obj), interrupt.__name__) for interrupt in interrupts]
            if deleted is not None:
                watches.append(_named(_deleted(deleted), DELETED))
            last, fired = await _interruptible(self._walk(state, run, obj, entered), watches)
            if deleted is not None and deleted.is_set():
                break
            if fired is None:
                return last
            interrupts = [interrupt for interrupt in interrupts if interrupt.__name__ != fired.get_name()]
            state = self._taken(fired)
        return await self.delete(run, obj, entered=entered)

    async def delete(self, run: R, obj: Latest[Any], *, entered: Entered[R] | None = None) -> State[R] | None:
        """Go through the branch for deletion; returns and raises as `run`."""
        if self._deleted is None:
            return None
        return await self._walk(self._begin(self._deleted, DELETED, run, obj), run, obj, entered)

    async def _walk(
        self, state: State[R] | Done, run: R, obj: Latest[Any], entered: Entered[R] | None
    ) -> State[R] | None:
        last: State[R] | None = None
        while not isinstance(state, Done):
            last = state
            if entered is not None:
                await entered(state)
            state = await state.next(run, obj)
            if type(state) not in self._allowed[type(last)]:
                raise _undeclared(self.name, type(last).__name__, state)
        return last

    def _begin(self, start: Start[R], label: str, run: R, obj: Latest[Any]) -> State[R] | Done:
        if isinstance(start, type):
            return cast("State[R]", start())
        chosen = cast("Callable[[R, Any], State[R] | Done]", start)(run, obj.value)
        return self._checked(label, chosen)

    def _taken(self, interrupt: asyncio.Task[State[R] | Done]) -> State[R] | Done:
        return self._checked(interrupt.get_name(), interrupt.result())

    def _checked(self, label: str, chosen: State[R] | Done) -> State[R] | Done:
        entry = next(entry for entry in self.entries if entry.label == label)
        if type(chosen) not in entry.targets:
            raise _undeclared(self.name, label, chosen)
        return chosen


def _undeclared(machine: str, source: str, target: object) -> UndeclaredEdgeError:
    return UndeclaredEdgeError(
        f"{machine}: {source} led to {type(target).__name__}, which its annotation does not name"
    )


def _named(work: Coroutine[Any, Any, State[R] | Done], name: str) -> asyncio.Task[State[R] | Done]:
    return asyncio.create_task(work, name=name)


async def _deleted(event: asyncio.Event) -> Done:
    await event.wait()
    return Done()


async def _interruptible(
    walk: Coroutine[Any, Any, State[R] | None], watches: Sequence[asyncio.Task[State[R] | Done]]
) -> tuple[State[R] | None, asyncio.Task[State[R] | Done] | None]:
    """Walk until the end or until a watch ends; return the last state, and the watch if it was one."""
    if not watches:
        return await walk, None
    walking = asyncio.create_task(walk, name="walk")
    try:
        await asyncio.wait({walking, *watches}, return_when=asyncio.FIRST_COMPLETED)
        if walking.done():
            return walking.result(), None
        return None, next(watch for watch in watches if watch.done())
    finally:
        for task in (walking, *watches):
            task.cancel()
        await asyncio.gather(walking, *watches, return_exceptions=True)
