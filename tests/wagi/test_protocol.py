"""What a handler is given follows WAGI 0.8 to the byte, without its bugs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.wagi.protocol import Matched, Request, arguments, environment, server_address
from proa.wagi.routing import matches


def _request(path: str = "/hello", query: str = "", *headers: tuple[str, str], **rest: object) -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Request("GET", path, query, raw, "123.4.5.6", **rest)  # type: ignore[arg-type]


def _environment(request: Request, pattern: str = "/hello/...") -> dict[str, str]:
    matched = matches(pattern, request.path)
    assert matched
    return environment(request, matched, hostname="localhost:3000")


def test_every_variable_of_the_protocol_is_set() -> None:
    request = _request("/hello/a%20b", "x=1&y=%20", ("Host", "example.com:1234"), content_length=7)
    assert _environment(request) == {
        "AUTH_TYPE": "",
        "CONTENT_LENGTH": "7",
        "CONTENT_TYPE": "",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "HTTP_HOST": "example.com:1234",
        "PATH_INFO": "/a b",
        "PATH_TRANSLATED": "/a b",
        "QUERY_STRING": "x=1&y=%20",
        "REMOTE_ADDR": "123.4.5.6",
        "REMOTE_HOST": "123.4.5.6",
        "REMOTE_USER": "",
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/hello",
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "1234",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "WAGI/1",
        "X_FULL_URL": "http://example.com:1234/hello/a%20b?x=1&y=%20",
        "X_MATCHED_ROUTE": "/hello/...",
        "X_RAW_PATH_INFO": "/a%20b",
    }


def test_the_content_type_is_the_requests() -> None:
    variables = _environment(_request("/hello", "", ("content-type", "text/plain; charset=utf-8")))
    assert variables["CONTENT_TYPE"] == variables["HTTP_CONTENT_TYPE"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("name", ["Proxy", "PROXY", "Authorization", "Connection"])
def test_some_headers_never_reach_a_handler(name: str) -> None:
    assert not any("evil" in value for value in _environment(_request("/hello", "", (name, "evil"))).values())


def test_headers_become_variables_and_repeated_ones_are_joined() -> None:
    headers = [("X-Tag", "a"), ("x-tag", "b"), ("Cookie", "c=1"), ("Cookie", "d=2"), ("X-Umlaut", "ü")]
    variables = _environment(_request("/hello", "", *headers))
    assert variables["HTTP_X_TAG"] == "a, b"
    assert variables["HTTP_COOKIE"] == "c=1; d=2"
    assert variables["HTTP_X_UMLAUT"] == "CORRUPT VALUE"


def test_configured_variables_are_there_but_cannot_hide_the_protocols() -> None:
    base = {"GREETING": "hi", "REQUEST_METHOD": "FAKE"}
    matched = Matched("/hello", "/hello", "")
    variables = environment(_request(), matched, hostname="localhost", base=base)
    assert variables["GREETING"] == "hi"
    assert variables["REQUEST_METHOD"] == "GET"
    assert base["REQUEST_METHOD"] == "FAKE"


def test_a_header_takes_the_place_of_a_configured_variable_of_its_name() -> None:
    matched = Matched("/hello", "/hello", "")
    request = _request("/hello", "", ("X-A", "header"))
    variables = environment(request, matched, hostname="localhost", base={"HTTP_X_A": "base"})
    assert variables["HTTP_X_A"] == "header"


def test_a_body_of_unknown_length_has_no_content_length() -> None:
    assert _environment(_request(content_length=None))["CONTENT_LENGTH"] == ""


@pytest.mark.parametrize(
    ("host", "hostname", "scheme", "expected"),
    [
        ("example.com:80", "localhost:3000", "http", ("example.com", "80")),
        ("example.com", "localhost:3000", "http", ("example.com", "3000")),
        ("", "localhost:3000", "http", ("localhost", "3000")),
        ("", "", "http", ("localhost", "80")),
        ("", "", "https", ("localhost", "443")),
        ("example.com", "", "https", ("example.com", "443")),
        ("[::1]:8080", "x", "http", ("[::1]", "8080")),
        ("[::1]", "x:1", "http", ("[::1]", "1")),
        ("bad host", "x:1", "http", ("x", "1")),
        ("evil/../path", "x:1", "http", ("x", "1")),
        ("h:99999", "x:1", "http", ("x", "1")),
        ("h:", "x:1", "http", ("h", "1")),
    ],
)
def test_the_servers_name_and_port_come_part_by_part(
    host: str, hostname: str, scheme: str, expected: tuple[str, str]
) -> None:
    assert server_address(host, hostname, scheme) == expected


@pytest.mark.parametrize(
    ("query", "template", "expected"),
    [
        ("", None, ["/hello"]),
        ("a=1&b", None, ["/hello", "a=1", "b"]),
        ("a=%20&&b", None, ["/hello", "a=%20", "", "b"]),
        ("a=1&b", "${SCRIPT_NAME} ${ARGS}", ["/hello", "a=1", "b"]),
        ("a=1", "prog -x ${ARGS} end", ["prog", "-x", "a=1", "end"]),
        ("", "${ARGS}", []),
    ],
)
def test_arguments(query: str, template: str | None, expected: list[str]) -> None:
    assert arguments(_request("/hello", query), template) == expected


@given(
    path=st.text(st.characters(codec="ascii", exclude_characters="\0")).map(lambda text: "/" + text),
    query=st.text(st.characters(codec="ascii", exclude_characters="\0")),
    headers=st.lists(st.tuples(st.from_regex(rb"[A-Za-z-]{1,12}", fullmatch=True), st.binary(max_size=30))),
)
def test_whatever_comes_can_be_handed_to_a_guest(
    path: str, query: str, headers: list[tuple[bytes, bytes]]
) -> None:
    request = Request("GET", path, query, headers, "::1")
    matched = matches("/...", path)
    assert matched
    variables = environment(request, matched, hostname="localhost")
    for name, value in variables.items():
        assert "\0" not in name + value
        assert "=" not in name
        (name + value).encode()
    assert "HTTP_PROXY" not in variables
