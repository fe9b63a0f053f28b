"""What is sent again, when, and what never."""

import asyncio

import pytest

from proa.app import Backoff
from proa.app.testing import virtual_time
from proa.kube import (
    Api,
    ApiError,
    Apply,
    ConnectError,
    Json,
    KubeError,
    Merge,
    RequestTimeoutError,
    Retry,
    TlsError,
    TooManyRequestsError,
    TransportError,
)
from proa.kube.core.request import Request
from proa.kube.errors import api_error
from proa.kube.models.core_v1 import ConfigMap, Pod
from proa.kube.models.meta_v1 import ObjectMeta, Status
from proa.kube.testing import Answer, ScriptedTransport, answer, event, scripted_client, status

GET = Request("GET", "/api/v1/pods")
POST = Request("POST", "/api/v1/pods")
APPLY = Request("PATCH", "/api/v1/pods/a", content_type="application/apply-patch+yaml")
MERGE = Request("PATCH", "/api/v1/pods/a", content_type="application/merge-patch+json")
EVICT = Request("POST", "/api/v1/namespaces/a/pods/b/eviction")
CONFIG_MAP = ConfigMap(metadata=ObjectMeta(name="a", namespace="default"))


def refused(code: int, retry_after: int | None = None) -> ApiError:
    return api_error(Status(code=code, reason="X"), retry_after)


@pytest.mark.parametrize(
    ("request_", "error", "repeated"),
    [
        (GET, refused(429), True),
        (POST, refused(429), True),
        (POST, refused(503), False),
        (POST, refused(503, 1), True),
        (GET, refused(503), True),
        (GET, refused(504), True),
        (POST, refused(504), False),
        (GET, refused(500), False),
        (GET, refused(409), False),
        (EVICT, refused(429, 10), False),
        (POST, ConnectError("refused"), True),
        (POST, TransportError("broken"), False),
        (GET, TransportError("broken"), True),
        (APPLY, TransportError("broken"), True),
        (MERGE, TransportError("broken"), False),
        (GET, RequestTimeoutError("slow"), False),
        (GET, TlsError("expired"), False),
        (GET, KubeError("other"), False),
    ],
)
def test_only_what_may_be_repeated_is(request_: Request, error: KubeError, repeated: bool) -> None:
    assert (Retry().delay(request_, error, 0) is not None) is repeated


def test_waits_grow_are_jittered_and_never_shorter_than_asked() -> None:
    exact = Retry(limit=10, backoff=Backoff(initial=1, maximum=4, jitter=0))
    assert [exact.delay(GET, refused(503), n) for n in range(4)] == [1, 2, 4, 4]
    assert exact.delay(GET, refused(429, 7), 3) == 8
    waits = {Retry().delay(GET, refused(429, 7), 0) for _ in range(20)}
    assert len(waits) > 1
    assert all(wait is not None and 7 <= wait < 8 for wait in waits)


def test_the_number_of_attempts_and_the_longest_wait_are_bounds() -> None:
    assert Retry(limit=2).delay(GET, refused(503), 2) is None
    assert Retry(longest_wait=5).delay(GET, refused(503, 6), 0) is None
    with pytest.raises(ValueError, match="must not be negative"):
        Retry(limit=-1)


@virtual_time
async def test_a_client_waits_as_long_as_the_server_asks() -> None:
    transport = ScriptedTransport(status(429, "TooManyRequests", retry_after=30), answer(CONFIG_MAP))
    began = asyncio.get_running_loop().time()
    async with scripted_client(transport, retry=Retry()) as client:
        assert await Api(client, ConfigMap, namespace="default").get("a") == CONFIG_MAP
    assert 30 <= asyncio.get_running_loop().time() - began < 31
    assert len(transport.requests) == 2


@virtual_time
async def test_after_the_last_attempt_the_error_is_raised() -> None:
    transport = ScriptedTransport(*[status(503, "ServiceUnavailable")] * 5)
    async with scripted_client(transport, retry=Retry(limit=4)) as client:
        with pytest.raises(ApiError, match="ServiceUnavailable"):
            await Api(client, Pod).list_page()
    assert len(transport.requests) == 5


async def test_retries_are_off_when_asked() -> None:
    transport = ScriptedTransport(status(429, "TooManyRequests", retry_after=0))
    async with scripted_client(transport, retry=None) as client:
        with pytest.raises(TooManyRequestsError):
            await Api(client, Pod).list_page()
    assert len(transport.requests) == 1


@virtual_time
async def test_a_refused_connection_is_tried_again_for_any_verb() -> None:
    transport = ScriptedTransport(ConnectError("refused"), ConnectError("refused"), answer(CONFIG_MAP))
    async with scripted_client(transport, retry=Retry()) as client:
        assert await Api(client, ConfigMap).create(CONFIG_MAP) == CONFIG_MAP
    assert [request.method for request in transport.requests] == ["POST"] * 3


@virtual_time
async def test_a_lost_answer_repeats_an_apply_but_no_other_patch() -> None:
    for patch, requests in ((Apply(CONFIG_MAP, manager="m"), 2), (Merge({}), 1), (Json([]), 1)):
        transport = ScriptedTransport(TransportError("broke"), answer(CONFIG_MAP))
        async with scripted_client(transport, retry=Retry()) as client:
            api = Api(client, ConfigMap, namespace="default")
            try:
                await api.patch("a", patch)
            except TransportError:
                assert requests == 1
        assert len(transport.requests) == requests


@virtual_time
async def test_opening_a_watch_is_retried_and_its_middle_is_not() -> None:
    begun: Answer = answer(chunks=[event("ADDED", CONFIG_MAP)], error=TransportError("broke"))
    transport = ScriptedTransport(status(429, "TooManyRequests", retry_after=1), begun)
    async with scripted_client(transport, retry=Retry()) as client:
        watch = Api(client, ConfigMap).watch("1")
        assert (await anext(watch)).type == "ADDED"
        with pytest.raises(TransportError):
            await anext(watch)
    assert len(transport.requests) == 2
