"""What an executor does: run guests, one after another, each in an instance of its own.

An executor is a worker of `proa.wasm`'s zygote. Invocations come and results go over the socket that is its
standard input. It knows of no deadlines: a guest that takes too long is ended by killing the executor,
whatever it hangs in. Told to, it serves connections itself for a time: see `proa.wagi._front`.
"""

import contextlib
import gc
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import structs

from proa.wagi._front import Front
from proa.wagi._front_messages import ORDER, Appoint, decode_order
from proa.wagi._guests import Guests
from proa.wagi._messages import (
    NUMBER_BYTES,
    Result,
    close_all,
    decode_invocation,
    encode,
    receive,
    send,
    too_much,
)
from proa.wasm import SandboxSpec
from proa.wasm._engine import Runtime

_STDERR: Final = 2


def main(runtime: Runtime) -> None:
    """Serve until the gateway closes the socket."""
    with _complaining():
        _Executor(Guests(runtime), socket.socket(fileno=0)).serve()


def main_of_pod(runtime: Runtime, spec: SandboxSpec) -> None:
    """The same for one module, confined as its sandbox would be; the socket comes once it is wanted."""
    with _complaining():
        wanted = socket.socket(fileno=0)
        guests = Guests(runtime)
        guests.confine(spec)
        _, descriptors, _, _ = socket.recv_fds(wanted, 1, 1)
        if descriptors:
            _Executor(guests, socket.socket(fileno=descriptors[0])).serve()


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    """What goes wrong with the executor itself goes where its standard error went at first."""
    gc.freeze()  # What was inherited stays, and is not to be copied by being looked at.
    gc.enable()
    complaints = os.dup(_STDERR)
    try:
        yield
    except BaseException:
        os.dup2(complaints, _STDERR)
        raise


class _Executor:
    def __init__(self, guests: Guests, control: socket.socket) -> None:
        self._guests = guests
        self._control = control

    def serve(self) -> None:
        """Do what comes until nothing can come any more."""
        while True:
            message, descriptors = receive(self._control)
            if not message:
                return
            if message.startswith(ORDER):
                self._stand_at_the_front(message, descriptors)
            else:
                self._run(message, descriptors)

    def _stand_at_the_front(self, message: bytes, descriptors: Sequence[int]) -> None:
        order = decode_order(message[NUMBER_BYTES:])
        if not isinstance(order, Appoint):
            close_all(descriptors)  # It comes too late.
            return
        with Front(self._control, self._guests, order, descriptors) as front:
            result = front.serve()
        if result:
            self._send(result)

    def _run(self, message: bytes, descriptors: Sequence[int]) -> None:
        def exceeded(size: int) -> None:
            self._send(too_much(size))
            os.kill(os.getpid(), signal.SIGKILL)

        self._guests.begin()
        try:
            result = self._guests.run(decode_invocation(message[NUMBER_BYTES:]), descriptors, exceeded)
        finally:
            close_all(descriptors)
        self._send(result)

    def _send(self, result: Result) -> None:
        content, file = self._guests.collect(structs.replace(result, is_slow=self._guests.is_slow()))
        send(self._control, encode(content), file)
        if file is not None:
            self._guests.renew()
