"""Asking a name server for an address: what a guest's process does before it asks the machine's resolver.

Only what that takes: questions for IPv4 addresses, over TCP, which needs neither repetition nor a second
attempt for long answers. The search list is used as resolv.conf(5) says.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - looked up by name with the first connection, when no file can be read
import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import Final

from proa.wasm.spec import NameServer

__all__ = ["look_up"]

_TIMEOUT: Final = 5.0
_NUMBER: Final = 1
_ADDRESS: Final = 1
_ALIAS: Final = 5
_INTERNET: Final = 1
_RECURSION_DESIRED: Final = 0x0100
_RCODE: Final = 0x000F
_MOST_ALIASES: Final = 8
_POINTER: Final = 0xC0


class _Malformed(Exception):  # noqa: N818 - caught here
    pass


def look_up(name: str, server: NameServer) -> str:
    """Return a name's address, or what the machine's resolver is to be asked for instead.

    That is the name itself where the server does not know it or cannot be asked, and the name that it stands
    for where the server knows no more than that.
    """
    if _is_address(name) or name.rstrip(".").lower() == "localhost":
        return name
    try:
        with socket.create_connection((server.host, server.port), timeout=_TIMEOUT) as connection:
            for candidate in _candidates(name, server):
                found = _resolve(candidate, connection)
                if found is not None:
                    return found
    except (OSError, _Malformed):
        pass
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _candidates(name: str, server: NameServer) -> Iterator[str]:
    if name.endswith("."):
        yield name[:-1]
        return
    whole_first = name.count(".") >= server.dots
    if whole_first:
        yield name
    yield from (f"{name}.{domain}" for domain in server.search)
    if not whole_first:
        yield name


def _resolve(name: str, connection: socket.socket) -> str | None:
    """Follow a name to an address, or to the last alias that the server knows of; None: it knows nothing."""
    found: str | None = None
    for _ in range(_MOST_ALIASES):
        addresses, aliases = _ask(name, connection)
        if addresses:
            return addresses[0]
        following = aliases.get(name.lower())
        if following is None:
            return found
        found = name = following
    return found


def _ask(name: str, connection: socket.socket) -> tuple[list[str], dict[str, str]]:
    try:
        labels = [label.encode("ascii") for label in name.split(".")]
    except UnicodeEncodeError:
        return [], {}
    if not all(0 < len(label) < 64 for label in labels):
        return [], {}
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    query = struct.pack("!6H", _NUMBER, _RECURSION_DESIRED, 1, 0, 0, 0) + question
    query += struct.pack("!2H", _ADDRESS, _INTERNET)
    connection.sendall(struct.pack("!H", len(query)) + query)
    (length,) = struct.unpack("!H", _receive(connection, 2))
    return _read(_receive(connection, length))


def _receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise _Malformed
        received += part
    return received


def _read(answer: bytes) -> tuple[list[str], dict[str, str]]:
    """Read the addresses, and what is an alias of what."""
    addresses: list[str] = []
    aliases: dict[str, str] = {}
    try:
        this, flags, questions, answers = struct.unpack_from("!4H", answer)
        if this != _NUMBER:
            raise _Malformed
        if flags & _RCODE:
            return [], {}
        at = 12
        for _ in range(questions):
            at = _name(answer, at)[1] + 4
        for _ in range(answers):
            name, at = _name(answer, at)
            kind, _, _, length = struct.unpack_from("!HHIH", answer, at)
            at += 10
            if kind == _ADDRESS and length == 4:
                addresses.append(socket.inet_ntoa(answer[at : at + 4]))
            elif kind == _ALIAS:
                aliases[name.lower()] = _name(answer, at)[0]
            at += length
    except (struct.error, IndexError, OSError, UnicodeDecodeError):
        raise _Malformed from None
    return addresses, aliases


def _name(message: bytes, at: int) -> tuple[str, int]:
    """Read a name; return where it ends, too. A pointer leads to the rest of it, further to the front."""
    labels: list[str] = []
    end: int | None = None
    while length := message[at]:
        if length & _POINTER == _POINTER:
            target = struct.unpack_from("!H", message, at)[0] & 0x3FFF
            end = at + 2 if end is None else end
            if target >= at:
                raise _Malformed
            at = target
            continue
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), at + 1 if end is None else end
