"""An executor at the front: it reads requests from connections, runs their guests and answers, all by itself.

That is for what is plain and quick; the rest goes to the gateway together with the connection, or was never
given. The worker that has accepted the connections keeps descriptors of them, so that between requests a
connection has no state here at all, and can be taken away at any moment. What a guest could hang in is said
on the `Board` before. A guest that takes long is noticed there, and all connections are given to others; so
after a long run, and only then, this has to ask whether they are its own still. It is certain to ask if the
worker has taken them, as that waits for twice as long: `STUCK_NS`, `LATE_NS`.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from proa.wagi import _plain
from proa.wagi._board import Board
from proa.wagi._front_messages import (
    Appoint,
    Ask,
    Avoid,
    Awake,
    Closed,
    Done,
    Drop,
    HandOver,
    Keep,
    Order,
    Record,
    Release,
    Released,
    Rest,
    Take,
    Use,
    Word,
    decode_order,
)
from proa.wagi._guests import Guests
from proa.wagi._messages import (
    NUMBER_BYTES,
    Invocation,
    Result,
    close_all,
    encode,
    encode_into,
    receive,
    send,
    too_much,
)
from proa.wagi.errors import HandlerError
from proa.wagi.handlers import Handler, decode_handlers
from proa.wagi.invocations import invocation
from proa.wagi.protocol import Matched
from proa.wagi.routing import RouteTable

__all__ = ["LATE_NS", "QUIET_SECONDS", "STUCK_NS", "Front", "is_for_the_front"]

LATE_NS: Final = 3_000_000
"""Nanoseconds after which a run is a long one."""

STUCK_NS: Final = 2 * LATE_NS
"""Nanoseconds after which others get the connections."""

QUIET_SECONDS: Final = 1.0
"""After so long without a request nobody looks at the board any more."""

_FEW: Final = 8
_WORTH_KNOWING: Final = 2048
_MOST_KNOWN: Final = 128
_FRAME: Final = 4


def is_for_the_front(handler: Handler) -> bool:
    """Whether a handler's requests may be answered there: not if they have to be counted exactly."""
    return handler.outbound is None and handler.limits.concurrency > _FEW


class _Connection(NamedTuple):
    number: int
    remote: str
    socket: socket.socket


class _Target(NamedTuple):
    place: int
    handler: Handler
    program: str


class _Job(NamedTuple):
    """What there is to do for a request."""

    plain: _plain.Plain
    matched: Matched
    target: _Target
    invocation: Invocation


