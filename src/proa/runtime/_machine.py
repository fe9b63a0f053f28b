"""The watcher's state machine, without I/O: what to ask the server next, and what its answer means.

::

    Empty ──page──▶ Listing ──last page──▶ Watching ──change, bookmark, end, failure──▶ Watching
      ▲   ╰────────────last page─────────────▲  │
      ╰──────── 410, or no resourceVersion ─────╯

Where the server streams lists (KEP-3157), Streaming takes the place of Empty and Listing: one watch begins
with all there is and goes on from there.

A failed list page is asked for again, and a failed watch is resumed where it stood: only a resourceVersion or
continue token that the server has forgotten (410 Gone) leads back to a fresh list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias

from proa.runtime._events import Apply, Delete, Event, Init, InitApply, InitDone
from proa.runtime._object import K


@dataclass(frozen=True, slots=True)
class Empty:
    """Nothing is known: the first page of a list is wanted."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The list's next page is wanted."""

    continue_: str


@dataclass(frozen=True, slots=True)
class Streaming:
    """A watch that begins with all there is is wanted, or has not told all of it yet."""


@dataclass(frozen=True, slots=True)
class Watching:
    """A watch from `resource_version` is wanted, or open."""

    resource_version: str


State: TypeAlias = Empty | Listing | Streaming | Watching


@dataclass(frozen=True, slots=True)
class Listed(Generic[K]):
    """The server answered with a page."""

    items: Sequence[K]
    resource_version: str | None
    continue_: str | None


@dataclass(frozen=True, slots=True)
class Began:
    """A watch that begins with all there is was opened."""


@dataclass(frozen=True, slots=True)
class Changed(Generic[K]):
    """The watch said that `obj` was added or modified."""

    obj: K


@dataclass(frozen=True, slots=True)
class Deleted(Generic[K]):
    """The watch said that `obj` was deleted."""

    obj: K


@dataclass(frozen=True, slots=True)
class Bookmarked:
    """The watch said that everything up to `resource_version` has been sent."""

    resource_version: str | None
    initial_end: bool = False
    """Whether it ends what a streamed list begins with."""


Input: TypeAlias = Listed[K] | Began | Changed[K] | Deleted[K] | Bookmarked


def step(state: State, received: Input[K]) -> tuple[State, list[Event[K]]]:
    """Return the state that follows `state` when the server said `received`, and the events it amounts to.

    The clean end of a watch and most failures change nothing, so they are no inputs; 410 Gone means to begin
    anew.
    """
    match received:
        case Began():
            return state, [Init()]
        case Changed(obj) if isinstance(state, Streaming):
            return state, [InitApply(obj)]
        case Bookmarked(resource_version, initial_end) if isinstance(state, Streaming):
            return (_advanced(state, resource_version), [InitDone()]) if initial_end else (state, [])
        case Deleted() if isinstance(state, Streaming):
            return Empty(), []  # it should not come before the end: what was streamed cannot be relied on
        case Changed(obj):
            return _advanced(state, obj.metadata.resource_version), [Apply(obj)]
        case Bookmarked(resource_version):
            return _advanced(state, resource_version), []
        case Deleted(obj):
            return _advanced(state, obj.metadata.resource_version), [Delete(obj)]
        case Listed():
            return _listed(state, received)


def _listed(state: State, page: Listed[K]) -> tuple[State, list[Event[K]]]:
    events: list[Event[K]] = [Init()] if isinstance(state, Empty) else []
    events += [InitApply(obj) for obj in page.items]
    if page.continue_:
        return Listing(page.continue_), events
    return _advanced(Empty(), page.resource_version), [*events, InitDone()]


def _advanced(state: State, resource_version: str | None) -> State:
    return Watching(resource_version) if resource_version else state
