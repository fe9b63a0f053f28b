"""Requests to real handlers: answers, limits, streams, and what happens to those that misbehave."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession
from wasmtime import wat2wasm

from proa.wagi._body import INLINE
from proa.wagi.handlers import Handler
from proa.wagi.serving import serve_module
from proa.wagi.testing import Site, Witness
from proa.wasm import InvalidModuleError, ModuleTerms, Mount, Sandboxes


@contextlib.asynccontextmanager
async def _held(site: Site, target: str) -> AsyncIterator[tuple[ClientResponse, asyncio.Event]]:
    """Yield a response that has begun, and what lets it end: its handler waits for the request's body to."""
    release = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * (INLINE + 1)
        await release.wait()

    async with site.client.post(site.url + target, data=body()) as response:
        assert await response.content.readline() == b"first\n"
        yield response, release


async def test_a_handlers_output_is_the_response(site: Site) -> None:
    async with site.client.get(site.url + "/hello") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain"
        assert await response.text() == "hello world\n"
    assert site.witness.prints == [b"Some logging\n"]


async def test_a_handler_finds_its_request_in_environment_and_arguments(site: Site) -> None:
    _, text = await site.get("/a%20b?environment&x=1", {"X-Tag": "t"})
    variables = dict(line.split("=", 1) for line in text.splitlines())
    assert variables["PATH_INFO"] == "/a b"
    assert variables["QUERY_STRING"] == "environment&x=1"
    assert variables["HTTP_X_TAG"] == "t"
    assert variables["GREETING"] == "hi"
    assert variables["REMOTE_ADDR"] == "127.0.0.1"
    assert (await site.get("/p?arguments&a=1"))[1] == "/p\narguments\na=1\n"


async def test_one_request_leaves_nothing_to_the_next(site: Site) -> None:
    await site.get("/?environment&secret=1", {"X-Secret": "s"})
    _, text = await site.get("/?environment")
    assert "ecret" not in text
    async with site.client.post(site.url + "/?echo", data=b"left over") as response:
        assert await response.read() == b"left over"
    async with site.client.post(site.url + "/?count") as response:
        assert await response.text() == "0 of 0"


