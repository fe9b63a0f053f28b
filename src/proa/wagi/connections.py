"""The connections of a socket: accepted here, and given to the executor at the front.

That one (`proa.wagi._front`) answers what is plain and quick, and gives back all connections on which
something else has come, with what it has read: they are the gateway's from then on. It is watched here: when
it hangs in a guest, its other connections go to another executor within milliseconds, and the request in
question becomes one of the gateway's.
"""

import asyncio
import contextlib
import errno
import itertools
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final, Self, cast

from proa.wagi._executor_process import ExecutorProcess
from proa.wagi._front import QUIET_SECONDS
from proa.wagi._front_desk import Adopted, Connection, FrontDesk
from proa.wagi._front_messages import Appoint
from proa.wagi.executors import Executors
from proa.wagi.gateway import Gateway
from proa.wagi.handlers import Handler, encode_handlers

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Connections"]

_TICK: Final = 0.003
_AT_ONCE: Final = 64
_MOST_AT_FRONT: Final = 500
_PAUSE_SECONDS: Final = 1.0
_STALLED_SECONDS: Final = 60.0
_RELEASE_SECONDS: Final = 5.0
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ABORT: Final = struct.pack("ii", 1, 0)
_STEPS: Final = 10
"""Rounds of the loop in which a request that has come whole is sure to be begun."""


