"""The Service proxy beside a direct connection and beside the least that a relay can cost, written in C.

The sender, the receiver and the relay are processes of their own on loopback, with the sockets that programs
usually have: blocking, 256 KB at a time, the system's own congestion control. The three take turns, so that
whatever else the machine does falls on all of them.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench._table import percentile, show
from proa.controlplane.network._balancer import Balancer
from proa.controlplane.network._routes import Backend, Frontend, Route
from proa.controlplane.network._tcp import TcpListener

MEGABYTES = 2000
PIECE = 1 << 18
TURNS = 5
ROUND_TRIPS = 600
FRONT = "127.67.255.1"
BACK = "127.66.255.1"


@dataclass
class Measured:
    """What several turns gave: bytes a second of each, and seconds of every round trip."""

    rates: list[float] = field(default_factory=list)
    round_trips: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        relay = _compiled(Path(folder))
        measured = asyncio.run(_measure(relay))
    show(
        "Service proxy beside a direct loopback connection",
        ("connection", "throughput", "of direct", "round trip p50", "p99"),
        [(name, *_row(one, measured[_base(name)])) for name, one in measured.items()],
        note=f"Medians of {TURNS} turns of {MEGABYTES} MB each.",
    )


def _base(name: str) -> str:
    """The direct connection to the same server."""
    return "direct, server does not pace" if name.endswith("pace") else "direct"


def _row(measured: Measured, base: Measured) -> Sequence[str]:
    rate, direct = statistics.median(measured.rates), statistics.median(base.rates)
    p50, p99 = (percentile(measured.round_trips, share) for share in (0.5, 0.99))
    return f"{rate / 1e6:,.0f} MB/s", f"{rate / direct:.0%}", f"{p50 * 1e6:.0f} µs", f"{p99 * 1e6:.0f} µs"


def _compiled(folder: Path) -> Path:
    program = folder / "splice_relay"
    source = Path(__file__).with_name("splice_relay.c")
    compiler = (sys.executable, "-m", "ziglang", "cc", "-O2", "-lpthread")
    subprocess.run([*compiler, "-o", str(program), str(source)], check=True)
    return program


async def _measure(relay: Path) -> Mapping[str, Measured]:
    async with AsyncExitStack() as stack:
        usual, unpaced = [await _started(stack, sys.executable, "-c", _HOST, BACK, cc) for cc in ("", "reno")]
        places = {
            "direct": (BACK, usual),
            "proxied": _proxied(stack, usual),
            "peer: a relay in C": (
                FRONT,
                await _started(stack, str(relay), FRONT, BACK, str(usual)),
            ),
            "direct, server does not pace": (BACK, unpaced),
            "proxied, server does not pace": _proxied(stack, unpaced),
        }
        measured = {name: Measured() for name in places}
        for _ in range(TURNS):
            for name, place in places.items():
                measured[name].rates += await _client("throughput", *place)
                measured[name].round_trips += await _client("latency", *place)
        return measured


def _proxied(stack: AsyncExitStack, port: int) -> tuple[str, int]:
    front = Frontend("TCP", FRONT, port)
    listener = TcpListener(front, Balancer(Route((Backend(BACK, port),))))
    stack.push_async_callback(listener.drain, 0)
    stack.callback(listener.close)
    return FRONT, port


async def _started(stack: AsyncExitStack, *command: str) -> int:
    """Start a server and return the port that it says; it is ended with the stack."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    stack.push_async_callback(process.wait)
    stack.callback(process.kill)
    return int(await process.stdout.readline())


async def _client(what: str, address: str, port: int) -> list[float]:
    """Run the measuring side in a process of its own, so that it does not share the proxy's."""
    amount = MEGABYTES * 1_000_000 if what == "throughput" else ROUND_TRIPS
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CLIENT, what, address, str(port), str(amount), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return [float(number) for number in output.split()]


_HOST = f"""
import socket, sys, threading
server = socket.socket()
if sys.argv[2]:
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, sys.argv[2].encode())
server.bind((sys.argv[1], 0))
server.listen()
print(server.getsockname()[1], flush=True)
def serve(one):
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    kind = one.recv(1)
    if kind == b"t":
        left, piece = int(one.recv(32).decode()), bytes({PIECE})
        while left > 0:
            left -= one.send(piece[:left])
    else:
        while data := one.recv(64):
            one.sendall(data)
    one.close()
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""

_CLIENT = f"""
import socket, sys, time
what, address, port, amount = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
one = socket.create_connection((address, port))
one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
if what == "throughput":
    one.sendall(b"t")
    time.sleep(0.05)
    buffer, got = bytearray({PIECE}), 0
    began = time.perf_counter()
    one.sendall(str(amount).encode())
    while got < amount:
        got += one.recv_into(buffer)
    print(got / (time.perf_counter() - began))
else:
    one.sendall(b"l")
    for _ in range(amount):
        began = time.perf_counter()
        one.sendall(b"x" * 32)
        one.recv(64)
        print(time.perf_counter() - began)
"""
