"""Sockets to listen on, and errors that say what to do where that fails."""

from __future__ import annotations

import socket

from proa.app.http import AddressError, PortInUseError

ATTEMPTS = 20


def listen_tcp(host: str, port: int, name: str) -> socket.socket:
    """Return a non-blocking socket that listens.

    Raises:
        AddressError: The address can't be listened on.
    """
    return _bound(socket.SOCK_STREAM, host, port, name)


def bind(host: str, port: int, name: str) -> tuple[socket.socket, socket.socket]:
    """Return a TCP and a UDP socket of the same port; 0 picks one that is free for both.

    Raises:
        AddressError: The address can't be listened on.
    """
    for attempt in range(ATTEMPTS):
        tcp = _bound(socket.SOCK_STREAM, host, port, name)
        try:
            return tcp, _bound(socket.SOCK_DGRAM, host, tcp.getsockname()[1], name)
        except PortInUseError:
            tcp.close()
            if port or attempt == ATTEMPTS - 1:
                raise
        except BaseException:
            tcp.close()
            raise
    raise AssertionError("unreachable")


def _bound(kind: socket.SocketKind, host: str, port: int, name: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        if kind == socket.SOCK_STREAM:
            made.listen(1024)
    except OSError as error:
        made.close()
        why = f"the {name} cannot listen on {host}:{port}: {error.strerror or error}"
        if isinstance(error, PermissionError):
            raise AddressError(f"{why}; choose a port above 1023") from error
        raise PortInUseError(f"{why}; choose another port, or 0 for a free one") from error
    return made
