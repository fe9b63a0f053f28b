"""Requests and responses of the plainest kind, read and written without a general HTTP library. Pure.

What is taken here is a subset of HTTP/1.1 in which no two readers can differ: a request that came whole, a
target of ordinary characters, headers without folding or doubt, a body of a stated length. Whatever else
comes is no error: it is None, and the general server's business.
"""

import functools
import http
import re
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from proa.wagi.protocol import Request, parse_head

__all__ = ["Plain", "read_request", "write_response"]

_START: Final = re.compile(
    rb"(GET|POST|PUT|DELETE|PATCH|OPTIONS) (/[A-Za-z0-9/._~%!$&'()*+,;=:@-]*)"
    rb"(?:\?([A-Za-z0-9/._~%!$&'()*+,;=:@?-]*))? HTTP/1\.1"
)
_HEADERS: Final = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[ -~\x80-\xff]*+\r\n)*+")
_MAX_HEADERS: Final = 64
_MAX_LINE: Final = 8000
_NOT_HERE: Final = frozenset(
    {b"content-encoding", b"expect", b"http2-settings", b"transfer-encoding", b"upgrade"}
)
_SINGLE: Final = (b"host", b"content-length", b"connection", b"content-type")
_CONNECTIONS: Final = (b"keep-alive", b"close")
_IDENTIFIER: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")
_OWN: Final = frozenset({"connection", "content-encoding", "date", "server", "x-request-id"})
_WITHOUT_BODY: Final = frozenset({204, 205, 304})


class Plain(NamedTuple):
    """A request.

    Attributes:
        request: All but its body.
        body: The body.
        request_id: The id that its client gave it.
        is_last: Whether the client wants the connection closed afterwards.
    """

    request: Request
    body: bytes
    request_id: str | None
    is_last: bool


class _Headers(NamedTuple):
    fields: Sequence[tuple[bytes, bytes]]
    length: int
    request_id: str | None
    is_last: bool


def read_request(data: bytes, remote: str) -> Plain | None:
    """Read what has come over a connection: one whole plain request, or None."""
    end_of_start = data.find(b"\r\n")
    end = data.find(b"\r\n\r\n", end_of_start)
    if end < 0 or end_of_start > _MAX_LINE:
        return None
    start = _START.fullmatch(data, 0, end_of_start)
    if not start:
        return None
    headers = _read_headers(data[end_of_start + 2 : end + 2])
    if headers is None or len(data) != end + 4 + headers.length:
        return None
    method, path, query = start.groups()
    request = Request(
        method.decode(),
        path.decode(),
        query.decode() if query else "",
        headers.fields,
        remote,
        content_length=headers.length,
    )
    return Plain(request, data[end + 4 :], headers.request_id, headers.is_last)


@functools.lru_cache(maxsize=512)
def _read_headers(block: bytes) -> _Headers | None:
    """Read header lines; a client sends the same ones again and again."""
    if not _HEADERS.fullmatch(block):
        return None
    fields = []
    named: dict[bytes, bytes] = {}
    for line in block.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        lower, value = name.lower(), value.strip(b" ")
        if lower in _NOT_HERE or len(line) > _MAX_LINE or (lower in named and lower in _SINGLE):
            return None
        named[lower] = value
        fields.append((name, value))
    length = named.get(b"content-length", b"0")
    connection = named.get(b"connection", b"keep-alive").lower()
    if len(fields) > _MAX_HEADERS or b"host" not in named or connection not in _CONNECTIONS:
        return None
    if not re.fullmatch(rb"[0-9]{1,6}", length):
        return None
    given = named.get(b"x-request-id", b"")
    request_id = given.decode() if _IDENTIFIER.fullmatch(given) else None
    return _Headers(tuple(fields), int(length), request_id, connection == b"close")


def write_response(output: bytes, request_id: str, *, is_last: bool) -> tuple[int, int, bytes] | None:
    """Make what a handler printed the response that the gateway would make of it.

    Returns:
        Its status, the length of its body and all its bytes; None if it is no plain one.

    Raises:
        HandlerError: As of `protocol.parse_head`.
    """
    parsed = parse_head(output, complete=True)
    assert parsed
    head, start = parsed
    length = len(output) - start
    beginning = _beginning(head.status, head.reason, head.headers)
    if beginning is None or (head.content_length is not None and head.content_length != length):
        return None
    end = "Connection: close\r\n" if is_last else ""
    rest = f"X-Request-Id: {request_id}\r\nContent-Length: {length}\r\nDate: {_date()}\r\n{end}\r\n"
    return head.status, length, b"".join((beginning, rest.encode(), output[start:]))


@functools.lru_cache(maxsize=512)
def _beginning(status: int, reason: str | None, headers: tuple[tuple[str, str], ...]) -> bytes | None:
    names = {name.lower() for name, _ in headers}
    if status in _WITHOUT_BODY or "content-type" not in names or names & _OWN:
        return None
    words = _phrase(status) if reason is None else reason
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} {words}\r\n{lines}Server: proa\r\n".encode()


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _date() -> str:
    return _date_of(int(time.time()))


@functools.lru_cache(maxsize=1)
def _date_of(seconds: int) -> str:
    moment = time.gmtime(seconds)
    day, month = _DAYS[moment.tm_wday], _MONTHS[moment.tm_mon - 1]
    return time.strftime(f"{day}, %d {month} %Y %H:%M:%S GMT", moment)


_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
