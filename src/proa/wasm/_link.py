"""The client's end of the connection to the zygote, on asyncio: requests answered, events passed on."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

import proa
from proa.wasm import _launch
from proa.wasm import _protocol as protocol
from proa.wasm._connection import Connection
from proa.wasm.errors import InvalidModuleError, SandboxError, UnsupportedModuleError, ZygoteLostError

ANSWER_SECONDS: Final = 30.0
_ATTEMPTS: Final = 5
_ERRORS: Final = {
    "invalid": InvalidModuleError,
    "unsupported": UnsupportedModuleError,
    "sandbox": SandboxError,
}

Event = protocol.Adopted | protocol.Started | protocol.Exited
Hear = Callable[[Event, Sequence[int]], None]

_T = TypeVar("_T")
_Reply = TypeVar("_Reply", bound=msgspec.Struct)


class Link:
    """A connection. `gone` is done once it has ended, for whatever reason."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._seqs = itertools.count(1)
        self._answers: dict[int, asyncio.Future[msgspec.Struct]] = {}
        self._welcome: asyncio.Future[protocol.Welcome | protocol.Refused] = self._loop.create_future()
        self._unheard: list[tuple[Event, Sequence[int]]] = []
        self._hear: Hear = lambda event, descriptors: self._unheard.append((event, descriptors))
        self.gone: asyncio.Future[ZygoteLostError] = self._loop.create_future()
        self._loop.add_reader(connection.fileno(), self._receive)

    def listen(self, hear: Hear) -> None:
        """Pass on every event, those of before included. The listener owns the descriptors."""
        self._hear = hear
        for event, descriptors in self._unheard:
            hear(event, descriptors)
        self._unheard.clear()

    def next_seq(self) -> int:
        """Number a request."""
        return next(self._seqs)

    def send(self, message: protocol.Request, descriptors: Sequence[int] = ()) -> None:
        """Send without waiting for an answer; raises ZygoteLostError when there is nobody to send to."""
        if self.gone.done():
            raise self.gone.result()
        try:
            all_sent = self._connection.send(protocol.encode(message), descriptors)
        except ConnectionError:
            return  # The reader learns the rest, after what there is still to read.
        if not all_sent:
            self._loop.add_writer(self._connection.fileno(), self._flush)

    async def request(
        self,
        request: protocol.Compile | protocol.Start | protocol.StartWorker | protocol.Forget,
        expected: type[_Reply],
        seconds: float = ANSWER_SECONDS,
        descriptors: Sequence[int] = (),
    ) -> _Reply:
        """Send and wait for the answer; raises what the answer says, or ZygoteLostError."""
        answer: asyncio.Future[msgspec.Struct] = self._loop.create_future()
        self._answers[request.seq] = answer
        try:
            self.send(request, descriptors)
            async with asyncio.timeout(seconds):
                reply = await answer
        except TimeoutError:
            raise ZygoteLostError(f"the zygote did not answer within {seconds:.0f} s") from None
        finally:
            del self._answers[request.seq]
        if isinstance(reply, protocol.Failed):
            raise _ERRORS[reply.error](reply.message)
        assert isinstance(reply, expected)
        return reply

    async def greet(self) -> bool:
        """Ask to be served; return False when the zygote ends instead and another can be started."""
        self.send(protocol.Hello(proa.__version__, program=_launch.program()))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                either: list[asyncio.Future[Any]] = [self._welcome, self.gone]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                reply = self._welcome.result() if self._welcome.done() else None
                if isinstance(reply, protocol.Refused) and not reply.leaving:
                    raise ZygoteLostError(f"the sandboxes cannot be used: {reply.message}")
                if isinstance(reply, protocol.Welcome):
                    return True
                await asyncio.shield(self.gone)
                return False
        except TimeoutError:
            raise ZygoteLostError(f"the zygote did not answer within {ANSWER_SECONDS:.0f} s") from None

    def close(self) -> None:
        """Close the connection; nothing is heard afterwards."""
        self._lose(ZygoteLostError("the connection to the sandboxes was closed"))
        self._connection.close()
        for _, descriptors in self._unheard:
            close_all(descriptors)
        self._unheard.clear()

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            if not self._connection.flush():
                return
        self._loop.remove_writer(self._connection.fileno())

    def _receive(self) -> None:
        try:
            for payload, descriptors in self._connection.receive():
                self._dispatch(protocol.decode_reply(payload), descriptors)
        except (OSError, msgspec.MsgspecError) as error:
            self._lose(ZygoteLostError(f"the zygote is gone, and its sandboxes with it: {error}"))

    def _dispatch(self, reply: protocol.Reply, descriptors: Sequence[int]) -> None:
        match reply:
            case protocol.Welcome() | protocol.Refused():
                self._welcome.set_result(reply)
            case protocol.Adopted() | protocol.Exited():
                self._hear(reply, descriptors)
            case protocol.Started() if reply.seq not in self._answers:
                close_all(descriptors)  # Whoever asked was cancelled, and has had it discarded.
            case protocol.Started():
                self._hear(reply, descriptors)
                self._answer(reply)
            case protocol.Compiled() | protocol.Done() | protocol.Failed():
                self._answer(reply)

    def _answer(self, reply: protocol.Started | protocol.Compiled | protocol.Done | protocol.Failed) -> None:
        answer = self._answers.get(reply.seq)
        if answer and not answer.done():
            answer.set_result(reply)

    def _lose(self, error: ZygoteLostError) -> None:
        if self.gone.done():
            return
        self.gone.set_result(error)
        self._loop.remove_reader(self._connection.fileno())
        self._loop.remove_writer(self._connection.fileno())
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(error)


async def open_link(state_dir: Path) -> Link:
    """Connect to the zygote of a state directory, starting one if need be."""
    for _ in range(_ATTEMPTS):
        sock = await _in_thread(lambda: _launch.connect(state_dir), lambda late: late.close())
        link = Link(Connection(sock))
        try:
            if await link.greet():
                return link
        except BaseException:
            link.close()
            raise
        link.close()
    raise ZygoteLostError(f"no zygote stays in {state_dir}; see zygote.log there")


async def _in_thread(work: Callable[[], _T], undo: Callable[[_T], None]) -> _T:
    """Run blocking work in a thread; when cancelled, undo it once it has succeeded."""

    def settle(done: asyncio.Future[_T]) -> None:
        if not done.cancelled() and not done.exception():
            undo(done.result())

    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        running.add_done_callback(settle)
        raise


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)
