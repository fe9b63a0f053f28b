"""`wasi_experimental_http`: HTTP requests of core modules, to the hosts that they are allowed.

The interface is deislabs' wasi-experimental-http 0.10: numbers for errors, handles for responses, header
lines `name:value`. A process runs one guest at a time, so a request simply blocks. Redirects are not
followed: they could lead to a host that is not allowed.
"""

import encodings.idna  # noqa: F401 - looked up by name with the first connection, when no file can be read
import http.client
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from wasmtime import Caller, FuncType, Linker, Memory, ValType, WasmtimeError

from proa.wasm._name_server import look_up
from proa.wasm.spec import NameServer, Outbound

__all__ = ["Requests"]

_MODULE: Final = "wasi_experimental_http"

_INVALID_HANDLE: Final = 1
_MEMORY_NOT_FOUND: Final = 2
_MEMORY_ACCESS: Final = 3
_BUFFER_TOO_SMALL: Final = 4
_HEADER_NOT_FOUND: Final = 5
_UTF8: Final = 6
_NOT_ALLOWED: Final = 7
_INVALID_METHOD: Final = 8
_INVALID_ENCODING: Final = 9
_INVALID_URL: Final = 10
_REQUEST_FAILED: Final = 11
_TOO_MANY: Final = 13

_PORTS: Final = {"http": 80, "https": 443}
_TIMEOUT: Final = 60.0
_MAX_BODY: Final = 64 * 1024 * 1024
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"})


class _Refusal(Exception):  # noqa: N818 - a number for the guest, no error here
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Response:
    def __init__(self, headers: Sequence[tuple[str, str]], body: bytes) -> None:
        self.headers = headers
        self.body = body
        self.position = 0


class Requests:
    """The host's side of it for one guest after another."""

    def __init__(self) -> None:
        self._allowed = Outbound()
        self._responses: dict[int, _Response] = {}
        self._next = 0

    def allow(self, allowed: Outbound) -> None:
        """Begin with the next guest."""
        self._allowed = allowed
        self._responses.clear()
        self._next = 0

    def define(self, linker: Linker) -> None:
        """Offer the functions to guests."""
        functions: dict[str, tuple[Callable[..., None], int]] = {
            "req": (self._req, 10),
            "close": (self._close, 1),
            "body_read": (self._body_read, 4),
            "header_get": (self._header_get, 6),
            "headers_get_all": (self._headers_get_all, 4),
        }
        for name, (function, arity) in functions.items():
            kind = FuncType([ValType.i32()] * arity, [ValType.i32()])
            linker.define_func(_MODULE, name, kind, _answering(function), access_caller=True)

    def _req(self, memory: "_Guest", *arguments: int) -> None:
        url, method, headers, body = (memory.read(arguments[i], arguments[i + 1]) for i in range(0, 8, 2))
        limit = self._allowed.max_requests
        if limit is not None and len(self._responses) >= limit:
            raise _Refusal(_TOO_MANY)
        status, response = self._exchange(_text(url), _text(method), _text(headers), body)
        self._next += 1
        self._responses[self._next] = response
        memory.write(arguments[8], struct.pack("<H", status))
        memory.write(arguments[9], struct.pack("<I", self._next))

    def _exchange(self, url: str, method: str, headers: str, body: bytes) -> tuple[int, _Response]:
        try:
            target = urlsplit(url)
            port = target.port
        except ValueError:
            raise _Refusal(_INVALID_URL) from None
        if target.scheme not in {"http", "https"} or not target.hostname:
            raise _Refusal(_INVALID_URL)
        if method not in _METHODS:
            raise _Refusal(_INVALID_METHOD)
        if not self._allowed.allows(target.hostname, port or _PORTS[target.scheme]):
            raise _Refusal(_NOT_ALLOWED)
        connection = _connection(target.scheme, target.hostname, port)
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        try:
            if self._allowed.name_server is not None:
                _connect(connection, self._allowed.name_server)
            connection.request(method, path, body or None, _parse_headers(headers))
            answer = connection.getresponse()
            content = answer.read(_MAX_BODY + 1)
        except (OSError, http.client.HTTPException, ValueError):
            raise _Refusal(_REQUEST_FAILED) from None
        finally:
            connection.close()
        if len(content) > _MAX_BODY:
            raise _Refusal(_REQUEST_FAILED)
        return answer.status, _Response(
            [(name.lower(), value) for name, value in answer.getheaders()], content
        )

    def _close(self, _memory: "_Guest", handle: int) -> None:
        self._responses.pop(handle, None)

    def _body_read(self, memory: "_Guest", handle: int, buffer: int, length: int, written: int) -> None:
        response = self._response(handle)
        chunk = response.body[response.position : response.position + length]
        memory.write(buffer, chunk)
        memory.write(written, struct.pack("<I", len(chunk)))
        response.position += len(chunk)

    def _header_get(
        self,
        memory: "_Guest",
        handle: int,
        name: int,
        name_length: int,
        buffer: int,
        length: int,
        written: int,
    ) -> None:
        wanted = _text(memory.read(name, name_length)).lower()
        for header, value in self._response(handle).headers:
            if header == wanted:
                memory.write_bounded(buffer, length, written, value.encode())
                return
        raise _Refusal(_HEADER_NOT_FOUND)

    def _headers_get_all(self, memory: "_Guest", handle: int, buffer: int, length: int, written: int) -> None:
        lines = "".join(f"{name}:{value}\n" for name, value in self._response(handle).headers)
        memory.write_bounded(buffer, length, written, lines.encode())

    def _response(self, handle: int) -> _Response:
        if handle not in self._responses:
            raise _Refusal(_INVALID_HANDLE)
        return self._responses[handle]


