"""The server by its bare protocol, on both storages: the reference's scenarios, and what it has wrong."""

import asyncio
import io
import tomllib
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from proa.bindle.client import BindleClient
from proa.bindle.invoice import Id, encode
from proa.bindle.keys import Keyring
from proa.bindle.signing import Strategy, sign, signature_reports
from proa.bindle.storage import Quota
from proa.bindle.testing import RunningServer, make_invoice, make_label, running_server

RED, GREEN = b"a red one", b"a green one"
TOML = {"Content-Type": "application/toml"}


def warpcore(server: RunningServer, version: str = "1.0.0", **contents: bytes) -> bytes:
    return encode(server.signed(f"enterprise.com/warpcore/{version}", contents or {"red": RED}))


async def post(http: aiohttp.ClientSession, path: str, content: bytes, **headers: str) -> int:
    async with http.post(path, data=io.BytesIO(content), headers=headers or TOML) as response:
        await response.read()
        return response.status


async def get(http: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
    async with http.get(path, headers=headers) as response:
        return response.status, tomllib.loads(await response.text())


def parcel(bindle: str, content: bytes) -> str:
    return f"_i/{bindle}@{make_label('', content).sha256}"


async def test_a_bindle_is_made_of_an_invoice_and_then_its_parcels(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    async with http.post("_i", data=warpcore(server), headers=TOML) as response:
        assert response.status == 202
        assert response.content_type == "application/toml"
        body = tomllib.loads(await response.text())
    assert body["invoice"]["bindle"] == {"name": "enterprise.com/warpcore", "version": "1.0.0"}
    assert body["missing"] == [body["invoice"]["parcel"][0]["label"]]
    assert await post(http, parcel("enterprise.com/warpcore/1.0.0", RED), RED) == 200
    other = encode(server.signed("another.com/bindle/1.0.0", {"red": RED}))
    assert await post(http, "_i", other) == 201
    assert await post(http, "_i", warpcore(server, "2.0.0", red=RED, green=GREEN)) == 202
    status, body = await get(http, "_r/missing/enterprise.com/warpcore/2.0.0")
    assert (status, [label["name"] for label in body["missing"]]) == (200, ["green"])
    async with http.get(parcel("enterprise.com/warpcore/2.0.0", RED)) as response:
        assert (response.status, await response.read()) == (200, RED)
        assert (response.content_type, response.content_length) == ("text/plain", len(RED))


async def test_a_new_invoice_is_signed_by_its_host(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    await post(http, "_i", warpcore(server))
    stored = (await server.storage.get(Id.parse("enterprise.com/warpcore/1.0.0"))).invoice
    assert [s.role for s in stored.signatures or []] == ["creator", "host"]
    keyring = Keyring.of(server.host.public(), server.creator.public())
    assert all(report.trusted for report in signature_reports(stored, keyring))


async def test_a_yanked_bindle_is_shown_only_on_demand(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    bindle = "enterprise.com/warpcore/1.0.0"
    await post(http, "_i", warpcore(server))
    await post(http, parcel(bindle, RED), RED)
    for _ in range(2):
        async with http.delete(f"_i/{bindle}", params={"reason": "it leaks"}) as response:
            assert (response.status, tomllib.loads(await response.text())) == (
                200,
                {"message": "invoice yanked"},
            )
    status, body = await get(http, f"_i/{bindle}")
    assert (status, body) == (403, {"error": f"{bindle} was yanked: it leaks"})
    status, body = await get(http, f"_i/{bindle}?yanked=true")
    assert (status, body["yanked"], len(body["yankedSignature"])) == (200, True, 1)
    assert (await get(http, parcel(bindle, RED)))[0] == 403
    assert (await get(http, f"_r/missing/{bindle}"))[0] == 403
    assert await post(http, parcel(bindle, RED), RED) == 403
    assert (await get(http, "_q?q=warpcore"))[1]["total"] == 0
    assert (await get(http, "_q?q=warpcore&yanked=true"))[1]["total"] == 1


async def test_what_was_yanked_stays_yanked_after_a_restart(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server, BindleClient(server.url) as client:
        invoice = server.signed("a/1.0.0", {})
        await client.create_invoice(invoice)
        await client.yank(invoice.id)
    async with running_server(tmp_path) as server, aiohttp.ClientSession(server.url) as http:
        assert (await get(http, "_i/a/1.0.0"))[0] == 403
        assert (await get(http, "_q"))[1]["total"] == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "_i/enterprise.com/warpcore/9.0.0", 404),
        ("HEAD", "_i/enterprise.com/warpcore/9.0.0", 404),
        ("DELETE", "_i/enterprise.com/warpcore/9.0.0", 404),
        ("GET", "_i/enterprise.com/warpcore/latest", 400),
        ("GET", "_i/..%2f..%2fetc/1.0.0", 400),
        ("GET", "_i/enterprise.com/warpcore/1.0.0?yanked=perhaps", 400),
        ("GET", "_r/missing/enterprise.com/warpcore/9.0.0", 404),
        ("GET", "_i/enterprise.com/warpcore/1.0.0@" + "0" * 64, 400),
        ("GET", "_i/enterprise.com/warpcore/1.0.0@..%2f..%2fx", 400),
        ("GET", "_q?colour=red", 400),
        ("GET", "_q?q=a&query=b", 400),
        ("GET", "_q?l=0", 400),
        ("GET", "_q?l=256", 400),
        ("GET", "_q?o=-1", 400),
        ("GET", "_q?strict=yes", 400),
        ("GET", "bindle-keys?roles=host,creator", 400),
        ("GET", "bindle-keys?roles=creator", 400),
        ("GET", "login", 400),
        ("GET", "login?provider=x", 400),
        ("GET", "_x", 404),
        ("PUT", "_i", 405),
        ("POST", "_q", 405),
    ],
)
async def test_what_cannot_be_done_is_refused_with_a_document(
    server: RunningServer, http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    await post(http, "_i", warpcore(server))
    async with http.request(method, path) as response:
        assert response.status == status
        if method != "HEAD":
            assert tomllib.loads(await response.text())["error"]


async def test_an_invoice_is_refused_that_is_wrong_unsigned_yanked_or_there(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    invoice = server.signed("a/1.0.0", {})
    assert await post(http, "_i", b"bindle") == 400
    assert await post(http, "_i", encode(make_invoice("a/1.0.0", {}))) == 400
    assert await post(http, "_i", encode(msgspec.structs.replace(invoice, yanked=True))) == 422
    assert await post(http, "_i", encode(invoice), **{"Content-Type": "text/html"}) == 400
    assert await post(http, "_i", encode(invoice)) == 201
    assert await post(http, "_i", encode(invoice)) == 409


async def test_an_invoice_that_came_from_the_server_may_come_back(
    server: RunningServer, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    invoice = server.signed("a/1.0.0", {})
    seen = sign(invoice, server.host, "host", 7)
    assert await post(http, "_i", encode(seen)) == 201
    assert (await server.storage.get(invoice.id)).invoice == seen
    assert await post(http, "_i", encode(seen)) == 409


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", ""])
async def test_json_is_read_and_written(
    server: RunningServer, http: aiohttp.ClientSession, content_type: str
) -> None:
    invoice = server.signed("a/1.0.0", {"red": RED})
    headers = {"Content-Type": content_type, "Accept": "application/json"}
    async with http.post("_i", data=encode(invoice, "json"), headers=headers) as response:
        assert (response.status, response.content_type) == (202, "application/json")
        body = await response.json()
    assert body["missing"][0]["mediaType"] == "text/plain"
    async with http.get("_i/a/1.0.0", headers={"Accept": "text/html;q=0.2, application/json"}) as response:
        assert (await response.json())["bindle"] == {"name": "a", "version": "1.0.0"}
    async with http.get("_i/b/1.0.0", headers={"Accept": "application/json"}) as response:
        assert await response.json() == {"error": "there is no b/1.0.0 here"}
    async with http.get(
        "_i/a/1.0.0", headers={"Accept": "application/json;q=0.5, application/toml"}
    ) as response:
        assert response.content_type == "application/toml"


async def test_toml_is_read_with_a_charset(server: RunningServer, http: aiohttp.ClientSession) -> None:
    headers = {"Content-Type": "application/toml; charset=utf-8"}
    assert await post(http, "_i", warpcore(server), **headers) == 202


async def test_head_answers_as_get_does(server: RunningServer, http: aiohttp.ClientSession) -> None:
    bindle = "enterprise.com/warpcore/1.0.0"
    await post(http, "_i", warpcore(server))
    for path in (f"_i/{bindle}", "_q", "bindle-keys"):
        async with http.head(path) as head, http.get(path) as full:
            assert (head.status, full.status) == (200, 200)
            assert head.content_length == full.content_length
    async with http.head(parcel(bindle, RED)) as response:
        assert response.status == 404
    await post(http, parcel(bindle, RED), RED)
    async with http.head(parcel(bindle, RED)) as response:
        assert (response.status, response.content_length) == (200, len(RED))


async def test_a_parcel_that_is_not_what_its_label_says_is_refused_and_can_be_sent_again(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    path = parcel("enterprise.com/warpcore/1.0.0", RED)
    await post(http, "_i", warpcore(server))
    assert await post(http, path, b"a Red one") == 400
    assert await post(http, path, RED + b"!") == 400
    assert await post(http, path, b"") == 400
    assert (await get(http, path))[0] == 404
    assert len((await get(http, "_r/missing/enterprise.com/warpcore/1.0.0"))[1]["missing"]) == 1
    assert await post(http, path, RED) == 200
    assert await post(http, path, RED) == 409


async def test_a_parcel_needs_an_invoice_that_names_it(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    assert await post(http, parcel("nobody/1.0.0", RED), RED) == 404
    await post(http, "_i", warpcore(server))
    assert await post(http, parcel("enterprise.com/warpcore/1.0.0", GREEN), GREEN) == 400


async def test_concurrent_uploads_of_one_parcel_give_one_parcel(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    content = bytes(range(256)) * 20_000
    path = parcel("a/1.0.0", content)
    await post(http, "_i", encode(server.signed("a/1.0.0", {"big": content})))
    statuses = await asyncio.gather(*(post(http, path, content) for _ in range(8)))
    assert 200 in statuses
    assert set(statuses) <= {200, 409}
    async with http.get(path) as response:
        assert await response.read() == content


async def test_a_range_of_a_parcel_can_be_fetched(server: RunningServer, http: aiohttp.ClientSession) -> None:
    path = parcel("enterprise.com/warpcore/1.0.0", RED)
    await post(http, "_i", warpcore(server))
    await post(http, path, RED)
    async with http.get(path, headers={"Range": "bytes=2-4"}) as response:
        assert (response.status, await response.read()) == (206, b"red")


async def test_a_media_type_that_is_no_header_is_not_sent(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    invoice = make_invoice("a/1.0.0", {"red": RED})
    (only,) = invoice.parcels or []
    label = msgspec.structs.replace(only.label, media_type="text/html\r\nSet-Cookie: a=b")
    hostile = msgspec.structs.replace(invoice, parcels=[msgspec.structs.replace(only, label=label)])
    await post(http, "_i", encode(sign(hostile, server.creator, "creator", 1)))
    await post(http, parcel("a/1.0.0", RED), RED)
    async with http.get(parcel("a/1.0.0", RED)) as response:
        assert response.content_type == "application/octet-stream"
        assert "Set-Cookie" not in response.headers


async def test_a_search_takes_both_spellings_all_terms_ranges_and_pages(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    for version in ("1.0.0", "1.2.0", "1.10.0", "2.0.0"):
        await post(http, "_i", encode(server.signed(f"example.com/Web/{version}", {})))
    await post(http, "_i", encode(server.signed("example.org/worker/1.0.0", {})))
    status, body = await get(http, "_q?q=example+web&v=^1.0&o=1&l=1")
    assert (status, body["query"], body["offset"], body["limit"]) == (200, "example web", 1, 1)
    assert (body["total"], body["more"], body["yanked"], body["strict"]) == (3, True, False, False)
    assert [invoice["bindle"]["version"] for invoice in body["invoices"]] == ["1.2.0"]
    _, body = await get(http, "_q?query=Web&version=1.10.0&offset=0&limit=50&strict=true")
    assert (body["total"], body["more"]) == (1, False)
    assert (await get(http, "_q?q=web&strict=true"))[1]["total"] == 0
    assert (await get(http, "_q?q=non/existent"))[1]["total"] == 0
    assert (await get(http, "_q"))[1]["total"] == 5
    assert (await get(http, "_q?o=99"))[1]["invoices"] == []


async def test_host_keys_are_published(server: RunningServer, http: aiohttp.ClientSession) -> None:
    for path in ("bindle-keys", "bindle-keys?roles=host"):
        _, body = await get(http, path)
        (key,) = body["key"]
        assert (body["version"], key["roles"], key["key"]) == ("1.0", ["host"], server.host.public().key)


async def test_operations_stand_beside_the_protocol(server: RunningServer) -> None:
    base = server.url.removesuffix("v1/")
    async with aiohttp.ClientSession(base) as http:
        async with http.get("healthz") as response:
            assert (await response.json())["status"] == "OK"
        async with http.get("v1/_q") as response:
            assert response.status == 200
        async with http.get("metrics") as response:
            told = await response.text()
    assert 'proa_bindle_request_seconds_count{endpoint="query",method="GET",status="200"} 1.0' in told


async def test_an_upload_that_broke_off_is_carried_on(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    content = bytes(range(256)) * 20_000
    path = parcel("a/1.0.0", content)
    await post(http, "_i", encode(server.signed("a/1.0.0", {"big": content})))
    host, port = server.url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST /v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode())
    writer.write(content[:3_000_000])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    arrived = 0
    async with asyncio.timeout(5):
        while not arrived:
            async with http.head(path) as response:
                assert response.status == 404
                arrived = int(response.headers.get("Upload-Offset", 0))
    assert arrived <= 3_000_000
    assert await post(http, path, content[arrived:], **{"Upload-Offset": str(arrived)}) == 200
    async with http.get(path) as response:
        assert await response.read() == content
    del reader


async def test_nothing_can_be_carried_on_that_never_began(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    path = parcel("enterprise.com/warpcore/1.0.0", RED)
    await post(http, "_i", warpcore(server))
    assert await post(http, path, RED[4:], **{"Upload-Offset": "4"}) == 400
    assert await post(http, path, RED, **{"Upload-Offset": "x"}) == 400
    assert await post(http, path, RED) == 200


async def test_quotas_bound_a_parcel_and_all_of_them(tmp_path: Path) -> None:
    async with (
        running_server(tmp_path, quota=Quota(parcel=10, total=25)) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        contents = {name: name.encode() * 10 for name in "abc"} | {"large": b"x" * 11}
        await post(http, "_i", encode(server.signed("a/1.0.0", contents)))
        statuses = [await post(http, parcel("a/1.0.0", content), content) for content in contents.values()]
        assert statuses == [200, 200, 413, 413]
        assert server.storage.stored_bytes == 20


async def test_an_invoice_over_the_limit_is_refused(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    assert await post(http, "_i", b"#" * (4 * 1024 * 1024 + 1)) == 400


def test_the_default_strategy_is_the_references() -> None:
    assert str(Strategy()) == "GreedyVerification"
