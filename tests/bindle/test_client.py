"""The client, the cache, the proxy and whole transfers: what is fetched is what was stored, or nothing is."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from proa.app import Backoff, http
from proa.app.loop import Loop
from proa.bindle.auth import Everyone
from proa.bindle.cache import Cache
from proa.bindle.client import BindleClient
from proa.bindle.errors import (
    BindleError,
    InvoiceExistsError,
    InvoiceNotFoundError,
    NoKnownKeyError,
    ParcelExistsError,
    ParcelMismatchError,
    ParcelNotFoundError,
    ServerError,
    ServerUnavailableError,
    YankedError,
)
from proa.bindle.filter import Filter
from proa.bindle.invoice import Id, Invoice, encode
from proa.bindle.keys import Keyring, SecretKey, SecretKeys
from proa.bindle.modules import ModuleReference, fetch_module
from proa.bindle.proxy import Proxy
from proa.bindle.server import BindleServer, Trust
from proa.bindle.signing import Strategy, signature_reports
from proa.bindle.storage.index import Query
from proa.bindle.testing import RunningServer, make_invoice, make_label, running_server
from proa.bindle.transfer import fetch, push

CONTENTS = {"barrel.txt": b"a barrel", "crate.txt": b"a crate", "deep/parcel.txt": b"a parcel"}
SOON = Backoff(initial=0, maximum=0)


def stored(directory: Path, contents: Mapping[str, bytes]) -> dict[str, Path]:
    """Write contents to files and return these by digest."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = {}
    for content in contents.values():
        digest = hashlib.sha256(content).hexdigest()
        paths[digest] = directory / digest
        paths[digest].write_bytes(content)
    return paths


async def pushed(
    server: RunningServer, client: BindleClient, directory: Path, bindle: str, contents: Mapping[str, bytes]
) -> Invoice:
    invoice = server.signed(bindle, contents)
    paths = await asyncio.to_thread(stored, directory, contents)
    return (await push(client, invoice, lambda label: paths[label.sha256])).invoice


