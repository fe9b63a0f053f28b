"""A UDP listener that hands each client's datagrams to an endpoint, and brings the answers back."""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from contextlib import suppress

from proa.controlplane.network._balancer import Balancer
from proa.controlplane.network._routes import Backend, Frontend

LARGEST = 65_535
AT_ONCE = 64
"""The most datagrams taken before others have their turn."""

IDLE_SECONDS = 60.0
MOST_CLIENTS = 4096
"""The most clients at a time; the one not heard of for longest makes room."""

Address = tuple[str, int]


class UdpListener:
    """Listens on a frontend from its construction to `close`.

    A client (address and port) stays with its endpoint until it has been silent for a minute, or the endpoint
    is no longer among those to choose from.

    Raises:
        OSError: The address is taken, or not permitted.
    """

    def __init__(self, frontend: Frontend, balancer: Balancer) -> None:
        self.balancer = balancer
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind((frontend.address, frontend.port))
        except BaseException:
            self._socket.close()
            raise
        self._clients: OrderedDict[Address, _Client] = OrderedDict()
        self._loop.add_reader(self._socket, self._receive)
        self._timer = self._loop.call_later(IDLE_SECONDS, self._sweep)

    @property
    def connections(self) -> int:
        """How many clients there are."""
        return len(self._clients)

    def close(self) -> None:
        """Stop, and forget all clients."""
        self._timer.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        for address in tuple(self._clients):
            self._forget(address)

    async def drain(self, seconds: float) -> None:
        """Do nothing: a datagram is under way or it is not."""

    def answer(self, data: bytes, address: Address) -> None:
        """Send an endpoint's datagram to a client; like any datagram it may be lost."""
        with suppress(OSError):
            self._socket.sendto(data, address)

    def _receive(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, address = self._socket.recvfrom(LARGEST)
            except OSError:
                return
            client = self._client(address)
            if client is not None:
                client.send(data, self._loop.time())

    def _client(self, address: Address) -> _Client | None:
        known = self._clients.get(address)
        if known is not None and known.backend in self.balancer.route.backends:
            self._clients.move_to_end(address)
            return known
        self._forget(address)
        backend = self.balancer.pick(address[0], self._loop.time())
        if backend is None:
            return None
        if len(self._clients) >= MOST_CLIENTS:
            self._forget(next(iter(self._clients)))
        try:
            client = self._clients[address] = _Client(self, address, backend)
        except OSError:
            return None
        return client

    def _forget(self, address: Address) -> None:
        client = self._clients.pop(address, None)
        if client is not None:
            client.close()

    def _sweep(self) -> None:
        oldest = self._loop.time() - IDLE_SECONDS
        for address, client in tuple(self._clients.items()):
            if client.heard < oldest:
                self._forget(address)
        self._timer = self._loop.call_later(IDLE_SECONDS / 4, self._sweep)


class _Client:
    """A client's own socket towards its endpoint."""

    def __init__(self, listener: UdpListener, address: Address, backend: Backend) -> None:
        self.backend = backend
        self._listener = listener
        self._address = address
        self._loop = asyncio.get_running_loop()
        self.heard = self._loop.time()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(backend)
        except BaseException:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self._receive)

    def send(self, data: bytes, now: float) -> None:
        self.heard = now
        with suppress(OSError):
            self._socket.send(data)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data = self._socket.recv(LARGEST)
            except OSError:
                return
            self.heard = self._loop.time()
            self._listener.answer(data, self._address)
