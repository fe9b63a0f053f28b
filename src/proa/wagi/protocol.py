"""The WAGI protocol as functions on values: what a handler is given, and what its output means. Pure.

Follows WAGI 0.8 and, where that is silent, RFC 3875 (CGI 1.1). Where WAGI 0.8 went wrong this does not:

- `CONTENT_TYPE` holds the request's content type, and no request header can set `HTTP_PROXY` (httpoxy).
- A repeated request header's values are joined by commas (cookies by semicolons) instead of all but one lost.
- Every `Set-Cookie` of a handler is sent; a `Status` decides over the 302 of a `Location` in either order.
- A header that is no legal one is an error of the handler's, where it made the server panic.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import unquote

from proa.wagi.errors import HandlerError

__all__ = [
    "HEAD_LIMIT",
    "Matched",
    "Request",
    "ResponseHead",
    "arguments",
    "environment",
    "parse_head",
    "server_address",
]

HEAD_LIMIT: Final = 64 * 1024
"""The most bytes that the headers of a handler's response may have."""

_WORTH_KEEPING: Final = 1024
"""Bytes of headers that are remembered with what they mean."""

_CORRUPT: Final = "CORRUPT VALUE"
_DROPPED: Final = frozenset({b"authorization", b"connection", b"proxy"})
_NEVER_FORWARDED: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]/?#@\s]*)(?::(?P<port>[0-9]{0,5}))?")
_HEADER_NAMES: Final[dict[bytes, str]] = {}
_MAX_HEADER_NAMES: Final = 1000


@dataclass(slots=True)
class Request:
    """A request, apart from its body, as it came over the wire.

    Attributes:
        method: Such as `GET`.
        path: The path of the target, not decoded.
        query: What follows the `?`, not decoded; "" without one.
        headers: All of them in order, as bytes.
        remote: The client's IP address.
        scheme: `http` or `https`.
        version: Such as `HTTP/1.1`.
        content_length: The body's length in bytes; None when it is not known yet.
    """

    method: str
    path: str
    query: str
    headers: Sequence[tuple[bytes, bytes]]
    remote: str
    scheme: str = "http"
    version: str = "HTTP/1.1"
    content_length: int | None = 0


class Matched(NamedTuple):
    """The route that a request's path matched.

    Attributes:
        pattern: As it is configured, `/...` included.
        script_name: The part of the path that is the handler's name; `/` for `/...`.
        path_info: The rest of the path, not decoded.
    """

    pattern: str
    script_name: str
    path_info: str