class _Guest:
    """A guest's memory, by addresses and lengths that it may have made up."""

    def __init__(self, caller: Caller) -> None:
        memory = caller.get("memory")
        if not isinstance(memory, Memory):
            raise _Refusal(_MEMORY_NOT_FOUND)
        self._caller = caller
        self._memory = memory

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes out."""
        address, length = address & 0xFFFF_FFFF, length & 0xFFFF_FFFF
        if address + length > self._memory.data_len(self._caller):
            raise _Refusal(_BUFFER_TOO_SMALL)
        return bytes(self._memory.read(self._caller, address, address + length))

    def write(self, address: int, content: bytes) -> None:
        """Copy bytes in."""
        try:
            self._memory.write(self._caller, content, address & 0xFFFF_FFFF)
        except (IndexError, WasmtimeError):
            raise _Refusal(_MEMORY_ACCESS) from None

    def write_bounded(self, buffer: int, length: int, written: int, content: bytes) -> None:
        """Copy bytes into a buffer of a certain length, and their number to where it is wanted."""
        if len(content) > length & 0xFFFF_FFFF:
            raise _Refusal(_BUFFER_TOO_SMALL)
        self.write(buffer, content)
        self.write(written, struct.pack("<I", len(content)))


def _answering(function: Callable[..., None]) -> Callable[..., int]:
    def call(caller: Caller, *arguments: int) -> int:
        try:
            function(_Guest(caller), *arguments)
        except _Refusal as refusal:
            return refusal.code
        return 0

    return call


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
    return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)


def _connect(connection: http.client.HTTPConnection, server: NameServer) -> None:
    """Connect to where a name server says that the host is."""
    address = (look_up(connection.host, server), connection.port)
    connection.sock = socket.create_connection(address, timeout=_TIMEOUT)
    if isinstance(connection, http.client.HTTPSConnection):
        context = ssl.create_default_context()
        connection.sock = context.wrap_socket(connection.sock, server_hostname=connection.host)


def _parse_headers(text: str) -> dict[str, str]:
    headers = {}
    for line in filter(None, text.split("\n")):
        name, colon, value = line.partition(":")
        if not colon:
            raise _Refusal(_INVALID_ENCODING)
        headers[name.strip()] = value.strip()
    return headers


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise _Refusal(_UTF8) from None
