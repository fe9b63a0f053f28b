"""Objects kept durably, read from memory, and every change told in order.

- `Store`: what the rest of the API server uses. Reads come from an index in memory; a write is answered
  after its commit.
- `Database`: the SQLite file behind it, with a writer thread that commits all that has queued as one
  transaction.
- `back_up`, `restore`: that file, and the cluster's keys, as one file of its own.
- `Index`, `History`: pure: the objects in name order, and the recent changes that watches resume from.

One revision counter numbers all changes; an object's `resourceVersion` is the revision of its last change.
Start reading at `_store.py`.
"""

from ._backup import back_up, restore
from ._database import Database
from ._history import CompactedError, Event, History
from ._index import Index
from ._objects import Key, Stored
from ._store import Store

__all__ = [
    "CompactedError",
    "Database",
    "Event",
    "History",
    "Index",
    "Key",
    "Store",
    "Stored",
    "back_up",
    "restore",
]
