"""Bindle: parcels in and out, invoice reads and search, beside a plain aiohttp server of files.

Client and server are processes of their own, as they are in life. The peer is the least that one would
write without Proa: aiohttp streams a body into a file and hashes it, serves it as a static file, and a client
hashes what it gets; no fsync, no invoice, no check of who may do what.
"""

import asyncio
import contextlib
import hashlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
import uvloop
from aiohttp import web

from bench._table import percentile, show
from proa.app import garbage, http
from proa.app.loop import Loop
from proa.bindle.cache import Cache
from proa.bindle.client import BindleClient
from proa.bindle.invoice import Bindle, Id, Invoice, Label, Parcel, encode
from proa.bindle.keys import SecretKey
from proa.bindle.signing import sign
from proa.bindle.storage import Storage
from proa.bindle.storage.database import InvoiceIndex
from proa.bindle.storage.index import Query
from proa.bindle.testing import running_server

T = TypeVar("T")
BLOCK = 1 << 20
PARCEL_SIZE = 572 * BLOCK
READS = 20_000
CONCURRENCY = 32
INVOICES = 100_000
SEARCHES = ("service", "team-7 service", "nothing-has-this", "")


def main() -> None:
    """Measure and print."""
    for kind, parent in (("memory", Path("/dev/shm")), ("disk", Path(tempfile.gettempdir()))):
        if parent.is_dir():
            with tempfile.TemporaryDirectory(prefix="proa-bench-", dir=parent) as folder:
                _parcels(kind, Path(folder))
    with tempfile.TemporaryDirectory(prefix="proa-bench-") as folder:
        _reads(Path(folder))
        _search(Path(folder) / "search")


