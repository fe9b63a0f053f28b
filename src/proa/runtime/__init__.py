"""Watching objects and acting on them: what every controller, scheduler and node agent stands on.

Parts, from the bottom up; each is usable alone:

- `watcher`: the objects of one kind as an endless stream of events, over every failure.
- `Reflector` and its `Store`: the same, kept as a cache with indexes that any number of subscribers share.
- `Controller`: calls your reconciler for each object that something happened to: one run at a time for an
  object,
  retried with back-off, told to stop gracefully.
- `Dispatcher`: the controller's queue and hands alone, for keys of your own.
- `Finalizer`: keeps objects from vanishing before they are cleaned up after.
- `Recorder`: Events about objects, for people; `background`: tasks that end with their owner.

Start reading at `Controller`. The decisions are made by pure modules (`_machine`, `_known`, `_pacing`,
`_queue`, `_triggers`); the others only connect them to a server and a clock.
"""

from typing import TYPE_CHECKING

from proa.runtime._background import background
from proa.runtime._controller import Action, Controller, Reconciler, Statistics
from proa.runtime._dispatcher import Dispatcher
from proa.runtime._events import Apply, Delete, Event, Init, InitApply, InitDone
from proa.runtime._finalizer import Finalizer
from proa.runtime._object import ObjectRef
from proa.runtime._reflector import Reflector, Subscription
from proa.runtime._store import Index, Store, StoreClosedError
from proa.runtime._triggers import Mapper
from proa.runtime._watcher import ErrorHandler, Source, watcher

if TYPE_CHECKING:
    from proa.runtime._recorder import Recorder

__all__ = [
    "Action",
    "Apply",
    "Controller",
    "Delete",
    "Dispatcher",
    "ErrorHandler",
    "Event",
    "Finalizer",
    "Index",
    "Init",
    "InitApply",
    "InitDone",
    "Mapper",
    "ObjectRef",
    "Reconciler",
    "Recorder",
    "Reflector",
    "Source",
    "Statistics",
    "Store",
    "StoreClosedError",
    "Subscription",
    "background",
    "watcher",
]


def __getattr__(name: str) -> object:
    # The recorder needs the types of core/v1, ten times as much to load as all the rest.
    if name != "Recorder":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from proa.runtime._recorder import Recorder

    return Recorder
