"""The executor at the front, as the worker that watches it sees it."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from proa.wagi._board import Board
from proa.wagi._execution import Execution
from proa.wagi._front import LATE_NS, STUCK_NS
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
    Record,
    Release,
    Released,
    Rest,
    Take,
    Use,
    Word,
    decode_record,
)
from proa.wagi._messages import Result, close_all
from proa.wagi.errors import HandlerError

if TYPE_CHECKING:
    from proa.wagi._executor_process import ExecutorProcess
    from proa.wagi.connections import Connections

__all__ = ["Adopted", "Connection", "FrontDesk"]

_PIPE_BYTES: Final = 256 * 1024
_FRAME: Final = 4
_CERTAIN_NS: Final = 50_000_000
"""A run that takes so long is one that hangs, even if it only ever waited for a processor."""


class Connection(NamedTuple):
    """A connection that was accepted here. Executors have descriptors of it, too.

    Attributes:
        number: Tells it from all others of the process.
        remote: The client's address.
        socket: The connection.
    """

    number: int
    remote: str
    socket: socket.socket


class Adopted(NamedTuple):
    """A run that was begun at the front for a request which the gateway answers.

    Attributes:
        execution: The run.
        generation: Which of the gateway's routes counted when it began.
        began: When that was, by the monotonic clock.
    """

    execution: Execution
    generation: int
    began: float


class FrontDesk:
    """What an executor serves, and what it says.

    Attributes:
        connections: Those that it has, by number.
        has_left: Whether it has none any more, and only its last run is waited for.
    """

    def __init__(self, executor: "ExecutorProcess", order: Appoint, site: "Connections") -> None:
        self.connections: dict[int, Connection] = {}
        self.has_left = False
        self._executor = executor
        self._site = site
        self._asked = 0
        self._unread = b""
        self._reader, writer = os.pipe2(os.O_CLOEXEC)
        board = Board.create()
        try:
            self._board = Board(board)
            os.set_blocking(self._reader, False)
            with suppress(OSError):
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            executor.order(order, board, writer)
        finally:
            close_all((board, writer))
        executor.front = self

    # What it is told

    def use(self, generation: int, handlers: bytes) -> None:
        """Have it serve these handlers, encoded."""
        file = os.memfd_create("handlers", os.MFD_CLOEXEC)
        os.set_blocking(file, False)  # It never does, and says so.
        os.write(file, handlers)
        self._executor.order(Use(generation), file)
        os.close(file)

    def avoid(self, programs: list[str]) -> None:
        """Have it leave these programs alone."""
        self._executor.order(Avoid(programs))

    def take(self, connection: Connection) -> None:
        """Give it a connection."""
        self.connections[connection.number] = connection
        self._executor.order(Take(connection.number, connection.remote), connection.socket.fileno())

    def release(self) -> None:
        """Have it let go of all connections."""
        self._executor.order(Release())

    # What it says

    def hear(self, word: Word, descriptors: Sequence[int]) -> None:
        """Hear a word."""
        match word:
            case HandOver(number, data):
                self._site.serve(self.connections.pop(number), data=data)
            case Done():
                self._take_done(word, descriptors)
            case Rest(number, rest, is_last):
                self._site.serve(self.connections.pop(number), rest=rest, is_last=is_last)
            case Closed(number):
                self.connections.pop(number).socket.close()
            case Ask(place, is_slow):
                self._answer(place, is_slow=is_slow)
            case Awake():
                self._site.wake()
            case Released():
                self._leave()
                self._executor.be_free()
            case Result():
                pass

    def _take_done(self, word: Done, descriptors: Sequence[int]) -> None:
        if self._executor.pending:
            self._executor.finish(word.result, descriptors)  # It was adopted before.
            return
        adopted = self._adopt(word.generation, word.place, time.monotonic() - word.seconds)
        adopted.execution.finish(word.result, next(iter(descriptors), None))
        self._site.serve(self.connections.pop(word.number), data=word.data, adopted=adopted)
        if word.result.end == "memory":
            self._executor.kill()

    def _adopt(self, generation: int, place: int, began: float) -> Adopted:
        handler = self._site.handler(generation, place)
        program = f"{handler.module.path}:{handler.entrypoint}"
        return Adopted(self._executor.pool.begun(program, handler.limits.seconds, began), generation, began)

    def _answer(self, place: int, *, is_slow: bool) -> None:
        self._asked += 1
        if self._executor.pending:
            self._executor.order(Drop())
            return
        if is_slow:
            handler = self._site.handler(self._board.generation, place)
            self._executor.pool.pace.mark(f"{handler.module.path}:{handler.entrypoint}")
        self._executor.order(Keep())

    # What is seen of it

    def count(self) -> int:
        """Return how many guests it has begun, or -1 while one runs."""
        return -1 if self._board.since else self._board.count

    def look(self) -> None:
        """Give its connections to others if it hangs in a guest."""
        now = time.monotonic_ns()  # Before the board is read: what runs then has run for at least so long.
        since = self._board.since
        if since and now - since > STUCK_NS and not self.has_left and self._hangs(now - since):
            asked = self._asked
            self._executor.collect()  # What it said before the run.
            if asked == self._asked and self._executor.front is self:
                self._take_over(since / 1e9)

    def _hangs(self, nanoseconds: int) -> bool:
        """Tell a guest that takes long from one that waits for a processor."""
        if nanoseconds > _CERTAIN_NS or not self._executor.is_runnable():
            return True
        return self._executor.used() - self._board.used > LATE_NS / 2

    def _take_over(self, began: float) -> None:
        connection = self.connections.pop(self._board.connection, None)
        if connection is None:
            return  # It wanted too much memory, has said so, and ends.
        adopted = self._adopt(self._board.generation, self._board.place, began)
        adopted.execution.is_adopted = True
        self._executor.pool.pace.hold(adopted.execution.program)
        self._executor.adopt(adopted.execution)
        self._site.serve(connection, data=self._board.request, adopted=adopted)
        self._leave()

    def _leave(self) -> None:
        self.has_left = True
        self._site.on_left(self)
        connections = [*self.connections.values()]
        self.connections.clear()
        for connection in connections:
            self._site.settle(connection)

    def records(self) -> Iterator[Record]:
        """Yield what it has answered since the last time."""
        while True:
            try:
                content = os.read(self._reader, _PIPE_BYTES)
            except BlockingIOError:
                return
            if not content:
                return
            yield from self._records(self._unread + content)

    def _records(self, content: bytes) -> Iterator[Record]:
        start = 0
        while len(content) - start >= _FRAME:
            end = start + _FRAME + int.from_bytes(content[start : start + _FRAME])
            if end > len(content):
                break
            yield decode_record(content[start + _FRAME : end])
            start = end
        self._unread = content[start:]

    def on_death(self) -> None:
        """The process is gone: save what it had not begun, and tell of what it had."""
        self._executor.is_proven |= self._board.count > 0
        connection = self.connections.pop(self._board.connection, None)
        if connection and self._board.since:
            adopted = self._adopt(self._board.generation, self._board.place, self._board.since / 1e9)
            adopted.execution.fail(HandlerError(500, "failed", "the executor ended by itself"))
            self._site.serve(connection, data=self._board.request, adopted=adopted)
        elif connection:
            self._site.abort(connection)  # Some of it may have been read or answered.
        if not self.has_left:
            self._leave()

    def close(self) -> None:
        """Let go of it, once all its records are read."""
        self._site.on_closed(self)
        self._board.close()
        os.close(self._reader)