def _parcels(kind: str, folder: Path) -> None:
    source = folder / "source"
    digest = _fill(source)
    rows = []
    with _process(_serve_proa, folder / "server") as server:
        before = server.resident
        moved = _run(_move(server.url, server.secret, source, digest, folder))
        rows.append(("proa.bindle", *moved, server.resident - before))
    with _process(_serve_peer, folder / "peer") as server:
        before = server.resident
        moved = uvloop.run(_move_peer(server.url, source, folder))
        rows.append(("plain aiohttp", *moved, server.resident - before))
    show(
        f"A parcel of {PARCEL_SIZE / 1e6:.0f} MB on {kind}, loopback, hashed on both ways",
        ("", "in, MB/s", "out, MB/s", "server's memory grew by, MB"),
        rows,
        note="Proa syncs to the disk before it acknowledges; the peer does not.",
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run on the loop that `proa.app.run` uses."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(work)


def _fill(path: Path) -> str:
    block, digest = os.urandom(BLOCK), hashlib.sha256()
    with path.open("wb") as file:
        for number in range(PARCEL_SIZE // BLOCK):
            chunk = number.to_bytes(8, "big") + block[8:]
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


async def _move(url: str, secret: bytes, source: Path, digest: str, folder: Path) -> tuple[float, float]:
    label = Label(sha256=digest, media_type="application/octet-stream", name="big", size=PARCEL_SIZE)
    invoice = _signed(secret, Id.parse("bench/1.0.0"), [Parcel(label=label)])
    async with BindleClient(url) as client, Cache(folder / "cache") as cache:
        await client.create_invoice(invoice)
        began = time.perf_counter()
        await client.push_parcel(invoice.id, label, source)
        between = time.perf_counter()
        await cache.parcel(client, invoice.id, label)
        ended = time.perf_counter()
    megabytes = label.size / 1e6
    return megabytes / (between - began), megabytes / (ended - between)


async def _move_peer(url: str, source: Path, folder: Path) -> tuple[float, float]:
    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        with source.open("rb") as file:
            async with session.post(f"{url}upload", data=file) as response:
                response.raise_for_status()
        between = time.perf_counter()
        digest = hashlib.sha256()
        async with session.get(f"{url}parcel") as response:
            with (folder / "got").open("wb") as copy:
                async for chunk in response.content.iter_any():
                    digest.update(chunk)
                    copy.write(chunk)
        ended = time.perf_counter()
    megabytes = PARCEL_SIZE / 1e6
    return megabytes / (between - began), megabytes / (ended - between)


def _reads(folder: Path) -> None:
    rows = []
    with _process(_serve_proa, folder / "server") as server:
        rows.append(("proa.bindle", *_run(_read_invoices(server.url, server.secret))))
    with _process(_serve_peer, folder / "peer") as server:
        rows.append(("plain aiohttp, a constant", *uvloop.run(_gets(f"{server.url}constant"))))
    show("Reading invoices, one client process", ("", "reads/s", "p99 ms"), rows)


async def _read_invoices(url: str, secret: bytes) -> tuple[float, float]:
    async with BindleClient(url) as client:
        for number in range(100):
            await client.create_invoice(_signed(secret, Id.parse(f"bench/service/1.0.{number}"), []))
    return await _gets(f"{url}_i/bench/service/1.0.7")


async def _gets(url: str) -> tuple[float, float]:
    seconds: list[float] = []
    async with aiohttp.ClientSession() as session:

        async def get() -> None:
            while len(seconds) < READS:
                began = time.perf_counter()
                async with session.get(url) as response:
                    await response.read()
                seconds.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(get() for _ in range(CONCURRENCY)))
        return len(seconds) / (time.perf_counter() - began), percentile(seconds, 0.99) * 1e3


def _search(folder: Path) -> None:
    garbage.tune()  # as proa.app.run does for the server
    for kind in ("sqlite", "files"):
        uvloop.run(_searches(folder / kind, kind))


async def _searches(folder: Path, kind: Any) -> None:
    key = SecretKey.generate("bench", ["creator"])
    await asyncio.to_thread(_fill_storage, folder, kind, key)
    opened = [await _timed(_open(folder, kind)) for _ in range(2)]
    async with Storage(folder, kind=kind) as storage:
        rows = []
        for text in SEARCHES:
            for version in ("", "^1.0"):
                query = Query(text=text, version=version)
                cold, found = await _timed(storage.search(query))
                warm = min([(await _timed(storage.search(query)))[0] for _ in range(5)])
                rows.append((repr(text), version or "any", found.total, cold * 1e3, warm * 1e3))
    show(
        f"Search over {INVOICES:,} invoices in {kind}, a page of 50 whole invoices",
        ("words", "versions", "found", "first, ms", "again, ms"),
        rows,
        note=f"Opened in {opened[1][0]:.2f} s, the first time in {opened[0][0]:.1f} s.",
    )


async def _open(folder: Path, kind: Any) -> None:
    async with Storage(folder, kind=kind):
        pass


def _fill_storage(folder: Path, kind: str, key: SecretKey) -> None:
    """Put invoices there as the storage would, but without waiting for the disk each time."""
    folder.mkdir(parents=True)
    template = sign(_invoice(Id.parse("team-0/service/1.0.0"), []), key, "creator", 1)
    documents = (_renamed(template, number) for number in range(INVOICES))
    if kind == "sqlite":
        index = InvoiceIndex(folder / "invoices.sqlite", durable=False)
        index.open()
        with contextlib.closing(index), index.writing():
            for invoice in documents:
                index.put(invoice)
        return
    for invoice in documents:
        place = folder / "invoices" / invoice.id.sha256
        place.mkdir(parents=True)
        (place / "invoice.toml").write_bytes(encode(invoice))


def _renamed(template: Invoice, number: int) -> Invoice:
    bindle = Bindle(name=f"team-{number % 100}/service-{number // 5}", version=f"{number % 3}.{number % 5}.0")
    return msgspec.structs.replace(template, bindle=bindle)


async def _timed(work: Coroutine[Any, Any, Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = await work
    return time.perf_counter() - began, result


def _invoice(bindle: Id, parcels: list[Parcel]) -> Invoice:
    return Invoice(
        bindle_version="1.0.0", bindle=Bindle(name=bindle.name, version=bindle.version), parcels=parcels
    )


def _signed(secret: bytes, bindle: Id, parcels: list[Parcel]) -> Invoice:
    return sign(_invoice(bindle, parcels), msgspec.json.decode(secret, type=SecretKey), "creator", 1)


@dataclass
class _Server:
    url: str
    secret: bytes
    pid: int

    @property
    def resident(self) -> float:
        """Its peak resident memory so far, in MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3


@contextlib.contextmanager
def _process(serve: Callable[[Path, Connection], None], folder: Path) -> Iterator[_Server]:
    """Run a server in a process until the block ends."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, theirs))
    process.start()
    try:
        url, secret = ours.recv()
        yield _Server(url, secret, process.pid or 0)
    finally:
        ours.send("stop")
        process.join()


def _serve_proa(folder: Path, pipe: Connection) -> None:
    async def serve() -> None:
        async with running_server(folder) as server:
            pipe.send((server.url, msgspec.json.encode(server.creator)))
            await asyncio.to_thread(pipe.recv)

    _run(serve())


def _serve_peer(folder: Path, pipe: Connection) -> None:
    folder.mkdir()

    async def upload(request: web.Request) -> web.Response:
        digest = hashlib.sha256()
        with (folder / "parcel").open("wb") as file:
            async for chunk in request.content.iter_any():
                digest.update(chunk)
                file.write(chunk)
        return web.Response(text=digest.hexdigest())

    async def parcel(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(folder / "parcel")

    async def constant(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 700)

    async def serve() -> None:
        application = web.Application()
        application.router.add_post("/upload", upload)
        application.router.add_get("/parcel", parcel)
        application.router.add_get("/constant", constant)
        async with http.listen(application) as server:
            pipe.send((f"{server.url}/", b""))
            await asyncio.to_thread(pipe.recv)

    _run(serve())
