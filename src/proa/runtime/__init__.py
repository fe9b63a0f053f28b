"""Watching objects and acting on them: what every controller, scheduler and node agent stands on.

Parts, from the bottom up; each is usable alone:

- `watcher`: the objects of one kind as an endless stream of events, over every failure.
- `Reflector` and its `Store`: the same, kept as a cache that any number of subscribers share; `indexes` to
  look objects up by. `Reflectors`: one watch for each resource and selection in a process.
- `Controller`: calls your reconciler for each object that something happened to: one run at a time for an
  object, retried with back-off, told to stop gracefully. `predicates`: which changes matter to it.
- `Dispatcher`: the controller's queue and hands alone, for keys of your own.
- `Finalizer`: keeps objects from vanishing before they are cleaned up after.
- `conditions`: waiting until an object is as one wants it. `LeaderElection`: of several processes, one works.
- `Recorder`: Events about objects, for people; `background`: tasks that end with their owner.

Start reading at `Controller`. The decisions are made by pure modules (`_machine`, `_known`, `_pacing`,
`_queue`, `_triggers`); the others only connect them to a server and a clock.
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy
from proa.runtime._background import background
from proa.runtime._controller import Action, Controller, Reconciler, Statistics
from proa.runtime._dispatcher import Dispatcher
from proa.runtime._events import Apply, Delete, Event, Init, InitApply, InitDone
from proa.runtime._finalizer import Finalizer
from proa.runtime._object import ObjectRef
from proa.runtime._reflector import Reflector, Subscription
from proa.runtime._sharing import Reflectors
from proa.runtime._store import Index, Store, StoreClosedError
from proa.runtime._trace import Reason, Run
from proa.runtime._triggers import Mapper
from proa.runtime._watcher import ErrorHandler, Source, Transform, watcher

if TYPE_CHECKING:
    from proa.runtime._leader import LeaderElection, LeadershipLostError, Terms
    from proa.runtime._recorder import Recorder
else:  # These need types of Kubernetes that take ten times as long to load as all the rest.
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "_leader": ("LeaderElection", "LeadershipLostError", "Terms"),
            "_recorder": ("Recorder",),
        },
    )

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
    "LeaderElection",
    "LeadershipLostError",
    "Mapper",
    "ObjectRef",
    "Reason",
    "Reconciler",
    "Recorder",
    "Reflector",
    "Reflectors",
    "Run",
    "Source",
    "Statistics",
    "Store",
    "StoreClosedError",
    "Subscription",
    "Terms",
    "Transform",
    "background",
    "watcher",
]