class Front:
    """The connections of an executor. Use it as a context manager: leaving it closes them here.

    Args:
        control: The socket that orders come from.
        guests: What runs guests.
        order: How to serve.
        descriptors: The board and the pipe for records.
    """

    def __init__(
        self, control: socket.socket, guests: Guests, order: Appoint, descriptors: Sequence[int]
    ) -> None:
        board, self._reports = descriptors
        self._board = Board(board)
        os.close(board)
        self._control = control
        self._guests = guests
        self._order = order
        self._routes: RouteTable[_Target] = RouteTable([])
        self._generation = 0
        self._avoided: frozenset[str] = frozenset()
        self._known: dict[tuple[bytes, str], _Job] = {}
        self._connections: dict[int, _Connection] = {}
        self._stands = True
        self._is_released = False
        self._requests = 0
        self._seen = 0
        self._frame = bytearray(_FRAME)
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.socket.close()
        self._epoll.close()
        self._board.close()
        os.close(self._reports)

    def serve(self) -> Result | None:
        """Serve until told otherwise; return the result of the run that the gateway waits for, if any."""
        control = self._control.fileno()
        while self._stands:
            ready = self._epoll.poll()
            if any(descriptor == control for descriptor, _ in ready):
                self._hear()  # First: who has sent a request after new routes counted gets those.
            for descriptor, _ in ready:
                if (connection := self._connections.get(descriptor)) and (result := self._serve(connection)):
                    return result
            if self._is_released:
                self._say(Released())
                return None
        return None

    # Orders

    def _hear(self) -> None:
        while self._stands:
            try:
                order = self._next_order(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if order:
                self._obey(order)

    def _next_order(self, flags: int = 0) -> Order | None:
        message, descriptors = receive(self._control, flags)
        if not message:
            self._stands = False
            return None
        order: Order = decode_order(message[NUMBER_BYTES:])
        if isinstance(order, Take):
            self._take(order, descriptors[0])
        elif isinstance(order, Use):
            self._use(order, descriptors[0])
        else:
            close_all(descriptors)
        return order

    def _obey(self, order: Order) -> None:
        if isinstance(order, Avoid):
            self._avoided = frozenset(order.programs)
            self._known.clear()
        elif isinstance(order, Release):
            self._is_released = True

    def _take(self, order: Take, descriptor: int) -> None:
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)
        self._connections[descriptor] = _Connection(order.number, order.remote, taken)
        self._epoll.register(descriptor, select.EPOLLIN)

    def _use(self, order: Use, descriptor: int) -> None:
        handlers = decode_handlers(os.pread(descriptor, os.fstat(descriptor).st_size, 0))
        os.close(descriptor)
        self._routes = RouteTable(
            [
                (handler.route, _Target(place, handler, f"{handler.module.path}:{handler.entrypoint}"))
                for place, handler in enumerate(handlers)
            ]
        )
        self._generation = order.generation
        self._known.clear()

    def _say(self, word: Word, file: int | None = None) -> None:
        send(self._control, encode(word), file)

    def _is_still_mine(self, target: _Target, *, is_slow: bool) -> bool:
        self._say(Ask(target.place, is_slow))
        while True:
            order = self._next_order()
            if order is None or isinstance(order, Keep | Drop):
                return isinstance(order, Keep)
            self._obey(order)

    # Requests

    def _serve(self, connection: _Connection) -> Result | None:
        """Read what has come, and answer it; return the result of a run that others wait for now."""
        board = self._board
        board.turn_to(connection.number)
        try:
            length = connection.socket.recv_into(board.buffer)
        except BlockingIOError:
            board.turn_to(0)
            return None
        except OSError:
            length = 0
        if not length:
            self._part(connection, Closed(connection.number))
            return None
        data = board.received(length)
        if job := self._known.get((data, connection.remote)) or self._job(data, connection.remote):
            return self._answer(connection, data, job)
        self._part(connection, HandOver(connection.number, data))
        return None

    def _part(self, connection: _Connection, word: Word, file: int | None = None) -> None:
        """Let go of a connection; who hears the word goes on with it."""
        self._say(word, file)
        self._epoll.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        connection.socket.close()
        self._board.turn_to(0)

    def _job(self, data: bytes, remote: str) -> _Job | None:
        """Find out what to do, and remember it: the same clients ask the same again and again."""
        plain = _plain.read_request(data, remote)
        if plain is None:
            return None
        path = plain.request.path
        found = self._routes.find(path)
        if found is None or (path == "/healthz" and self._order.healthz):
            return None
        matched, target = found
        limit = target.handler.limits.body
        is_long = limit is not None and len(plain.body) > limit
        if is_long or target.program in self._avoided or not is_for_the_front(target.handler):
            return None
        job = _Job(
            plain,
            matched,
            target,
            invocation(plain.request, matched, target.handler, self._order.hostname, plain.body),
        )
        if len(data) <= _WORTH_KNOWING:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[data, remote] = job
        return job

    def _answer(self, connection: _Connection, data: bytes, job: _Job) -> Result | None:
        """Run the guest; return its result if that is what is waited for now, rather than the response."""
        used = self._guests.begin()
        since = time.monotonic_ns()
        self._show_life(since)
        self._board.enter(since, used, self._generation, job.target.place)

        def exceeded(size: int) -> None:
            """Have the gateway refuse the request, and end this process with a guest that cannot go on."""
            end, _ = self._guests.collect(too_much(size))
            seconds = (time.monotonic_ns() - since) / 1e9
            self._say(Done(connection.number, data, self._generation, job.target.place, seconds, end))
            os.kill(os.getpid(), signal.SIGKILL)

        result = self._guests.run(job.invocation, (), exceeded)
        self._board.leave()
        taken = time.monotonic_ns() - since
        if taken > LATE_NS and not self._is_still_mine(job.target, is_slow=self._guests.is_slow()):
            return result
        result, file = self._guests.collect(result)
        self._respond(connection, data, job, result, file, taken / 1e9)
        return None

    def _show_life(self, now: int) -> None:
        if now - self._seen > QUIET_SECONDS * 0.5e9:
            self._say(Awake())
        self._seen = now

    def _respond(
        self,
        connection: _Connection,
        data: bytes,
        job: _Job,
        result: Result,
        file: int | None,
        seconds: float,
    ) -> None:
        self._requests += 1
        request_id = job.plain.request_id or f"{self._order.prefix}-{self._requests}"
        response = None if file is not None else _response(result, request_id, is_last=job.plain.is_last)
        if response is None:
            done = Done(connection.number, data, self._generation, job.target.place, seconds, result)
            self._part(connection, done, file)
            if file is not None:
                self._guests.renew()
            return
        status, length, content = response
        self._report(
            Record(
                job.matched.pattern,
                status,
                seconds,
                len(job.plain.body),
                length,
                result.errors,
                request_id,
                data if self._order.with_requests else b"",
                connection.remote,
            )
        )
        self._send(connection, content, is_last=job.plain.is_last)

    def _send(self, connection: _Connection, content: bytes, *, is_last: bool) -> None:
        try:
            sent = connection.socket.send(content)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._part(connection, Closed(connection.number))
            return
        if sent < len(content):
            self._part(connection, Rest(connection.number, content[sent:], is_last))
        elif is_last:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_WR)
            self._part(connection, Closed(connection.number))
        else:
            self._board.turn_to(0)

    def _report(self, record: Record) -> None:
        encode_into(record, self._frame, _FRAME)
        frame = self._frame
        frame[:_FRAME] = (len(frame) - _FRAME).to_bytes(_FRAME)
        written = os.write(self._reports, frame)
        while written < len(frame):
            written += os.write(self._reports, frame[written:])


def _response(result: Result, request_id: str, *, is_last: bool) -> tuple[int, int, bytes] | None:
    if result.end != "exited" or result.code:
        return None
    try:
        return _plain.write_response(result.output, request_id, is_last=is_last)
    except HandlerError:
        return None  # The gateway finds out again, and says why.
