"""As much of D-Bus as it takes to ask a service something and to hear its signals.

Specification: https://dbus.freedesktop.org/doc/dbus-specification.html
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Self

from proa.kubelet._log_writer import readable
from proa.kubelet.errors import KubeletError

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_TO, DESTINATION, SENDER, SIGNATURE, DESCRIPTORS = range(1, 10)
_TYPES: Final = {
    PATH: "o", INTERFACE: "s", MEMBER: "s", ERROR_NAME: "s", REPLY_TO: "u", DESTINATION: "s", SENDER: "s",
    SIGNATURE: "g", DESCRIPTORS: "u",
}  # fmt: skip
_BUS: Final = "org.freedesktop.DBus"
_LITTLE_ENDIAN: Final = ord("l")
_HEADER: Final = struct.Struct("<BBBBIII")
_MOST: Final = 1 << 20
_ANSWER_SECONDS: Final = 25.0


class Variant(NamedTuple):
    """A value whose type goes along with it; it is received as what is in it."""

    kind: str
    value: str | int


Value = str | int | Variant


class DBusError(KubeletError):
    """The bus cannot be used, or a service refuses."""


@dataclass(frozen=True)
class Message:
    """One message. The values of its body are texts and numbers; `h` is an index into `descriptors`."""

    kind: int
    serial: int
    header: Mapping[int, str | int]
    body: tuple[Value, ...] = ()
    descriptors: tuple[int, ...] = ()

    def encoded(self) -> bytes:
        """As it goes over the bus; its signature is in its header."""
        body = _Writer()
        for kind, value in zip(str(self.header.get(SIGNATURE, "")), self.body, strict=True):
            body.add(kind, value)
        fields = _Writer()
        for code, value in self.header.items():
            fields.align(8)
            fields.add("y", code)
            fields.add("v", Variant(_TYPES[code], value))
        head = _HEADER.pack(
            _LITTLE_ENDIAN, self.kind, 0, 1, len(body.content), self.serial, len(fields.content)
        )
        padding = b"\0" * (-(len(head) + len(fields.content)) % 8)
        return head + bytes(fields.content) + padding + bytes(body.content)


class _Writer:
    def __init__(self) -> None:
        self.content = bytearray()

    def align(self, size: int) -> None:
        self.content += b"\0" * (-len(self.content) % size)

    def add(self, kind: str, value: Value) -> None:
        if isinstance(value, Variant):
            self.add("g", value.kind)
            self.add(value.kind, value.value)
        elif kind in "so":
            self.align(4)
            text = str(value).encode()
            self.content += struct.pack("<I", len(text)) + text + b"\0"
        elif kind == "g":
            text = str(value).encode()
            self.content += bytes([len(text)]) + text + b"\0"
        else:
            size = struct.calcsize(_NUMBERS[kind])
            self.align(size)
            self.content += struct.pack(_NUMBERS[kind], value)


_NUMBERS: Final = {"y": "<B", "b": "<I", "u": "<I", "h": "<I", "t": "<Q"}


@dataclass
class _Reader:
    content: bytes
    place: int = 0

    def align(self, size: int) -> None:
        self.place += -self.place % size

    def take(self, kind: str) -> str | int:
        if kind == "v":
            return self.take(str(self.take("g")))
        if kind in _NUMBERS:
            number = struct.Struct(_NUMBERS[kind])
            self.align(number.size)
            (value,) = number.unpack_from(self.content, self.place)
            self.place += number.size
            return int(value)
        if kind not in {"s", "o", "g"}:
            raise DBusError(f"the bus sent a value of type {kind!r}, which nobody has asked for")
        length = int(self.take("y" if kind == "g" else "u"))
        text = self.content[self.place : self.place + length].decode()
        self.place += length + 1
        return text


@dataclass
class Messages:
    """Puts together what comes in pieces."""

    _pending: bytearray = field(default_factory=bytearray)
    _descriptors: list[int] = field(default_factory=list)

    def feed(self, content: bytes, descriptors: list[int]) -> Iterator[Message]:
        """Take a piece; yield the messages that are whole by now.

        Raises:
            DBusError: This is no D-Bus.
        """
        self._pending += content
        self._descriptors += descriptors
        while len(self._pending) >= _HEADER.size:
            order, kind, _, version, body_size, serial, fields_size = _HEADER.unpack_from(self._pending)
            begin = (_HEADER.size + fields_size + 7) // 8 * 8
            if order != _LITTLE_ENDIAN or version != 1 or begin + body_size > _MOST:
                raise DBusError("the bus sent what is no message")
            if len(self._pending) < begin + body_size:
                return
            whole = bytes(self._pending[: begin + body_size])
            del self._pending[: begin + body_size]
            yield self._message(kind, serial, whole[: _HEADER.size + fields_size], whole[begin:])

    def _message(self, kind: int, serial: int, head: bytes, content: bytes) -> Message:
        try:
            fields, header = _Reader(head, _HEADER.size), dict[int, str | int]()
            while fields.place < len(head):
                fields.align(8)
                code = int(fields.take("y"))
                header[code] = fields.take("v")
            body = _Reader(content)
            values = tuple(_take_all(body, str(header.get(SIGNATURE, ""))))
        except (struct.error, UnicodeDecodeError) as error:
            raise DBusError("the bus sent what is no message") from error
        count = int(header.get(DESCRIPTORS, 0))
        own, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return Message(kind, serial, header, values, tuple(own))

    def close(self) -> None:
        """Close descriptors that nobody got."""
        for descriptor in self._descriptors:
            os.close(descriptor)


def _take_all(body: _Reader, signature: str) -> Iterator[str | int]:
    for kind in signature:
        if kind not in {*_NUMBERS, "s", "o", "g", "v"}:
            return  # What comes from here on is not for us.
        yield body.take(kind)


class Bus:
    """A connection to a bus, for one task at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._messages = Messages()
        self._ready: deque[Message] = deque()
        self._signals: deque[Message] = deque()
        self._serial = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, address: Path) -> AsyncIterator[Self]:
        """Connect to the bus at a socket.

        Raises:
            DBusError: It refuses.
            OSError: There is none.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            bus = cls(connection)
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await asyncio.get_running_loop().sock_connect(connection, str(address))
                    await bus._authenticate()
                    await bus.call(_BUS, "/org/freedesktop/DBus", _BUS, "Hello")
                yield bus
            except TimeoutError as error:
                raise DBusError("the bus does not answer") from error
            finally:
                bus._messages.close()

    async def call(
        self, destination: str, path: str, interface: str, member: str, *arguments: str
    ) -> Message:
        """Call a method whose arguments are texts; return its answer.

        Raises:
            DBusError: It fails, or the bus is gone.
        """
        header: dict[int, str | int] = {PATH: path, DESTINATION: destination, INTERFACE: interface}
        header |= {MEMBER: member} | ({SIGNATURE: "s" * len(arguments)} if arguments else {})
        serial = await self.send(CALL, header, *arguments)
        async with asyncio.timeout(_ANSWER_SECONDS):
            while True:
                message = await self._receive()
                if message.header.get(REPLY_TO) != serial:
                    self._signals.append(message)
                elif message.kind == ERROR:
                    said = message.body[0] if message.body else message.header.get(ERROR_NAME)
                    raise DBusError(f"{interface}.{member}: {said}")
                else:
                    return message

    async def send(self, kind: int, header: Mapping[int, str | int], *body: Value) -> int:
        """Send a message; return its serial."""
        self._serial += 1
        content = Message(kind, self._serial, header, body).encoded()
        await asyncio.get_running_loop().sock_sendall(self._connection, content)
        return self._serial

    async def match(self, rule: str) -> None:
        """Ask for signals."""
        await self.call(_BUS, "/org/freedesktop/DBus", _BUS, "AddMatch", rule)

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield what comes beside answers, for ever.

        Raises:
            DBusError: The bus is gone.
        """
        while True:
            yield self._signals.popleft() if self._signals else await self._receive()

    async def _receive(self) -> Message:
        while True:
            if self._ready:
                return self._ready.popleft()
            await readable(self._connection.fileno())
            flags = socket.MSG_CMSG_CLOEXEC
            content, descriptors, *_ = socket.recv_fds(self._connection, 65536, 16, flags)
            if not content:
                raise DBusError("the bus has closed the connection")
            self._ready.extend(self._messages.feed(content, descriptors))

    async def _authenticate(self) -> None:
        loop = asyncio.get_running_loop()
        identity = str(os.getuid()).encode().hex().encode()
        for line, expected in ((b"\0AUTH EXTERNAL " + identity, b"OK"), (b"NEGOTIATE_UNIX_FD", b"AGREE")):
            await loop.sock_sendall(self._connection, line + b"\r\n")
            answer = b""
            while not answer.endswith(b"\r\n"):
                piece = await loop.sock_recv(self._connection, 512)
                if not piece:
                    raise DBusError("the bus has closed the connection")
                answer += piece
            if not answer.startswith(expected):
                raise DBusError(f"the bus refuses: {answer.decode('ascii', 'replace').strip()}")
        await loop.sock_sendall(self._connection, b"BEGIN\r\n")