def environment(
    request: Request, matched: Matched, *, hostname: str, base: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a handler: the protocol's variables over those of `base`.

    Args:
        request: The request.
        matched: Its route.
        hostname: `host` or `host:port` for clients that send no Host header.
        base: Variables from the configuration; they cannot hide the protocol's.
    """
    variables = dict(base) if base else {}
    content_type, host = _add_headers(variables, request.headers)
    name, port = server_address(host, hostname, request.scheme)
    query = f"?{request.query}" if request.query else ""
    decoded = _safe(unquote(matched.path_info, errors="replace"))
    variables.update(
        AUTH_TYPE="",
        CONTENT_LENGTH="" if request.content_length is None else str(request.content_length),
        CONTENT_TYPE=content_type,
        GATEWAY_INTERFACE="CGI/1.1",
        PATH_INFO=decoded,
        PATH_TRANSLATED=decoded,
        QUERY_STRING=request.query,
        REMOTE_ADDR=request.remote,
        REMOTE_HOST=request.remote,
        REMOTE_USER="",
        REQUEST_METHOD=request.method,
        SCRIPT_NAME=matched.script_name,
        SERVER_NAME=name,
        SERVER_PORT=port,
        SERVER_PROTOCOL=request.version,
        SERVER_SOFTWARE="WAGI/1",
        X_FULL_URL=f"{request.scheme}://{name}:{port}{request.path}{query}",
        X_MATCHED_ROUTE=matched.pattern,
        X_RAW_PATH_INFO=matched.path_info,
    )
    return variables


def _add_headers(variables: dict[str, str], headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str]:
    """Add `HTTP_*` variables; return the content type and the host, "" where there is none."""
    content_type = host = ""
    seen: set[str] = set()
    for raw_name, raw_value in headers:
        lower = raw_name.lower()
        if lower in _DROPPED:
            continue
        name = _HEADER_NAMES.get(lower) or _variable_name(lower)
        value = raw_value.decode("ascii") if raw_value.isascii() and b"\0" not in raw_value else _CORRUPT
        if name in seen:
            value = f"{variables[name]}{'; ' if lower == b'cookie' else ', '}{value}"
        seen.add(name)
        variables[name] = value
        if lower == b"content-type":
            content_type = value
        elif lower == b"host":
            host = host or value
    return content_type, host


def _variable_name(header: bytes) -> str:
    name = "HTTP_" + header.decode("ascii", "replace").upper().replace("-", "_")
    if len(_HEADER_NAMES) < _MAX_HEADER_NAMES:
        _HEADER_NAMES[header] = name
    return name


@functools.lru_cache(maxsize=1024)
def server_address(host: str, hostname: str, scheme: str) -> tuple[str, str]:
    """Return `SERVER_NAME` and `SERVER_PORT`.

    Each is the Host header's where that says it, else the configured hostname's, else `localhost` or the
    scheme's port. A header that is no host counts as absent.
    """
    names, ports = zip(_split_host(host), _split_host(hostname), strict=True)
    name = next((name for name in names if name), "localhost")
    return name, next((port for port in ports if port), "443" if scheme == "https" else "80")


def _split_host(text: str) -> tuple[str, str]:
    match = _HOST.fullmatch(text)
    if not match or (match["port"] and int(match["port"]) > 65535):
        return "", ""
    return match["name"], match["port"] or ""


def arguments(request: Request, template: str | None = None) -> list[str]:
    """Return `argv`: the request's path and the parts of the query between `&`, neither of them decoded.

    A template is filled in (`${SCRIPT_NAME}` is the path, `${ARGS}` the query's parts) and split at spaces.
    """
    if template is None:
        return [request.path, *request.query.split("&")] if request.query else [request.path]
    filled = template.replace("${SCRIPT_NAME}", request.path)
    return filled.replace("${ARGS}", request.query.replace("&", " ")).split()


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What a handler said before its body.

    Attributes:
        status: From 200 to 599.
        reason: The words after the status, None for the usual ones.
        headers: In the handler's order; names as it wrote them. Those that are the server's own business
            (connections and transfer codings) are not among them.
        content_length: What the handler said of its body, if it did.
    """

    status: int
    reason: str | None
    headers: tuple[tuple[str, str], ...]
    content_length: int | None = None


def parse_head(output: bytes | bytearray, *, complete: bool) -> tuple[ResponseHead, int] | None:
    """Read the headers of a handler's output.

    Args:
        output: What the handler has printed so far.
        complete: Whether it prints no more.

    Returns:
        The head and the position at which the body begins; None while the headers have not ended.

    Raises:
        HandlerError: This is no response; the message says why. 502 for a status that is none, 500 else.
    """
    end = _end_of_head(output)
    if end is None:
        if len(output) > HEAD_LIMIT:
            raise _invalid(f"the headers do not end within {HEAD_LIMIT} bytes")
        if not complete:
            return None
        raise _invalid("the output is empty" if not output else "no blank line ends the headers")
    raw = bytes(output[: end[0]])
    return (_read_again(raw) if len(raw) <= _WORTH_KEEPING else _read_head(raw)), end[1]


def _end_of_head(output: bytes | bytearray) -> tuple[int, int] | None:
    """Find the blank line: where the headers end, and where the body begins. A CR before an LF is ignored."""
    start = 0
    while (newline := output.find(b"\n", start, HEAD_LIMIT + 2)) >= 0:
        if not output[start:newline].strip(b"\r"):
            return start, newline + 1
        start = newline + 1
    return None


def _read_head(raw: bytes) -> ResponseHead:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise _invalid("the headers are not UTF-8") from None
    lines = text.replace("\r", "").split("\n")
    status: tuple[int, str | None] | None = None
    headers: list[tuple[str, str]] = []
    length: int | None = None
    names: set[str] = set()
    for line in filter(None, lines):
        name, value = _split_header(line)
        lower = name.lower()
        names.add(lower)
        if lower == "status":
            status = _parse_status(value)
        elif lower == "content-length":
            length = _parse_length(value)
        elif lower not in _NEVER_FORWARDED:
            headers.append((name, value))
    if not names & {"content-type", "location", "status"}:
        raise _invalid("none of the headers is Content-Type, Location or Status")
    code, reason = status or (302 if "location" in names else 200, None)
    return ResponseHead(code, reason, tuple(headers), length)


_read_again: Final = functools.lru_cache(maxsize=1024)(_read_head)
"""Most handlers print the same few headers again and again."""


def _split_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not _TOKEN.fullmatch(name):
        raise _invalid(f"{line[:80]!r} is no header (Name: value)")
    if any(ord(character) < 32 and character != "\t" for character in value) or "\x7f" in value:
        raise _invalid(f"the value of the header {name} has a control character")
    return name, value


def _parse_status(value: str) -> tuple[int, str | None]:
    code, _, reason = value.partition(" ")
    if not re.fullmatch(r"[2-5][0-9][0-9]", code):
        raise HandlerError(502, "response", f"invalid response: {value[:40]!r} is no status from 200 to 599")
    return int(code), reason.strip() or None


def _parse_length(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise _invalid(f"Content-Length {value[:40]!r} is no number")
    return int(value)


def _invalid(problem: str) -> HandlerError:
    return HandlerError(500, "response", f"invalid response: {problem}")


def _safe(text: str) -> str:
    """Drop NUL characters, which cannot be in an environment."""
    return text.replace("\0", "")
