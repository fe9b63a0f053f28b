"""What the process that supervises and its workers say to each other: JSON, a message a line."""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import msgspec

from proa.wagi.handlers import Handler
from proa.wagi.statistics import Statistics

__all__ = ["Control", "Message", "Report", "Start", "Tell", "Use"]

_LIMIT = 256 * 1024 * 1024


class _Message(msgspec.Struct, tag=True):
    pass


class Start(_Message):
    """The first message to a worker: how to serve."""

    executors: int
    hostname: str | None
    cache_dir: Path
    state_dir: Path
    log_dir: Path | None
    access_log: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    shutdown_timeout: float


class Use(_Message):
    """Serve these handlers from now on, and read the certificate again. Answered by a Report."""

    handlers: list[Handler]


class Tell(_Message):
    """Tell the statistics. Answered by a Report."""


class Report(_Message):
    """What a worker has counted; also says that it serves."""

    statistics: Statistics


Message = Start | Use | Tell | Report

_decoder = msgspec.json.Decoder(Message, dec_hook=lambda _, value: Path(value))


class Control:
    """One end of the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, connection: socket.socket) -> "Control":
        """Speak over a connected Unix socket, which belongs to the control from now on."""
        return cls(*await asyncio.open_unix_connection(sock=connection, limit=_LIMIT))

    async def send(self, message: Message) -> None:
        """Send a message; raises ConnectionError when the other end is gone."""
        self._writer.write(msgspec.json.encode(message, enc_hook=str) + b"\n")
        await self._writer.drain()

    async def receive(self) -> Message | None:
        """Return the next message, None when the other end is gone."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        if not line.endswith(b"\n"):
            return None
        message: Any = _decoder.decode(line)
        received: Message = message
        return received

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
