"""What a handler prints becomes a response, or a reason why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.wagi.errors import HandlerError
from proa.wagi.protocol import HEAD_LIMIT, ResponseHead, parse_head


def _parse(output: bytes) -> tuple[ResponseHead, bytes]:
    parsed = parse_head(output, complete=True)
    assert parsed
    head, start = parsed
    return head, output[start:]


def test_a_status_a_header_and_a_body() -> None:
    head, body = _parse(b"Content-Type: text/plain\nStatus: 404 Not Found\n\nNot Found\n")
    assert head == ResponseHead(404, "Not Found", (("Content-Type", "text/plain"),))
    assert body == b"Not Found\n"


def test_carriage_returns_go_from_the_headers_and_stay_in_the_body() -> None:
    head, body = _parse(b"Content-Type: text/plain\r\n\r\nOh hi world\r\n")
    assert head.headers == (("Content-Type", "text/plain"),)
    assert body == b"Oh hi world\r\n"


def test_a_location_is_a_redirect_unless_a_status_says_otherwise_in_either_order() -> None:
    assert _parse(b"Location: /there\n\n")[0].status == 302
    assert _parse(b"Location: /there\nStatus: 301\n\n")[0].status == 301
    assert _parse(b"Status: 301\nLocation: /there\n\n")[0].status == 301


def test_every_cookie_is_kept() -> None:
    head, _ = _parse(b"Set-Cookie: a=1\nSet-Cookie: b=2\nStatus: 200\n\n")
    assert head.headers == (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))


def test_what_is_the_servers_business_is_not_the_handlers() -> None:
    head, _ = _parse(
        b"Status: 200\nConnection: close\nTransfer-Encoding: chunked\nContent-Length: 5\n\nhello"
    )
    assert head.headers == ()
    assert head.content_length == 5


@pytest.mark.parametrize(
    ("output", "status", "reason"),
    [
        (b"", 500, "the output is empty"),
        (b"hello world", 500, "no blank line"),
        (b"\nhello", 500, "Content-Type, Location or Status"),
        (b"X-Other: 1\n\nhello", 500, "Content-Type, Location or Status"),
        (b"Status: soon\n\n", 502, "no status"),
        (b"Status: 99\n\n", 502, "no status"),
        (b"Status: 101 Switching Protocols\n\n", 502, "no status"),
        (b"Status: 2000\n\n", 502, "no status"),
        (b"Status:\n\n", 502, "no status"),
        (b"Content-Type text/plain\n\n", 500, "is no header"),
        (b"Content-Type: a\nBad Name: x\n\n", 500, "is no header"),
        (b"Content-Type: a\nX: \x00\n\n", 500, "control character"),
        (b"Content-Type: \xff\n\n", 500, "not UTF-8"),
        (b"Content-Type: a\nContent-Length: many\n\n", 500, "is no number"),
        (b"X: " + b"y" * HEAD_LIMIT, 500, "do not end within"),
    ],
)
def test_what_is_no_response_has_a_reason(output: bytes, status: int, reason: str) -> None:
    with pytest.raises(HandlerError, match=reason) as caught:
        parse_head(output, complete=True)
    assert caught.value.status == status


def test_headers_under_way_are_waited_for() -> None:
    output = b"Content-Type: text/plain\r\n\r\nbody"
    blank = output.index(b"body")
    for end in range(blank):
        assert parse_head(output[:end], complete=False) is None
    assert parse_head(output[:blank], complete=False)


@given(st.binary(max_size=200))
def test_any_output_is_a_response_or_a_handler_error(output: bytes) -> None:
    try:
        head, _ = _parse(output)
    except HandlerError:
        return
    assert 200 <= head.status <= 599
    for name, value in head.headers:
        assert not {"\r", "\n", "\0"} & set(name + value)


@given(st.binary(max_size=200))
def test_a_body_is_never_touched(body: bytes) -> None:
    assert _parse(b"Content-Type: a/b\n\n" + body)[1] == body
