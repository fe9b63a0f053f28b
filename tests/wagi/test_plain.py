"""Plain requests and responses: a subset of HTTP in which nobody reads anything else than a full server."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.wagi._pace import Pace
from proa.wagi._plain import read_request, write_response
from proa.wagi.errors import HandlerError

_HEAD = b"GET /a?b=1 HTTP/1.1\r\nHost: h\r\nX-Y: z\r\n\r\n"

_lines = st.sampled_from(
    [
        b"Host: h", b"host: other", b"X-A:  b ", b"X-A: \xe9", b"Content-Length: 3", b"Content-Length: 03",
        b"content-length: 0", b"Content-Length: -1", b"Transfer-Encoding: chunked", b"Connection: keep-alive",
        b"Connection: close", b"Expect: 100-continue", b"Upgrade: websocket", b" folded", b"No colon",
        b"Space : x", b"X-B: a\x00b", b"X-B: a\tb", b"X-B: a\rb", b"Content-Encoding: gzip",
        b"X-Request-Id: 1", b":empty", b"X:", b"Cookie: a=b", b"Cookie: c=d",
    ]
)  # fmt: skip
_starts = st.sampled_from(
    [
        b"GET / HTTP/1.1", b"POST /x%20y?q=%zz&a[]=1 HTTP/1.1", b"GET //x/../y HTTP/1.1", b"GET  / HTTP/1.1",
        b"GET / HTTP/1.0", b"get / HTTP/1.1", b"GET http://h/x HTTP/1.1", b"OPTIONS * HTTP/1.1",
        b"GET /# HTTP/1.1", b"GET /\xc3\xa9 HTTP/1.1", b"PRI / HTTP/2.0", b"GET /a b HTTP/1.1", b"GET /",
        b"DELETE /a?b?c HTTP/1.1", b"PUT /? HTTP/1.1",
    ]
)  # fmt: skip
_ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])


@st.composite
def _requests(draw: Any) -> bytes:
    lines = [draw(_starts), *draw(st.lists(_lines, max_size=4)), b"Host: h", b""]
    if draw(st.integers(0, 3)):
        lines = [line for line in lines if line.lower() != b"host: other"]
    rest: bytes = draw(st.sampled_from([b"", b"", b"abc", b"\r\n"]))
    return b"".join(line + draw(_ends) for line in lines) + rest


async def _read_fully(data: bytes) -> tuple[str, str, list[tuple[bytes, bytes]], bytes, bool]:
    """Read a request as the general server does; fail if that sees an error, less, or more than one."""
    loop = asyncio.get_running_loop()
    parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
    [(message, payload)], upgraded, tail = parser.feed_data(data)
    assert not upgraded
    assert not tail
    assert not message.chunked
    assert payload.is_eof()
    return message.method, message.path, [*message.raw_headers], payload.read_nowait(), message.should_close


@settings(max_examples=300, deadline=None)
@given(_requests())
def test_what_is_taken_for_plain_is_read_alike_by_the_general_server(data: bytes) -> None:
    plain = read_request(data, "127.0.0.1")
    if plain is None:
        return
    method, path, headers, body, is_last = asyncio.run(_read_fully(data))
    request = plain.request
    assert request.method == method
    assert path in {f"{request.path}?{request.query}", request.path, f"{request.path}?"}
    assert [*request.headers] == headers
    assert plain.body == body
    assert plain.is_last == is_last
    assert request.content_length == len(body)


def test_a_plain_request_is_read() -> None:
    plain = read_request(_HEAD, "1.2.3.4")
    assert plain
    assert (plain.request.method, plain.request.path, plain.request.query) == ("GET", "/a", "b=1")
    assert plain.request.headers == ((b"Host", b"h"), (b"X-Y", b"z"))
    assert plain.request.remote == "1.2.3.4"
    posted = read_request(
        b"POST / HTTP/1.1\r\nHost: h\r\nX-Request-Id: 7\r\nContent-Length: 3\r\n\r\nabc", ""
    )
    assert posted
    assert (posted.body, posted.request_id, posted.request.content_length) == (b"abc", "7", 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        _HEAD[:-1],
        _HEAD + _HEAD,
        _HEAD.replace(b"X-Y: z", b"Content-Length: 3"),
        _HEAD.replace(b"X-Y: z", b"Transfer-Encoding: chunked"),
        _HEAD.replace(b"X-Y: z", b"Expect: 100-continue"),
        _HEAD.replace(b"X-Y: z", b"Connection: close, te"),
        _HEAD.replace(b"X-Y: z", b"Upgrade: h2c"),
        _HEAD.replace(b"X-Y: z", b"Content-Encoding: gzip"),
        _HEAD.replace(b"X-Y: z", b"Host: h"),
        _HEAD.replace(b"X-Y: z", b"X-Y: z\r\n folded"),
        _HEAD.replace(b"X-Y: z", b"X-Y: " + b"z" * 9000),
        _HEAD.replace(b"X-Y: z", b"\r\n".join(b"X-%d: z" % number for number in range(100))),
        _HEAD.replace(b"Host: h\r\n", b""),
        _HEAD.replace(b"1.1", b"1.0"),
        _HEAD.replace(b"GET", b"HEAD"),
        _HEAD.replace(b"/a", b"http://h/a"),
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_anything_else_is_left_to_the_general_server(data: bytes) -> None:
    assert read_request(data, "") is None


def test_a_long_hostile_head_costs_no_time() -> None:
    assert read_request(b"GET / HTTP/1.1\r\n" + b"a: " + b" " * 16_000 + b"\x00\r\n\r\n", "") is None
    assert read_request(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 4000 + b"\x00\r\n\r\n", "") is None


_BODY = b"hello"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: text/plain\n\n",
        b"Content-Type: text/plain\nStatus: 404 Not here\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n",
        b"content-type: text/html; charset=utf-8\r\nX-Name: caf\xc3\xa9\r\nContent-Length: 5\r\n\r\n",
        b"Content-Type: text/plain\nLocation: /x\nConnection: close\nTransfer-Encoding: chunked\n\n",
        b"Content-Type: text/plain\nStatus: 599\n\n",
        b"Content-Type: text/plain\nStatus: 226\n\n",
    ],
)
@pytest.mark.parametrize("is_last", [False, True])
async def test_a_plain_response_is_that_of_the_general_server(head: bytes, *, is_last: bool) -> None:
    from aiohttp import web

    from proa.app import http
    from proa.wagi._response import REQUEST_ID, _complete
    from proa.wagi.protocol import parse_head

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        request[REQUEST_ID] = "id-1"
        parsed = parse_head(head + _BODY, complete=True)
        assert parsed
        return _complete(request, parsed[0], _BODY)

    async def plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        response = write_response(head + _BODY, "id-1", is_last=is_last)
        assert response
        assert response[1] == len(_BODY)
        writer.write(response[2])
        await writer.drain()
        writer.close()

    sent = {"Connection": "close"} if is_last else {}

    async def get(url: str) -> tuple[int, str | None, dict[str, list[str]], bytes]:
        async with (
            ClientSession() as client,
            client.get(url, headers=sent, allow_redirects=False) as response,
        ):
            headers = {name.lower(): response.headers.getall(name) for name in response.headers}
            assert headers.pop("date")[0].endswith(" GMT")
            return response.status, response.reason, headers, await response.read()

    plain = await asyncio.start_server(plainly, "127.0.0.1", 0)
    async with http.listen(handle) as server, plain:
        port = plain.sockets[0].getsockname()[1]
        assert await get(server.url) == await get(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "output",
    [
        b"Status: 200\n\nx",
        b"Content-Type: a/b\nStatus: 204\n\n",
        b"Content-Type: a/b\nContent-Length: 4\n\nxyz",
        b"Content-Type: a/b\nContent-Length: 2\n\nxyz",
        b"Content-Type: a/b\nX-Request-Id: own\n\nxyz",
        b"Content-Type: a/b\nServer: own\n\nxyz",
        b"Content-Type: a/b\nDate: own\n\nxyz",
    ],
)
def test_other_responses_are_left_to_the_general_server(output: bytes) -> None:
    assert write_response(output, "id", is_last=False) is None


def test_what_is_no_response_is_an_error_as_ever() -> None:
    with pytest.raises(HandlerError, match="no blank line"):
        write_response(b"hello", "id", is_last=False)


def test_a_slow_program_has_to_be_quick_many_times() -> None:
    changes: list[list[str]] = []
    pace = Pace()
    pace.on_change = lambda: changes.append(pace.slow)
    pace.mark("a")
    pace.mark("a")
    for _ in range(49):
        pace.ran("a")
    pace.ran("a", is_slow=True)
    for _ in range(49):
        pace.ran("a")
    assert pace.slow == ["a"]
    pace.hold("a")
    for _ in range(100):
        pace.ran("a")
    assert pace.slow == ["a"]
    pace.let_go("a")
    pace.ran("a")
    assert changes == [["a"], []]
