"""The DNS server for `cluster.local`, over UDP and TCP."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from proa.controlplane.network._listening import bind
from proa.controlplane.network._names import ZONE, Record, View, look_up, reverse

TTL = 5
"""Seconds that an answer may be kept."""

SMALLEST = 512
LARGEST = 1232
"""Bounds of a datagram in bytes; an answer that is longer is fetched again over TCP."""

IDLE_SECONDS = 10.0
MOST_CONNECTIONS = 128

_ZONE = dns.name.Name((*(label.encode() for label in ZONE), b""))
_REVERSE = dns.name.from_text("127.in-addr.arpa.")
_SOA = f"ns.dns.{_ZONE} hostmaster.{_ZONE} 1 7200 1800 86400 {TTL}"


def respond(query: bytes, view: View, limit: int | None = None) -> bytes | None:
    """Return the answer to a query; None for what deserves none.

    Args:
        query: The message as it came, from anyone.
        view: What there is.
        limit: The most bytes of an answer that the transport carries; None if it carries any.
    """
    try:
        asked = dns.message.from_wire(query)
    except dns.message.ShortHeader:
        return None
    except (dns.exception.DNSException, ValueError):
        return _malformed(query)
    if asked.flags & dns.flags.QR:
        return None
    response = dns.message.make_response(asked, our_payload=LARGEST)
    _fill(response, view)
    return _encode(response, asked, limit)


def _fill(response: dns.message.Message, view: View) -> None:
    if response.opcode() != dns.opcode.QUERY:
        response.set_rcode(dns.rcode.NOTIMP)
        return
    if len(response.question) != 1 or response.question[0].rdclass != dns.rdataclass.IN:
        response.set_rcode(dns.rcode.REFUSED)
        return
    name, kind = response.question[0].name, response.question[0].rdtype
    if name.is_subdomain(_ZONE):
        labels = [label.decode("latin-1").lower() for label in name.relativize(_ZONE).labels]
        _answer(response, look_up(labels, view), _ZONE)
    elif name.is_subdomain(_REVERSE) and kind in {dns.rdatatype.PTR, dns.rdatatype.ANY}:
        with suppress(dns.exception.DNSException):
            _answer(response, reverse(dns.reversename.to_address(name), view), _REVERSE)
    else:
        # Other names are for other servers; a resolver asks the next one on its list.
        response.set_rcode(dns.rcode.REFUSED)


def _answer(response: dns.message.Message, records: Sequence[Record] | None, zone: dns.name.Name) -> None:
    response.flags |= dns.flags.AA
    name, kind = response.question[0].name, response.question[0].rdtype
    if records is None:
        response.set_rcode(dns.rcode.NXDOMAIN)
    for record in _shuffled(records or ()):
        this = dns.rdatatype.from_text(record.type)
        if this in {kind, dns.rdatatype.CNAME} or kind == dns.rdatatype.ANY:
            answer = response.find_rrset(response.answer, name, dns.rdataclass.IN, this, create=True)
            answer.add(dns.rrset.from_text(name, TTL, "IN", record.type, record.data)[0], TTL)
    if not response.answer:
        response.authority.append(dns.rrset.from_text(zone, TTL, "IN", "SOA", _SOA))


def _shuffled(records: Sequence[Record]) -> list[Record]:
    """Change the order, as most clients take the first address."""
    return random.sample(records, len(records))


def _encode(response: dns.message.Message, asked: dns.message.Message, limit: int | None) -> bytes:
    if limit is None:
        return response.to_wire(max_size=65535)
    size = min(max(asked.payload, SMALLEST), limit) if asked.edns >= 0 else SMALLEST
    try:
        return response.to_wire(max_size=size)
    except dns.exception.TooBig:
        for section in (response.answer, response.authority, response.additional):
            section.clear()
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=size)


def _malformed(query: bytes) -> bytes | None:
    """Tell a client that its message can't be read, by the one thing that can be: its number."""
    if len(query) < 12 or query[2] & 0x80:
        return None
    response = dns.message.Message(id=int.from_bytes(query[:2], "big"))
    response.flags |= dns.flags.QR
    response.set_rcode(dns.rcode.FORMERR)
    return response.to_wire()


class DnsServer:
    """Answers for `cluster.local` on one port, over UDP and TCP, until the block is left.

    Args:
        view: What there is.
        host: The address to listen on.
        port: The port; 0 picks a free one.
    """

    def __init__(self, view: View, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self._view = view
        self._connections: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        tcp, udp = bind(self.host, self.port, "DNS server")
        self.port = tcp.getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self._view), sock=udp)
        self._stack.callback(transport.close)
        server = await asyncio.start_server(self._accept, sock=tcp)
        self._stack.callback(server.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            # It is cancelled only by this server's own end, of which asyncio's streams need not be told.
            with suppress(asyncio.CancelledError, TimeoutError, asyncio.IncompleteReadError, ConnectionError):
                await self._converse(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                length = int.from_bytes(await reader.readexactly(2), "big")
                answer = respond(await reader.readexactly(length), self._view)
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    """Answers one datagram with one."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        answer = respond(data, self._view, LARGEST)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)
