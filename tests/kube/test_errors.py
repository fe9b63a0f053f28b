"""A Status becomes the exception of its reason or code."""

import inspect
import re

import pytest

from proa.app.errors import ProaError
from proa.kube import errors
from proa.kube.core.request import Request
from proa.kube.core.response import Response, failure
from proa.kube.errors import (
    ApiError,
    InternalError,
    KubeError,
    ServerTimeoutError,
    TooManyRequestsError,
    api_error,
)
from proa.kube.models.meta_v1 import Status
from proa.kube.testing import ScriptedTransport, answer, scripted_client, status

REQUEST = Request("GET", "/api/v1/pods")


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (400, "BadRequest", errors.BadRequestError),
        (401, "Unauthorized", errors.UnauthorizedError),
        (403, "Forbidden", errors.ForbiddenError),
        (404, "NotFound", errors.NotFoundError),
        (404, "", errors.NotFoundError),
        (405, "MethodNotAllowed", errors.MethodNotAllowedError),
        (409, "AlreadyExists", errors.AlreadyExistsError),
        (409, "Conflict", errors.ConflictError),
        (410, "Expired", errors.GoneError),
        (410, "Gone", errors.GoneError),
        (413, "RequestEntityTooLarge", errors.RequestTooLargeError),
        (415, "UnsupportedMediaType", errors.UnsupportedMediaTypeError),
        (422, "Invalid", errors.InvalidError),
        (429, "TooManyRequests", errors.TooManyRequestsError),
        (500, "InternalError", errors.InternalError),
        (500, "ServerTimeout", errors.ServerTimeoutError),
        (503, "ServiceUnavailable", errors.ServiceUnavailableError),
        (504, "Timeout", errors.ServerTimeoutError),
        (418, "Teapot", errors.InternalError),
    ],
)
def test_a_status_becomes_the_exception_of_its_meaning(code: int, reason: str, error: type[ApiError]) -> None:
    raised = api_error(Status(code=code, reason=reason, message="two\nlines"))
    assert type(raised) is error
    assert (raised.code, raised.reason, str(raised)) == (code, reason, "two lines")


def test_the_wait_that_the_server_asks_for_comes_from_the_status_or_the_header() -> None:
    def error(body: bytes, header: str) -> ApiError | None:
        return failure(REQUEST, Response(429, {"retry-after": header}, body))

    in_status = error(b'{"kind":"Status","status":"Failure","details":{"retryAfterSeconds":7}}', "3")
    assert in_status
    assert in_status.retry_after == 7
    in_header = error(b"slow down", "3")
    assert in_header
    assert (in_header.retry_after, in_header.retryable, in_header.code) == (3, True, 429)
    dated = error(b"", "Wed, 21 Oct 2026 07:28:00 GMT")
    assert dated
    assert (dated.retry_after, str(dated)) == (None, "GET /api/v1/pods: 429 Too Many Requests")


def test_a_long_answer_from_a_proxy_is_cut_short() -> None:
    error = failure(REQUEST, Response(599, {}, b"x" * 10_000))
    assert isinstance(error, InternalError)
    assert len(str(error)) < 300


def test_an_object_that_came_with_an_error_code_is_not_taken_for_a_status() -> None:
    error = failure(REQUEST, Response(503, {}, b'{"kind":"Pod","status":{}}'))
    assert str(error).startswith("GET /api/v1/pods: 503 Service Unavailable")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    classes = {
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, KubeError)
    }
    assert classes == set(re.findall(r"\b[A-Z]\w*Error\b", errors.__doc__ or "")) - {
        "ValueError",
        "TimeoutError",
    }
    assert classes | {"api_error"} == set(errors.__all__)
    assert issubclass(KubeError, ProaError)
    assert TooManyRequestsError.retryable
    assert ServerTimeoutError.retryable


async def test_a_scripted_transport_answers_in_order_and_records() -> None:
    transport = ScriptedTransport(
        answer(b"one"), status(429, "TooManyRequests", retry_after=2), OSError("gone")
    )
    async with scripted_client(transport) as client:
        assert (await client.request_raw("GET", "/a")).body == b"one"
        with pytest.raises(TooManyRequestsError) as caught:
            await client.request_raw("GET", "/b")
        assert caught.value.retry_after == 2
        with pytest.raises(OSError, match="gone"):
            await client.request_raw("GET", "/c")
        with pytest.raises(AssertionError, match="no answer to GET /d"):
            await client.request_raw("GET", "/d")
    assert [request.path for request in transport.requests] == ["/a", "/b", "/c", "/d"]
    assert transport.closed
