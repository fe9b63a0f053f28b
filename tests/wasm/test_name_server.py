"""What is asked of a name server for a guest, and what is made of its answers."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest
from wasmtime import wat2wasm

from proa.wasm import ModuleTerms, NameServer, Outbound, Sandboxes, SandboxSpec
from proa.wasm._name_server import look_up

Respond = Callable[[bytes], bytes]


@contextmanager
def serving(respond: Respond) -> Iterator[NameServer]:
    """A name server for one client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_converse, args=(listener, respond), daemon=True)
        thread.start()
        yield NameServer(host="127.0.0.1", port=listener.getsockname()[1], search=("ns.test", "test"), dots=2)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)


def _converse(listener: socket.socket, respond: Respond) -> None:
    try:
        connection, _ = listener.accept()
    except OSError:
        return
    with connection, connection.makefile("rwb") as stream:
        while len(prefix := stream.read(2)) == 2:
            answer = respond(stream.read(*struct.unpack("!H", prefix)))
            stream.write(struct.pack("!H", len(answer)) + answer)
            stream.flush()


def zone(*records: str) -> tuple[Respond, list[str]]:
    """Answer from records in a zone file's form, and note the names that are asked for."""
    asked: list[str] = []
    known: dict[str, list[list[str]]] = {}
    for record in records:
        name, kind, data = record.split()
        known.setdefault(name, []).append([kind, data])

    def respond(query: bytes) -> bytes:
        message = dns.message.from_wire(query)
        name = message.question[0].name
        asked.append(name.to_text(omit_final_dot=True))
        response = dns.message.make_response(message)
        found = known.get(asked[-1], [])
        response.set_rcode(dns.rcode.NOERROR if found else dns.rcode.NXDOMAIN)
        for kind, data in found:
            response.answer.append(dns.rrset.from_text(name, 5, "IN", kind, data))
        return response.to_wire()

    return respond, asked


def test_short_names_are_looked_for_in_the_domains_first_and_long_ones_last() -> None:
    for name, asked_for in (
        ("web", ["web.ns.test"]),
        ("db.other", ["db.other.ns.test", "db.other.test"]),
        ("web.ns.test", ["web.ns.test"]),
        ("web.ns.test.", ["web.ns.test"]),
    ):
        respond, asked = zone("web.ns.test A 127.67.0.1", "db.other.test A 127.67.0.1")
        with serving(respond) as server:
            assert look_up(name, server) == "127.67.0.1", name
        assert asked == asked_for


def test_aliases_are_followed_as_far_as_they_are_known() -> None:
    respond, _ = zone(
        "a.ns.test CNAME web.ns.test.", "web.ns.test A 127.67.0.1", "b.ns.test CNAME example.com."
    )
    with serving(respond) as server:
        assert look_up("a", server) == "127.67.0.1"
    with serving(respond) as server:
        assert look_up("b", server) == "example.com"
    circle, _ = zone("a.ns.test CNAME b.ns.test.", "b.ns.test CNAME a.ns.test.")
    with serving(circle) as server:
        assert look_up("a", server).endswith(".ns.test")


def test_what_is_not_the_server_s_is_left_to_the_machine() -> None:
    respond, asked = zone()
    with serving(respond) as server:
        assert look_up("example.com", server) == "example.com"
        assert asked[-1] == "example.com"
    nobody = NameServer(host="127.0.0.1", port=1)
    for name in ("example.com", "localhost", "127.0.0.1", "::1"):
        assert look_up(name, nobody) == name


def _circular(query: bytes) -> bytes:
    return query[:2] + struct.pack("!5H", 0x8000, 0, 1, 0, 0) + b"\xc0\x0c"


@pytest.mark.parametrize(
    "respond",
    [
        lambda query: b"",
        lambda query: query[:5],
        lambda query: b"\0\0" + query[2:],
        _circular,
        lambda query: query[:2] + struct.pack("!5H", 0x8000, 1, 9, 0, 0) + query[12:],
    ],
)
def test_answers_that_are_none_do_no_harm(respond: Respond) -> None:
    with serving(respond) as server:
        assert look_up("web", server) == "web"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_a_component_s_requests_go_where_its_name_server_says(
    sandboxes: Sandboxes, tmp_path: Path
) -> None:
    text = (Path(__file__).parent / "asks.wat").read_text()
    respond, _ = zone("web.ns.test A 127.0.0.1")
    async with await asyncio.start_server(_answer, "127.0.0.1", 0) as target:
        port = target.sockets[0].getsockname()[1]
        for name, code in (("web", 0), ("unknown.invalid", 1)):
            authority = f"{name}:{port}"
            path = tmp_path / f"{name}.wasm"
            path.write_bytes(
                wat2wasm(text.replace("AUTHORITY", authority).replace("LENGTH", str(len(authority))))
            )
            module = await sandboxes.compile(path, terms=ModuleTerms(http=True))
            with serving(respond) as server:
                outbound = Outbound(hosts=(f"http://{authority}",), name_server=server)
                sandbox = await sandboxes.start(SandboxSpec(id=name, module=module, outbound=outbound))
                assert (await sandbox.wait()).exit_code == code
