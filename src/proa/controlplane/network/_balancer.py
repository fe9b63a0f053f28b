"""Which endpoint a connection goes to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from proa.controlplane.network._routes import Backend, Route

REMEMBERED = 10_000
"""The most clients whose endpoint is kept in mind; the one not seen for longest is forgotten first."""


class Balancer:
    """Gives connections to endpoints in turn; with session affinity a client stays with its own."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._next = 0
        self._clients: OrderedDict[str, tuple[Backend, float]] = OrderedDict()

    @property
    def route(self) -> Route:
        """The endpoints to choose from."""
        return self._route

    def update(self, route: Route) -> None:
        """Choose from other endpoints from now on; clients of those that stay keep theirs."""
        self._route = route
        if route.affinity_seconds is None:
            self._clients.clear()

    def pick(self, client: str, now: float, avoid: Collection[Backend] = ()) -> Backend | None:
        """Return the endpoint for a connection of `client`, none of those to `avoid`; None if none is left.

        Args:
            client: The client's address.
            now: The time in seconds.
            avoid: Endpoints that could not be reached.
        """
        kept = self._kept(client, now)
        if kept is not None and kept not in avoid:
            chosen = kept
        else:
            left = [one for one in self._route.backends if one not in avoid]
            if not left:
                return None
            chosen = left[self._next % len(left)]
            self._next += 1
        self._keep(client, chosen, now)
        return chosen

    def _kept(self, client: str, now: float) -> Backend | None:
        backend, until = self._clients.get(client, (None, 0.0))
        return backend if backend in self._route.backends and now < until else None

    def _keep(self, client: str, backend: Backend, now: float) -> None:
        if self._route.affinity_seconds is None:
            return
        self._clients[client] = (backend, now + self._route.affinity_seconds)
        self._clients.move_to_end(client)
        if len(self._clients) > REMEMBERED:
            self._clients.popitem(last=False)
