"""A TCP listener that hands each connection to an endpoint."""

from __future__ import annotations

import asyncio
import errno
import socket

from proa.app import logs
from proa.controlplane.network._balancer import Balancer
from proa.controlplane.network._relay import Relay, reset, without_pacing
from proa.controlplane.network._routes import Backend, Frontend

log = logs.get_logger(__name__)

BACKLOG = 1024
AT_ONCE = 64
"""The most connections accepted before others have their turn."""

CONNECT_SECONDS = 5.0
EXHAUSTED_SECONDS = 0.5
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class TcpListener:
    """Listens on a frontend from its construction to `close`.

    An endpoint that refuses is passed over for another: nothing was sent yet, so nothing is sent twice.
    Connections that exist stay with their endpoint until they end, also when it is no longer among those to
    choose from and when the listener is closed.

    Raises:
        OSError: The address is taken, or not permitted.
    """

    def __init__(self, frontend: Frontend, balancer: Balancer) -> None:
        self.balancer = balancer
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            without_pacing(self._socket)
            self._socket.bind((frontend.address, frontend.port))
            self._socket.listen(BACKLOG)
        except BaseException:
            self._socket.close()
            raise
        self._connections: set[asyncio.Task[None]] = set()
        self._loop.add_reader(self._socket, self._accept)

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    def close(self) -> None:
        """Accept no more."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    async def drain(self, seconds: float) -> None:
        """Wait for the connections to end, and break off those that have not within so many seconds."""
        if self._connections:
            await asyncio.wait(self._connections, timeout=seconds)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, (address, _) = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest(error)
                    return
                continue  # the client gave up before it was accepted
            connection.setblocking(False)
            task = self._loop.create_task(self._serve(connection, address))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    def _rest(self, error: OSError) -> None:
        """Accept nothing for a moment: there is no room, and asking again at once would only burn time."""
        log.warning("cannot accept connections", error=str(error))
        self._loop.remove_reader(self._socket)
        self._loop.call_later(EXHAUSTED_SECONDS, self._wake)

    def _wake(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    async def _serve(self, connection: socket.socket, address: str) -> None:
        try:
            server = await self._connect(address)
        except BaseException:
            reset(connection)
            raise
        if server is None:
            reset(connection)
            return
        try:
            relay = Relay(connection, server)
        except OSError as error:
            log.warning("cannot relay a connection", error=str(error))
            reset(connection)
            server.close()
            return
        await relay.run()

    async def _connect(self, address: str) -> socket.socket | None:
        tried: set[Backend] = set()
        while (backend := self.balancer.pick(address, self._loop.time(), tried)) is not None:
            tried.add(backend)
            server = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if backend.address.startswith("127."):
                without_pacing(server)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._loop.sock_connect(server, backend)
            except (OSError, TimeoutError):
                server.close()
            except BaseException:
                server.close()
                raise
            else:
                return server
        return None