@pytest.mark.parametrize("size", [0, 1, 32 * 1024, 32 * 1024 + 1, 1_000_000])
async def test_bodies_of_any_size_come_and_go_unchanged(site: Site, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    async with site.client.post(site.url + "/?echo", data=body[:size]) as response:
        assert response.status == 200
        assert await response.read() == body[:size]


async def test_a_long_body_of_known_length_is_announced(site: Site) -> None:
    async with site.client.post(site.url + "/?count", data=b"x" * 100_000) as response:
        assert await response.text() == "100000 of 100000"


async def test_a_chunked_body_is_measured_if_it_is_short_and_streamed_if_long(site: Site) -> None:
    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1000

    async with site.client.post(site.url + "/?count", data=chunks(3)) as response:
        assert await response.text() == "3000 of 3000"
    async with site.client.post(site.url + "/?count", data=chunks(3000)) as response:
        assert await response.text() == "3000000 of "


async def test_a_long_response_is_streamed_and_complete(site: Site) -> None:
    size = 20_000_000
    async with site.client.get(f"{site.url}/?print&{size}") as response:
        assert sum([len(chunk) async for chunk in response.content.iter_any()]) == size


async def test_what_was_printed_arrives_while_the_handler_goes_on(site: Site) -> None:
    async with _held(site, "/?trickle") as (response, release):
        assert not response.content.at_eof()
        release.set()
        assert await response.read() == b"last\n"


async def test_cookies_and_statuses_get_through(site: Site) -> None:
    async with site.client.get(site.url + "/?status&404") as response:
        assert (response.status, response.reason) == (404, "Whatever")
        assert response.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert await response.text() == "body"


async def test_head_has_headers_and_no_body(site: Site) -> None:
    async with site.client.head(site.url + "/") as response:
        assert response.headers["Content-Type"] == "text/plain"
        assert response.headers["Content-Length"] == "12"
        assert await response.read() == b""


async def test_exit_with_zero_is_success_and_anything_else_is_not(site: Site) -> None:
    assert await site.get("/?exit&0") == (200, "bye\n")
    assert await site.get("/?exit&3") == (500, "")
    assert "code 3" in str(site.witness.failures[0])


async def test_a_response_without_headers_is_500_with_the_reason_in_the_log_only(site: Site) -> None:
    assert await site.get("/?noheaders") == (500, "")
    assert await site.get("/?silent") == (500, "")
    assert [str(error) for error in site.witness.failures] == [
        "invalid response: no blank line ends the headers",
        "invalid response: the output is empty",
    ]


async def test_a_trap_is_500_with_the_backtrace_in_the_log_only(site: Site) -> None:
    assert await site.get("/?trap") == (500, "")
    [error] = site.witness.failures
    assert error.reason == "trap"
    assert "unreachable" in str(error)
    assert "wasm backtrace" in error.detail
    assert site.witness.prints == [b"about to trap\n"]
    assert (await site.get("/"))[0] == 200


@pytest.mark.parametrize("how", ["loop", "sleep&100"])
async def test_a_handler_beyond_its_deadline_is_504_and_others_go_on(site: Site, how: str) -> None:
    hanging = asyncio.create_task(site.get(f"/limited?{how}"))
    while not hanging.done():
        assert (await site.get("/"))[0] == 200
    assert await hanging == (504, "")
    assert site.witness.failures[0].reason == "deadline"


async def test_too_much_memory_is_503(site: Site) -> None:
    assert await site.get("/limited?allocate&1000000") == (200, "allocated")
    assert await site.get("/limited?allocate&40000000") == (503, "")
    assert "more than its limit" in str(site.witness.failures[0])
    assert await site.get("/limited?allocate&1000000") == (200, "allocated")


async def test_a_body_beyond_its_limit_is_413(site: Site) -> None:
    async with site.client.post(site.url + "/limited?count", data=b"x" * 100_001) as response:
        assert response.status == 413

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000

    async with site.client.post(site.url + "/limited?count", data=endless()) as response:
        assert response.status == 413


async def test_a_failure_after_the_first_byte_breaks_the_connection_off(site: Site) -> None:
    async with _held(site, "/?late-trap") as (response, release):
        release.set()
        with pytest.raises(ClientError):
            await response.read()
    assert site.witness.failures[0].reason == "trap"


async def test_a_body_is_cut_at_the_handlers_own_content_length(site: Site) -> None:
    assert await site.get("/?long") == (200, "hello")


async def test_a_client_that_goes_takes_its_handler_with_it(site: Site) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await site.get("/one/x?sleep&100")
    async with asyncio.timeout(5):
        assert (await site.get("/one/x"))[0] == 200


async def test_a_route_never_runs_more_at_once_than_it_may(site: Site) -> None:
    async with _held(site, "/one/x?trickle") as (first, release):
        second = asyncio.create_task(site.get("/one/x"))
        await site.get("/")
        assert not second.done()
        release.set()
        assert await first.read() == b"last\n"
    assert (await second)[0] == 200


async def test_many_hanging_requests_leave_room_for_quick_ones(site: Site) -> None:
    async with asyncio.TaskGroup() as tasks:
        hanging = [tasks.create_task(site.get("/?sleep&100")) for _ in range(6)]
        for _ in range(20):
            assert (await site.get("/"))[0] == 200
        for task in hanging:
            task.cancel()


async def test_no_route_is_404_and_healthz_is_always_answered(site: Site) -> None:
    assert await site.get("/healthz") == (200, "OK")
    site.gateway.use([])
    assert await site.get("/x") == (404, "")
    assert await site.get("/healthz") == (200, "OK")


async def test_new_routes_count_for_new_requests_while_old_ones_end_as_they_began(site: Site) -> None:
    async with _held(site, "/old?trickle") as (running, release):
        site.gateway.use([Handler(route="/new", module=site.module)])
        assert await site.get("/old") == (404, "")
        assert (await site.get("/new"))[0] == 200
        release.set()
        assert await running.read() == b"last\n"


async def test_every_request_is_counted(site: Site) -> None:
    for target in ("/", "/?trap", "/limited"):
        await site.get(target)
    routes = site.gateway.statistics().routes
    assert routes["/..."].statuses == {200: 1, 500: 1}
    assert routes["/..."].failures == {"trap": 1}
    assert routes["/..."].sent == len("hello world\n")
    assert routes["/limited"].requests == sum(routes["/limited"].buckets) == 1
    assert site.witness.answers == [("/...", 200), ("/...", 500), ("/limited", 200)]


async def test_a_hundred_at_once_are_all_answered(site: Site) -> None:
    assert {await answer for answer in [asyncio.ensure_future(site.get("/")) for _ in range(100)]} == {
        (200, "hello world\n")
    }


async def test_mounts_are_directories_of_the_guest(sandboxes: Sandboxes, guest: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "note.txt").write_text("from the host")
    (tmp_path / "secret.txt").write_text("secret")
    mounts = [Mount(tmp_path / "files", "/data")]
    async with serve_module(guest, sandboxes, mounts=mounts) as server, ClientSession() as client:
        async with client.get(server.url + "/?file&/data/note.txt") as response:
            assert await response.text() == "from the host"
        for path in ("/data/missing", "/data/../secret.txt", "/etc/passwd"):
            async with client.get(f"{server.url}/?file&{path}") as response:
                assert response.status == 500


COMPONENT = """(component
  (core module $m (func (export "run") (result i32) {body}))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $x (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $x)))"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("i32.const 0", "the output is empty"),
        ("i32.const 1", "exited with code 1"),
        ("unreachable", "unreachable"),
    ],
)
async def test_a_component_is_run(sandboxes: Sandboxes, tmp_path: Path, body: str, reason: str) -> None:
    path = tmp_path / "component.wasm"
    path.write_bytes(wat2wasm(COMPONENT.format(body=body)))
    witness = Witness()
    async with serve_module(path, sandboxes, observer=witness) as server, ClientSession() as client:
        for _ in range(2):
            async with client.get(server.url) as response:
                assert response.status == 500
    assert [reason in str(failure) for failure in witness.failures] == [True, True]


@pytest.mark.skipif(shutil.which("jco") is None, reason="needs jco (npm @bytecodealliance/jco)")
@pytest.mark.timeout(120)
async def test_a_real_component_is_a_handler_like_any_other(
    sandboxes: Sandboxes, guest: Path, tmp_path: Path
) -> None:
    component = tmp_path / "component.wasm"
    command = ["jco", "new", str(guest), "--wasi-command", "-o", str(component)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    async with serve_module(component, sandboxes) as server, ClientSession() as client:
        for size in (0, 1000, 1_000_000):
            async with client.post(server.url + "/?echo", data=b"x" * size) as response:
                assert (response.status, await response.read()) == (200, b"x" * size)
        async with client.get(server.url + "/p?environment") as response:
            assert "PATH_INFO=/p" in (await response.text()).splitlines()
        async with client.get(server.url + "/?exit&0") as response:
            assert (response.status, await response.text()) == (200, "bye\n")
        async with client.get(server.url + "/?exit&3") as response:
            assert response.status == 500


async def test_what_cannot_be_served_is_refused_before_it_is(sandboxes: Sandboxes, tmp_path: Path) -> None:
    path = tmp_path / "library.wasm"
    path.write_bytes(wat2wasm("(module)"))
    with pytest.raises(InvalidModuleError, match="no function _start"):
        async with serve_module(path, sandboxes):
            pass
    path.write_bytes(wat2wasm('(module (import "env" "f" (func)) (func (export "x")))'))
    with pytest.raises(InvalidModuleError, match="env::f"):
        await sandboxes.compile(path, terms=ModuleTerms(exports=("x",)))


async def test_a_request_with_more_headers_than_a_handler_can_be_given_is_431(site: Site) -> None:
    headers = {f"X-{number}": "x" * 8000 for number in range(30)}
    assert (await site.get("/", headers))[0] == 431
