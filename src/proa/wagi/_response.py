"""What a handler prints, made an HTTP response: at once when it ends soon, else piece by piece."""

import asyncio
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from proa.wagi._execution import Execution
from proa.wagi.errors import HandlerError
from proa.wagi.protocol import HEAD_LIMIT, ResponseHead, parse_head

__all__ = ["REQUEST_ID", "refuse", "request_id", "respond"]

REQUEST_ID: Final = web.RequestKey("request_id", str)
"""Where the gateway keeps a request's id."""

_STALLED_SECONDS: Final = 60.0
_CHUNK: Final = 256 * 1024
_WHOLE: Final = 1024 * 1024
"""Bytes of a finished response that are sent at once."""
_NO_BODY: Final = frozenset({204, 304})


async def respond(received: web.BaseRequest, execution: Execution) -> web.StreamResponse:
    """Send what the handler prints: at once when it ends soon, else piece by piece."""
    seen = 0
    while True:
        await execution.wait(seen)
        if parsed := _parse(execution):
            break
        seen = execution.size
    head, start = parsed
    execution.skip(start)
    if received.method == "HEAD":
        await _finish(execution)
        execution.skip(start)
    if execution.is_over and (execution.size - start <= _WHOLE or received.method == "HEAD"):
        return _complete(received, head, execution.take(_WHOLE))
    return await _stream(received, execution, head)


async def _finish(execution: Execution) -> None:
    """Let it end, whatever it prints."""
    while not execution.is_over:
        await execution.wait(execution.size)
        execution.skip(execution.size)


def _parse(execution: Execution) -> tuple[ResponseHead, int] | None:
    if execution.is_over:
        _check(execution)
    beginning = execution.peek(HEAD_LIMIT + 1)
    return parse_head(beginning, complete=execution.is_over and len(beginning) == execution.size)


def _check(execution: Execution) -> None:
    """Raise HandlerError unless the handler ended well."""
    if execution.failure:
        raise execution.failure
    result = execution.result
    assert result
    match result.end:
        case "exited" if result.code == 0:
            return
        case "exited":
            raise HandlerError(500, "exit", f"the handler exited with code {result.code}")
        case "trapped":
            raise HandlerError(500, "trap", f"the handler trapped: {result.message}", result.detail)
        case "memory":
            raise HandlerError(503, "memory", f"the handler {result.message}, more than its limit")
        case _:
            raise HandlerError(500, "failed", f"the handler could not be started: {result.message}")


def _complete(received: web.BaseRequest, head: ResponseHead, body: bytes) -> web.Response:
    headers = _headers(received, head)
    if received.method == "HEAD":
        if head.content_length is not None:
            headers["Content-Length"] = str(head.content_length)
    elif head.content_length is not None:
        body = body[: head.content_length]
        if len(body) < head.content_length:
            missing = head.content_length - len(body)
            raise HandlerError(500, "response", f"{missing} bytes less than its Content-Length were printed")
    if head.status in _NO_BODY:
        body = b""
    return web.Response(status=head.status, reason=head.reason, headers=headers, body=body)


async def _stream(received: web.BaseRequest, execution: Execution, head: ResponseHead) -> web.StreamResponse:
    """Send a response under way. What goes wrong now can only be told by breaking the connection off."""
    response = web.StreamResponse(status=head.status, reason=head.reason, headers=_headers(received, head))
    length = head.content_length
    if length is None and execution.is_over:
        length = execution.size - execution.taken
    if length is not None:
        response.content_length = length
    elif received.version >= (1, 1):
        response.enable_chunked_encoding()
    await response.prepare(received)
    try:
        await _copy(execution, response, length)
    except HandlerError as error:
        error.is_late = True
        raise
    await response.write_eof()
    return response


async def _copy(execution: Execution, response: web.StreamResponse, length: int | None) -> None:
    """Copy the body to the client, as fast as that takes it, and no more than `length` bytes."""
    left = length
    while True:
        chunk = execution.take(_CHUNK)
        if not chunk:
            if execution.is_over:
                break
            await execution.wait(execution.taken)
            continue
        if left is not None:
            chunk = chunk[:left]
            left -= len(chunk)
        try:
            async with asyncio.timeout(_STALLED_SECONDS):
                await response.write(chunk)
        except TimeoutError:
            message = f"the client took nothing for {_STALLED_SECONDS:g} s"
            raise HandlerError(408, "client", message) from None
    _check(execution)
    if left:
        raise HandlerError(500, "response", f"{left} bytes less than its Content-Length were printed")


def _headers(received: web.BaseRequest, head: ResponseHead) -> CIMultiDict[str]:
    headers = CIMultiDict(head.headers)
    headers.setdefault("X-Request-Id", request_id(received))
    headers.setdefault("Server", "proa")
    return headers


def refuse(received: web.BaseRequest, error: HandlerError) -> web.Response:
    if error.is_late and received.transport:
        received.transport.abort()
    headers = {"X-Request-Id": request_id(received)}
    if error.reason == "overload":
        headers["Retry-After"] = "1"
    response = web.Response(status=error.status, headers=headers)
    if not received.content.at_eof():
        response.force_close()  # Rather than read the rest of a body that nobody wants.
    return response


def request_id(received: web.BaseRequest) -> str:
    """The id that a request has in the log and in its response."""
    identifier: str = received[REQUEST_ID]
    return identifier