class Connections:
    """All connections of a listening socket; made by `open`."""

    def __init__(
        self, listener: socket.socket, executors: Executors, gateway: Gateway, server: "web.Server"
    ) -> None:
        self._listener = listener
        self._executors = executors
        self._gateway = gateway
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._numbers = itertools.count(1)
        self._front: FrontDesk | None = None
        self._desks: list[FrontDesk] = []
        self._is_engaging = False
        self._is_leaving = False
        self._is_closing = False
        self._homeless: deque[Connection] = deque()
        self._serving: set[asyncio.Task[None]] = set()
        self._awake = asyncio.Event()
        self._is_left = asyncio.Event()
        self._seen_life = 0.0
        self._handlers = b""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, listener: socket.socket, executors: Executors, gateway: Gateway, server: "web.Server"
    ) -> AsyncIterator[Self]:
        """Accept and serve connections; leaving lets those go that have no request under way.

        Args:
            listener: Listens and does not block.
            executors: Whose executors there are.
            gateway: What serves all that is not served at the front.
            server: Makes the gateway's protocols.
        """
        connections = cls(listener, executors, gateway, server)
        gateway.follow(connections)
        executors.pace.on_change = connections._on_pace
        connections._engage()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(connections._watch())
            connections._listen()
            try:
                yield connections
            finally:
                await connections._close()
                watching.cancel()
        gateway.catch_up()

    # New connections

    def _listen(self) -> None:
        if not self._is_closing:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(_PAUSE_SECONDS, self._listen)
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.settle(Connection(next(self._numbers), address[0], accepted))

    def settle(self, connection: Connection) -> None:
        """Find somebody for a connection on which nothing is under way."""
        if self._is_closing:
            self._dismiss(connection)
            return
        if self._is_leaving:
            self.serve(connection)
            return
        if self._front is None and not self._is_engaging:
            self._engage()
        if self._front and len(self._front.connections) < _MOST_AT_FRONT:
            self._front.take(connection)
        elif self._is_engaging:
            self._homeless.append(connection)
        else:
            self.serve(connection)

    def _dismiss(self, connection: Connection) -> None:
        """Close a connection unless a request has come on it already."""
        try:
            data = connection.socket.recv(65536)
        except OSError:
            data = b""
        if data:
            self.serve(connection, data=data)
        else:
            connection.socket.close()

    def abort(self, connection: Connection) -> None:
        """Break a connection off, so that its client does not take what it has got for all."""
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        connection.socket.close()

    # The front

    def _engage(self) -> None:
        self._is_engaging = True
        if not self._executors.engage(self._appoint):
            self._appoint(None)

    def _appoint(self, executor: ExecutorProcess | None) -> None:
        """Put an executor to the front; None if there is none to be had."""
        self._is_engaging = False
        if executor and not self._is_leaving:
            gateway = self._gateway
            order = Appoint(gateway.next_prefix(), gateway.hostname, gateway.healthz, gateway.needs_requests)
            self._front = FrontDesk(executor, order, self)
            self._is_left.clear()
            self._desks.append(self._front)
            self._front.use(gateway.generation, self._handlers)
            self._front.avoid(self._executors.pace.slow)
        elif executor:
            executor.be_free()
        while self._homeless:
            connection = self._homeless.popleft()
            if self._front:
                self._front.take(connection)
            else:
                self.serve(connection)

    def use(self, handlers: Sequence[Handler]) -> None:
        """Serve these from now on."""
        self._handlers = encode_handlers([*handlers])
        if self._front:
            self._front.use(self._gateway.generation, self._handlers)

    def _on_pace(self) -> None:
        if self._front:
            self._front.avoid(self._executors.pace.slow)

    def handler(self, generation: int, place: int) -> Handler:
        """Return the handler that was at a place in a generation of the gateway's routes."""
        return self._gateway.handler(generation, place)

    def on_left(self, desk: FrontDesk) -> None:
        """An executor is not at the front any more."""
        if self._front is desk:
            self._front = None
            self._is_left.set()
            if not self._is_leaving:
                self._engage()

    def on_closed(self, desk: FrontDesk) -> None:
        """An executor is at its own work again, or gone."""
        self._hear_records(desk)
        self._desks.remove(desk)

    def catch_up(self) -> None:
        """Tell the gateway of everything that has been answered at the front."""
        for desk in self._desks:
            self._hear_records(desk)

    def _hear_records(self, desk: FrontDesk) -> None:
        for record in desk.records():
            self._gateway.hear(record)

    def wake(self) -> None:
        """Look at the front again: requests come."""
        self._seen_life = self._loop.time()
        self._awake.set()

    async def _watch(self) -> None:
        """Look after the front while requests come."""
        counts: list[int] = []
        while True:
            await self._awake.wait()
            await asyncio.sleep(_TICK)
            for desk in [*self._desks]:
                desk.look()
            self.catch_up()
            counts, before = [desk.count() for desk in self._desks], counts
            if counts != before or -1 in counts:
                self._seen_life = self._loop.time()
            elif self._loop.time() - self._seen_life > QUIET_SECONDS:
                self._awake.clear()

    # The gateway's

    def serve(
        self,
        connection: Connection,
        *,
        data: bytes = b"",
        rest: bytes = b"",
        is_last: bool = False,
        adopted: Adopted | None = None,
    ) -> None:
        """Give a connection to the gateway.

        Args:
            connection: The connection.
            data: What has been read of it.
            rest: What is still to be sent before anything else.
            is_last: Close it after that.
            adopted: What has been begun for the request in `data`.
        """
        protocol = _Closing() if is_last else self._server()
        primed = _Primed(protocol, self._gateway, data, rest, adopted)
        task = self._loop.create_task(self._connect(connection.socket, primed))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _connect(self, accepted: socket.socket, primed: "_Primed") -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: primed, accepted)
        except OSError:
            accepted.close()

    def leave(self) -> None:
        """Have the gateway serve all connections from now on."""
        if not self._is_leaving:
            self._is_leaving = True
            while self._homeless:
                self.settle(self._homeless.popleft())
            if self._front:
                self.wake()
                self._front.release()

    async def _close(self) -> None:
        self._is_closing = True
        self._loop.remove_reader(self._listener.fileno())
        self.leave()
        if self._front:
            with contextlib.suppress(TimeoutError):  # Then it is killed with all others.
                async with asyncio.timeout(_RELEASE_SECONDS):
                    await self._is_left.wait()
        if self._serving:
            await asyncio.wait(self._serving)
        for _ in range(_STEPS):
            await asyncio.sleep(0)


class _Primed(asyncio.Protocol):
    """Begins a connection in the middle, and leaves it to the server's protocol."""

    def __init__(
        self,
        protocol: asyncio.Protocol,
        gateway: Gateway,
        data: bytes,
        rest: bytes,
        adopted: Adopted | None,
    ) -> None:
        self._protocol = protocol
        self._gateway = gateway
        self._data = data
        self._rest = rest
        self._adopted = adopted
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance.
        if self._rest:
            transport.write(self._rest)
            size = transport.get_write_buffer_size()
            asyncio.get_running_loop().call_later(_STALLED_SECONDS, _end_if_stalled, transport, size)
        self._protocol.connection_made(transport)
        transport.set_protocol(self._protocol)
        if self._is_paused:
            self._protocol.pause_writing()
        if self._adopted:
            self._gateway.adopt(transport, self._adopted)
        if self._data:
            self._protocol.data_received(self._data)

    def pause_writing(self) -> None:
        self._is_paused = True


class _Closing(asyncio.Protocol):
    """Closes a connection once everything is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _end_if_stalled(transport: asyncio.Transport, size: int) -> None:
    """Break a response off of which its client has taken nothing for so long."""
    if 0 < size <= transport.get_write_buffer_size():
        transport.abort()
