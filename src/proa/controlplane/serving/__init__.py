"""Requests to answers: the edge of the API server that speaks HTTP.

- `RequestInfo`: what a method and path mean: a verb on a resource, or a path that is none.
- `Dispatcher`: authenticates, authorises, finds who answers, and turns refusals into Status objects.
- `ObjectService`, `WatchService`: the verbs on objects.
- `representation`: objects, tables or metadata only, as the client accepts.

Start reading at `_dispatcher.py`.
"""

from ._dispatcher import Dispatcher

__all__ = ["Dispatcher"]
