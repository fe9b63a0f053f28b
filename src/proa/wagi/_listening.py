"""Sockets for several processes on one port."""

import errno
import socket
from contextlib import ExitStack
from typing import Any, Final

from proa.app.http import AddressError, PortInUseError

__all__ = ["bind_all"]

_BACKLOG: Final = 1024


def bind_all(stack: ExitStack, host: str, port: int, count: int) -> list[socket.socket]:
    """Listen several times on one port, which the kernel then spreads connections over; `stack` closes them.

    Raises:
        PortInUseError: Another program has the port.
        AddressError: The address cannot be listened on.
    """
    listeners: list[socket.socket] = []
    for _ in range(count):
        listeners.append(_listen(host, port, is_first=not listeners))
        stack.callback(listeners[-1].close)
        port = listeners[-1].getsockname()[1]
    return listeners


def _listen(host: str, port: int, *, is_first: bool) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise AddressError(f"wagi: cannot listen on {host!r}: no such host or address") from None
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    try:
        if is_first and port:
            _bind(family, address, shared=False).close()  # Nobody else shares it, though they could.
        listener = _bind(family, address, shared=True)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = (
                f"wagi: cannot listen on {host} port {port}: another program has it; choose another port"
            )
            raise PortInUseError(message) from None
        raise AddressError(f"wagi: cannot listen on {host} port {port}: {error.strerror}") from None


def _bind(family: int, address: Any, *, shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