async def test_a_pushed_bindle_comes_back_whole(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:
    moved: list[int] = []
    invoice = server.signed("example.com/cargobay/1.0.0+build.1", CONTENTS)
    paths = stored(tmp_path / "in", CONTENTS)
    result = await push(client, invoice, lambda label: paths[label.sha256], moved.append)
    assert (result.created, len(result.uploaded), sum(moved)) == (True, 3, sum(map(len, CONTENTS.values())))
    assert await client.missing(invoice.id) == []
    async with Cache(tmp_path / "cache") as cache:
        got = await cache.invoice(client, invoice.id)
        assert got == result.invoice
        files = await fetch(client, cache, got, got.labels)
        assert {files[label.sha256].read_bytes() for label in got.labels} == set(CONTENTS.values())


async def test_a_push_sends_only_what_is_missing(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:
    paths = stored(tmp_path / "in", CONTENTS)
    invoice = server.signed("a/1.0.0", CONTENTS)
    await client.create_invoice(invoice)
    first = invoice.labels[0]
    await client.push_parcel(invoice.id, first, paths[first.sha256])
    again = await push(client, invoice, lambda label: paths[label.sha256])
    assert (again.created, len(again.uploaded)) == (False, 2)
    assert (await push(client, invoice, lambda label: paths[label.sha256])).uploaded == []


async def test_another_bindle_of_the_same_id_is_not_taken_for_this_one(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:
    await pushed(server, client, tmp_path, "a/1.0.0", CONTENTS)
    with pytest.raises(InvoiceExistsError, match="choose a new version"):
        await pushed(server, client, tmp_path, "a/1.0.0", {"other": b"other"})


async def test_errors_say_what_is_not_there(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:

    invoice = server.signed("a/1.0.0", CONTENTS)
    nowhere = Id.parse("b/1.0.0")
    for request in (client.get_invoice(nowhere), client.missing(nowhere), client.yank(nowhere)):
        with pytest.raises(InvoiceNotFoundError, match=r"there is no b/1.0.0"):
            await request
    await client.create_invoice(invoice)
    with pytest.raises(InvoiceExistsError):
        await client.create_invoice(invoice)
    label, path = invoice.labels[0], stored(tmp_path, CONTENTS)[invoice.labels[0].sha256]
    assert not await client.has_parcel(invoice.id, label.sha256)
    async with Cache(tmp_path / "cache") as cache:
        with pytest.raises(ParcelNotFoundError):
            await cache.parcel(client, invoice.id, label)
    await client.push_parcel(invoice.id, label, path)
    assert await client.has_parcel(invoice.id, label.sha256)
    with pytest.raises(ParcelExistsError):
        await client.push_parcel(invoice.id, label, path)
    with pytest.raises(BindleError, match="can't read"):
        await client.push_parcel(invoice.id, invoice.labels[1], tmp_path / "none")


async def test_a_stream_of_a_parcel_is_checked_at_its_end(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:
    invoice = await pushed(server, client, tmp_path, "a/1.0.0", CONTENTS)
    label = invoice.labels[0]
    assert b"".join([chunk async for chunk in client.stream_parcel(invoice.id, label)]) == b"a barrel"
    server.storage.parcels.path(label.sha256).write_bytes(b"a Barrel")
    with pytest.raises(ParcelMismatchError):
        async for _ in client.stream_parcel(invoice.id, label):
            pass


async def test_a_damaged_parcel_never_gets_into_the_cache(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:
    invoice = await pushed(server, client, tmp_path, "a/1.0.0", CONTENTS)
    label = invoice.labels[0]
    server.storage.parcels.path(label.sha256).write_bytes(b"a Barrel")
    async with Cache(tmp_path / "cache") as cache:
        with pytest.raises(ParcelMismatchError):
            await cache.parcel(client, invoice.id, label)
    assert not list((tmp_path / "cache").glob("parcels/*"))
    assert not list((tmp_path / "cache" / "uploads").iterdir())


@contextlib.asynccontextmanager
async def broken(
    content: bytes, cuts: list[int], *, ranges: bool = True
) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve a parcel whose transfer breaks after each number in `cuts`; yields URL and ranges asked for."""
    asked: list[str] = []

    async def get(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Range", ""))
        start = (request.http_range.start or 0) if ranges else 0
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(content) - start
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        await response.prepare(request)
        end = start + cuts.pop(0) if cuts else len(content)
        await response.write(content[start:end])
        if end < len(content) and request.transport:
            request.transport.close()
        return response

    application = web.Application()
    application.router.add_get("/v1/{rest:.*}", get)
    async with http.listen(application) as server:
        yield f"{server.url}/v1/", asked


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_broken_download_is_carried_on(tmp_path: Path, ranges: bool) -> None:
    content = os.urandom(3_000_000)
    label = make_label("big", content)
    async with (
        broken(content, [2_000_000, 500_000], ranges=ranges) as (url, asked),
        BindleClient(url, backoff=SOON) as client,
        Cache(tmp_path) as cache,
    ):
        path = await cache.parcel(client, Id.parse("a/1.0.0"), label)
        assert path.read_bytes() == content
        assert len(asked) == 3
        assert asked[0] == ""
        assert asked[1].startswith("bytes=")


async def test_a_download_that_always_breaks_fails_and_is_carried_on_later(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    label = make_label("big", content)
    async with Cache(tmp_path) as cache:
        async with (
            broken(content, [1_500_000, 0, 0, 0, 0]) as (url, _),
            BindleClient(url, backoff=SOON) as client,
        ):
            with pytest.raises(ServerUnavailableError):
                await cache.parcel(client, Id.parse("a/1.0.0"), label)
        async with broken(content, []) as (url, asked), BindleClient(url, backoff=SOON) as client:
            assert (await cache.parcel(client, Id.parse("a/1.0.0"), label)).read_bytes() == content
            assert asked[0].startswith("bytes=")


async def test_concurrent_askers_share_one_download(tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    label = make_label("big", content)
    async with broken(content, []) as (url, asked), BindleClient(url) as client, Cache(tmp_path) as cache:
        paths = await asyncio.gather(*(cache.parcel(client, Id.parse("a/1.0.0"), label) for _ in range(10)))
        assert len(set(paths)) == len(asked) == 1


@pytest.mark.parametrize("loop", [Loop, asyncio.SelectorEventLoop])
def test_an_upload_is_carried_on_after_it_broke(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_carried_on(tmp_path))


async def _carried_on(tmp_path: Path) -> None:
    content = os.urandom(4_000_000)
    path = stored(tmp_path / "in", {"big": content})[hashlib.sha256(content).hexdigest()]
    received: list[int] = []
    label = make_label("big", content)

    async def noticed() -> None:
        """Wait until the server knows that the upload broke; a client retries later than at once."""
        while not await server.storage.arrived(label.sha256):  # noqa: ASYNC110 - the other side knows no event of ours
            await asyncio.sleep(0.01)

    async with (
        running_server(tmp_path / "server") as server,
        breaking_proxy(server.url, 2_500_000, received, noticed) as url,
    ):
        async with BindleClient(url, backoff=SOON) as client:
            invoice = server.signed("a/1.0.0", {"big": content})
            await client.create_invoice(invoice)
            moved: list[int] = []
            await client.push_parcel(invoice.id, invoice.labels[0], path, moved.append)
            assert sum(moved) == len(content)
            assert await client.missing(invoice.id) == []
        assert received[-1] < len(content)  # the second time only a part was sent


@contextlib.asynccontextmanager
async def breaking_proxy(
    upstream: str, after: int, received: list[int], noticed: Callable[[], Awaitable[None]]
) -> AsyncIterator[str]:
    """Forward TCP connections; cut the first that sends more than `after` bytes. Counts bytes of each."""
    host, port = upstream.split("/")[2].split(":")
    cut = False
    tasks = set[asyncio.Task[None]]()
    writers: list[asyncio.StreamWriter] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal cut
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        writers.append(writer)
        backend_reader, backend_writer = await asyncio.open_connection(host, int(port))
        writers.append(backend_writer)
        received.append(0)
        number = len(received) - 1

        async def back() -> None:
            while chunk := await backend_reader.read(65536):
                writer.write(chunk)

        task = asyncio.create_task(back())
        tasks.add(task)
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                received[number] += len(chunk)
                backend_writer.write(chunk)
                await backend_writer.drain()
                if received[number] > after and not cut:
                    cut = True
                    break
        backend_writer.close()
        if cut and number == len(received) - 1:
            await noticed()
        task.cancel()
        writer.close()

    listener = await asyncio.start_server(forward, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1/"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for writer in writers:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_no_server_is_an_error_that_names_it(tmp_path: Path) -> None:
    async with BindleClient("http://127.0.0.1:9/v1", backoff=SOON) as client:
        with pytest.raises(ServerUnavailableError, match=r"http://127\.0\.0\.1:9/v1/ gives no answer"):
            await client.get_invoice(Id.parse("a/1.0.0"))


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x/", "http://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BindleError, match="is not a server's URL"):
        BindleClient(url)


async def test_an_answer_for_another_bindle_is_refused() -> None:
    async def get(_request: web.Request) -> web.Response:
        return web.Response(body=encode(make_invoice("b/1.0.0", {})))

    application = web.Application()
    application.router.add_get("/v1/{rest:.*}", get)
    async with http.listen(application) as server, BindleClient(f"{server.url}/v1/") as client:
        with pytest.raises(ServerError, match=r"answered b/1.0.0 when asked for a/1.0.0"):
            await client.get_invoice(Id.parse("a/1.0.0"))


async def test_the_cache_stands_in_for_a_server_that_is_gone(tmp_path: Path) -> None:
    async with Cache(tmp_path / "cache") as cache:
        async with (
            running_server(tmp_path / "server") as server,
            BindleClient(server.url, backoff=SOON) as client,
        ):
            invoice = await pushed(server, client, tmp_path, "a/1.0.0", CONTENTS)
            await cache.invoice(client, invoice.id)
        async with BindleClient(server.url, backoff=SOON) as client:
            assert await cache.invoice(client, invoice.id) == invoice
            with pytest.raises(ServerUnavailableError):
                await cache.invoice(client, Id.parse("b/1.0.0"))


async def test_the_cache_sees_a_yank(server: RunningServer, client: BindleClient, tmp_path: Path) -> None:
    invoice = await pushed(server, client, tmp_path, "a/1.0.0", CONTENTS)
    async with Cache(tmp_path / "cache") as cache:
        await cache.invoice(client, invoice.id)
        await client.yank(invoice.id, "rotten")
        with pytest.raises(YankedError, match="rotten"):
            await cache.invoice(client, invoice.id)
        assert (await cache.invoice(client, invoice.id, yanked=True)).yanked


async def test_the_cache_keeps_within_its_bounds(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:
    contents = {str(number): bytes([number]) * 100_000 for number in range(5)}
    invoice = await pushed(server, client, tmp_path, "a/1.0.0", contents)
    async with Cache(tmp_path / "cache", max_bytes=250_000) as cache:
        for age, label in enumerate(reversed(invoice.labels)):
            path = await cache.parcel(client, invoice.id, label)
            os.utime(path, (1000 - age, 1000 - age))  # long ago, and the longer the later it was fetched
        kept = {path.parent.name for path in (tmp_path / "cache").glob("parcels/*/parcel.dat")}
        assert invoice.labels[-1].sha256 in kept
        assert len(kept) <= 3
        await cache.clean()
        assert not list((tmp_path / "cache").glob("parcels/*"))


async def test_the_caches_strategy_decides_whom_to_trust(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:
    invoice = await pushed(server, client, tmp_path, "a/1.0.0", CONTENTS)
    strategy = Strategy.parse("MultipleAttestationGreedy[Host]")
    known = Keyring.of(server.creator.public(), server.host.public())
    async with Cache(tmp_path / "cache", strategy=strategy, keyring=known) as cache:
        await cache.invoice(client, invoice.id)
    async with Cache(tmp_path / "cache", strategy=strategy, keyring=Keyring.of()) as cache:
        with pytest.raises(NoKnownKeyError):
            await cache.invoice(client, invoice.id)


@contextlib.asynccontextmanager
async def running_proxy(client: BindleClient, directory: Path) -> AsyncIterator[tuple[str, SecretKey]]:
    key = SecretKey.generate("Proxy", ["proxy"])
    trust = Trust(keyring=Keyring.of(), strategy=Strategy(), secret_keys=SecretKeys.of(key))
    async with (
        Cache(directory) as cache,
        BindleServer(Proxy(client, cache, key), trust=trust, authenticator=Everyone(), port=0) as server,
    ):
        yield server.url, key


async def test_a_proxy_passes_on_signed_and_refuses_to_write(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:
    invoice = await pushed(server, client, tmp_path, "a/1.0.0", CONTENTS)
    async with (
        running_proxy(client, tmp_path / "proxy") as (url, key),
        BindleClient(url) as through,
        Cache(tmp_path / "cache") as cache,
    ):
        got = await through.get_invoice(invoice.id)
        assert [s.role for s in got.signatures or []] == ["creator", "host", "proxy"]
        assert signature_reports(got, Keyring.of(key.public()))[-1].trusted
        assert await through.get_invoice(invoice.id) == got
        files = await fetch(through, cache, got, got.labels)
        assert {path.read_bytes() for path in files.values()} == set(CONTENTS.values())
        assert (await through.search(Query(text="a"))).total == 1
        assert await through.missing(invoice.id) == []
        with pytest.raises(InvoiceNotFoundError):
            await through.get_invoice(Id.parse("b/1.0.0"))
        with pytest.raises(ServerError, match="only mirrors"):
            await through.create_invoice(server.signed("b/1.0.0", {}))
        with pytest.raises(ServerError, match="only mirrors"):
            await through.yank(invoice.id)
        await client.yank(invoice.id)
        with pytest.raises(YankedError):
            await through.get_invoice(invoice.id)


async def test_a_module_is_fetched_by_reference(
    server: RunningServer, client: BindleClient, tmp_path: Path
) -> None:
    contents = {"main.wasm": b"\0asm1", "other.wasm": b"\0asm2", "readme": b"text"}
    plain = server.signed("a/1.0.0", contents)
    parcels = [
        msgspec.structs.replace(p, label=msgspec.structs.replace(p.label, media_type="application/wasm"))
        if p.label.name.endswith(".wasm")
        else p
        for p in plain.parcels or []
    ]
    invoice = msgspec.structs.replace(plain, parcels=parcels)  # media types are not signed
    paths = stored(tmp_path / "in", contents)
    await push(client, invoice, lambda label: paths[label.sha256])
    async with Cache(tmp_path / "cache") as cache:
        module = await fetch_module(ModuleReference.parse("bindle:a/1.0.0#main.wasm"), client, cache)
        assert module.path.read_bytes() == b"\0asm1"
        assert (module.digest, module.size) == ("sha256:" + hashlib.sha256(b"\0asm1").hexdigest(), 5)
        for ambiguous in ("bindle:a/1.0.0", "bindle:a/1.0.0#readme"):
            with pytest.raises(BindleError, match=r"the bindle has 'main.wasm', 'other.wasm'"):
                await fetch_module(ModuleReference.parse(ambiguous), client, cache)
        with pytest.raises(BindleError):
            await fetch_module(
                ModuleReference.parse("a/1.0.0#none"), client, cache, Filter(with_groups=["nothing"])
            )
