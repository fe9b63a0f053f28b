"""Every verb, over a real connection to a loopback server that records what it got."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web

from proa.kube import (
    AlreadyExistsError,
    Api,
    Apply,
    Bookmark,
    Client,
    Config,
    ConflictError,
    ConnectError,
    GoneError,
    InvalidRequestError,
    Json,
    Merge,
    NotFoundError,
    RequestTimeoutError,
    Strategic,
    Timeouts,
    TransportError,
    WatchEvent,
    encode,
)
from proa.kube.models.core_v1 import Binding, Node, ObjectReference, Pod, PodStatus
from proa.kube.models.meta_v1 import ObjectMeta, Status
from proa.kube.testing import event

POD = Pod(metadata=ObjectMeta(name="a", namespace="web", resource_version="5"))
NODE = Node(metadata=ObjectMeta(name="n"))


def failure(code: int, reason: str) -> bytes:
    return encode(Status(status="Failure", code=code, reason=reason, message=f"it is {reason}"))


async def test_reading_one_object(server: Any, client: Client) -> None:
    server.answer(encode(POD))
    assert await Api(client, Pod, namespace="web").get("a") == POD
    assert server.last == ("GET", "/api/v1/namespaces/web/pods/a", {}, b"")
    assert server.requests[-1].headers["Authorization"] == "Bearer secret-token"
    assert server.requests[-1].headers["User-Agent"] == "proa"
    await Api(client, Pod).get("a", namespace="other")
    assert server.last[1] == "/api/v1/namespaces/other/pods/a"
    server.answer(encode(NODE))
    await Api(client, Node).get("system:n 1")
    assert server.last[1] == "/api/v1/nodes/system:n 1"


async def test_what_is_not_there(server: Any, client: Client) -> None:
    pods = Api(client, Pod, namespace="web")
    server.answer(failure(404, "NotFound"), status=404)
    with pytest.raises(NotFoundError, match="it is NotFound") as caught:
        await pods.get("a")
    assert (caught.value.code, caught.value.reason, caught.value.status.status) == (
        404,
        "NotFound",
        "Failure",
    )
    assert await pods.get_opt("a") is None


async def test_listing_goes_through_all_pages(server: Any, client: Client) -> None:
    async def handler(request: web.Request) -> web.Response:
        page = int(request.query.get("continue", "0"))
        token = str(page + 1) if page < 2 else ""
        items = [{"metadata": {"name": f"pod-{page}"}}]
        return web.json_response({"metadata": {"resourceVersion": "9", "continue": token}, "items": items})

    server.handler = handler
    names = [pod.metadata.name async for pod in Api(client, Pod).list(label_selector="app=web", page_size=1)]
    assert names == ["pod-0", "pod-1", "pod-2"]
    assert server.last[:3] == (
        "GET",
        "/api/v1/pods",
        {"labelSelector": "app=web", "limit": "1", "continue": "2"},
    )


async def test_a_page_tells_where_to_watch_from(server: Any, client: Client) -> None:
    server.answer(b'{"metadata":{"resourceVersion":"9"},"items":null}')
    page = await Api(client, Pod).list_page(field_selector="spec.nodeName=n", resource_version="0")
    assert (page.items, page.resource_version, page.continue_) == ([], "9", None)
    assert server.last[2] == {"fieldSelector": "spec.nodeName=n", "resourceVersion": "0"}


async def test_an_expired_page_token_is_gone(server: Any, client: Client) -> None:
    server.answer(failure(410, "Expired"), status=410)
    with pytest.raises(GoneError):
        await Api(client, Pod).list_page(continue_="old")


async def test_creating(server: Any, client: Client) -> None:
    server.answer(encode(POD), status=201)
    assert await Api(client, Pod).create(POD) == POD
    assert server.last[:2] == ("POST", "/api/v1/namespaces/web/pods")
    assert json.loads(server.last[3])["kind"] == "Pod"
    assert server.requests[-1].headers["Content-Type"] == "application/json"
    server.answer(failure(409, "AlreadyExists"), status=409)
    with pytest.raises(AlreadyExistsError):
        await Api(client, Pod).create(POD)


async def test_replacing(server: Any, client: Client) -> None:
    server.answer(encode(POD))
    pods = Api(client, Pod, namespace="web")
    await pods.replace(POD)
    assert server.last[:2] == ("PUT", "/api/v1/namespaces/web/pods/a")
    await pods.replace_status(POD)
    assert server.last[:2] == ("PUT", "/api/v1/namespaces/web/pods/a/status")
    server.answer(failure(409, "Conflict"), status=409)
    with pytest.raises(ConflictError) as caught:
        await pods.replace(POD)
    assert not isinstance(caught.value, AlreadyExistsError)


@pytest.mark.parametrize(
    ("patch", "content_type", "query"),
    [
        (Merge({"metadata": {"labels": {"a": None}}}), "application/merge-patch+json", {}),
        (Strategic({"spec": {}}), "application/strategic-merge-patch+json", {}),
        (Json([{"op": "test", "path": "/a", "value": None}]), "application/json-patch+json", {}),
        (Apply(POD, manager="me"), "application/apply-patch+yaml", {"fieldManager": "me"}),
        (
            Apply(POD, manager="me", force=True),
            "application/apply-patch+yaml",
            {"fieldManager": "me", "force": "true"},
        ),
    ],
)
async def test_patching(
    server: Any, client: Client, patch: Any, content_type: str, query: dict[str, str]
) -> None:
    server.answer(encode(POD))
    pods = Api(client, Pod, namespace="web")
    await pods.patch("a", patch)
    assert server.last[:3] == ("PATCH", "/api/v1/namespaces/web/pods/a", query)
    assert server.requests[-1].headers["Content-Type"] == content_type
    await pods.patch_status("a", patch)
    assert server.last[1] == "/api/v1/namespaces/web/pods/a/status"


async def test_deleting_returns_what_is_yet_to_go_or_a_status(server: Any, client: Client) -> None:
    pods = Api(client, Pod, namespace="web")
    server.answer(encode(POD))
    assert await pods.delete("a", grace_period=0, propagation="Foreground", uid="u") == POD
    assert server.last[:2] == ("DELETE", "/api/v1/namespaces/web/pods/a")
    assert json.loads(server.last[3]) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u"},
    }
    server.answer(encode(Status(status="Success")))
    assert isinstance(await pods.delete("a"), Status)


async def test_deleting_a_collection(server: Any, client: Client) -> None:
    server.answer(b'{"kind":"PodList","apiVersion":"v1","items":[]}')
    await Api(client, Pod, namespace="web").delete_collection(label_selector="a=b", grace_period=1)
    assert server.last[:3] == ("DELETE", "/api/v1/namespaces/web/pods", {"labelSelector": "a=b"})


async def test_posting_to_a_subresource(server: Any, client: Client) -> None:
    server.answer(encode(Status(status="Success")), status=201)
    binding = Binding(metadata=ObjectMeta(name="a"), target=ObjectReference(kind="Node", name="n"))
    await Api(client, Pod, namespace="web").create_subresource("a", "binding", binding)
    assert server.last[:2] == ("POST", "/api/v1/namespaces/web/pods/a/binding")
    assert json.loads(server.last[3])["kind"] == "Binding"


async def test_watching_to_the_servers_end(server: Any, client: Client) -> None:
    lines = [
        event("ADDED", POD),
        event(
            "MODIFIED",
            {"kind": "Pod", "metadata": {"name": "b", "resourceVersion": "6"}, "spec": {"containers": None}},
        ),
        event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "7", "creationTimestamp": None}}),
        event("DELETED", POD),
    ]
    server.answer(b"".join(lines))
    events = [event async for event in Api(client, Pod, namespace="web").watch("4", timeout=30)]
    assert [(found.type, found.resource_version) for found in events] == [
        ("ADDED", "5"),
        ("MODIFIED", "6"),
        ("BOOKMARK", "7"),
        ("DELETED", "5"),
    ]
    assert events[0] == WatchEvent("ADDED", POD)
    assert events[2] == Bookmark("7")
    assert server.last[1:3] == (
        "/api/v1/namespaces/web/pods",
        {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "30", "resourceVersion": "4"},
    )


async def test_a_watch_from_a_version_too_old_is_gone_in_the_stream_and_as_a_status(
    server: Any, client: Client
) -> None:
    pods = Api(client, Pod)
    server.answer(event("ADDED", POD) + event("ERROR", Status(status="Failure", code=410, reason="Expired")))
    watch = pods.watch("1")
    assert (await anext(watch)).type == "ADDED"
    with pytest.raises(GoneError):
        await anext(watch)
    server.answer(failure(410, "Expired"), status=410)
    with pytest.raises(GoneError):
        await anext(pods.watch("1"))


async def test_a_watch_cut_off_in_an_event_is_a_transport_error(server: Any, client: Client) -> None:
    server.answer(event("ADDED", POD) + event("ADDED", POD)[:20])
    with pytest.raises(TransportError, match="cut off after 20 bytes"):
        assert [event async for event in Api(client, Pod).watch("1")]


async def test_a_watch_whose_connection_breaks_is_a_transport_error(server: Any, client: Client) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(event("ADDED", POD))
        assert request.transport
        request.transport.abort()
        return response

    server.handler = handler
    with pytest.raises(TransportError, match="connection broke"):
        assert [event async for event in Api(client, Pod).watch("1")]


async def test_a_silent_watch_is_given_up(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    released = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(event("ADDED", POD))
        await released.wait()
        return response

    server.handler = handler
    monkeypatch.setattr("proa.kube._reading.WATCH_GRACE", -0.9)
    async with Client(Config(server=server.url)) as client:
        watch = Api(client, Pod).watch("1", timeout=1)
        assert (await anext(watch)).type == "ADDED"
        with pytest.raises(RequestTimeoutError, match="silent"):
            await anext(watch)
    released.set()


async def test_leaving_a_watch_closes_its_connection() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + event("ADDED", POD))
        assert await reader.read() == b""
        writer.close()
        closed.set()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with Client(Config(server=url)) as client:
        async with aclosing(Api(client, Pod).watch("1")) as watch:
            assert (await anext(watch)).type == "ADDED"
        await closed.wait()
    listener.close()
    await listener.wait_closed()


async def test_logs_come_by_lines_of_bytes_however_they_arrive(server: Any, client: Client) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in (b"one\ntw", b"o\n\n\xff", b"end"):
            await response.write(chunk)
        return response

    server.handler = handler
    pods = Api(client, Pod, namespace="web")
    lines = [
        line
        async for line in pods.logs(
            "a", container="c", follow=True, tail_lines=0, previous=True, timestamps=True, since_seconds=9
        )
    ]
    assert lines == [b"one", b"two", b"", b"\xffend"]
    assert server.last[1:3] == (
        "/api/v1/namespaces/web/pods/a/log",
        {
            "container": "c",
            "follow": "true",
            "tailLines": "0",
            "previous": "true",
            "timestamps": "true",
            "sinceSeconds": "9",
        },
    )
    server.answer(failure(400, "BadRequest"), status=400)
    with pytest.raises(Exception, match="it is BadRequest"):
        await anext(pods.logs("a"))


async def test_requests_that_no_server_would_accept_are_not_sent(server: Any, client: Client) -> None:
    pods, everywhere = Api(client, Pod, namespace="web"), Api(client, Pod)
    calls = [
        everywhere.get("a"),
        pods.get(""),
        pods.get("a/b"),
        pods.get(".."),
        pods.create(Pod()),
        everywhere.create(Pod(metadata=ObjectMeta(name="a"))),
        pods.replace(Pod()),
        pods.delete("a", grace_period=-1),
        everywhere.delete_collection(),
        pods.list_page(limit=0),
        pods.list_page(continue_="a", resource_version="1"),
        pods.list_page(label_selector="a=b=c"),
        pods.patch("a", Json([{"op": "ad", "path": "/a"}])),
        pods.patch("a", Json([{"op": "add", "path": "/a"}])),
        pods.patch("b", Apply(POD, manager="m")),
        pods.patch("a", Apply(POD, manager="")),
        pods.patch("a", Apply({"metadata": {"name": "a"}}, manager="m")),
        pods.patch("a", Apply(NODE, manager="m")),
        pods.patch("a", Merge([])),  # type: ignore[arg-type]
        pods.create_subresource("a", "bin%ding", {}),
    ]
    for call in calls:
        with pytest.raises(InvalidRequestError):
            await call
    with pytest.raises(InvalidRequestError):
        await anext(pods.watch("1", timeout=0))
    with pytest.raises(InvalidRequestError):
        Api(client, Pod, namespace="a/b")
    assert server.requests == []


async def test_the_server_version_and_raw_paths(server: Any, client: Client) -> None:
    server.answer(
        b'{"major":"1","minor":"36","gitVersion":"v1.36.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}'
    )
    assert (await client.server_version()).git_version == "v1.36.0"
    server.answer(b"ok")
    response = await client.request_raw("GET", "/readyz", query={"verbose": ""})
    assert (response.body, response.status, server.last[1:3]) == (b"ok", 200, ("/readyz", {"verbose": ""}))
    with pytest.raises(InvalidRequestError):
        await client.request_raw("GET", "healthz")


async def test_a_server_that_answers_too_slowly(server: Any) -> None:
    released = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    server.handler = handler
    async with Client(Config(server=server.url), timeouts=Timeouts(total=0.1)) as client:
        with pytest.raises(
            RequestTimeoutError, match=r"GET http://.*/nodes/n: no answer within 0.1 s"
        ) as caught:
            await Api(client, Node).get("n")
        assert isinstance(caught.value, TimeoutError)
    released.set()


async def test_a_server_that_accepts_and_says_nothing_to_a_stream() -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with Client(Config(server=f"http://127.0.0.1:{port}"), timeouts=Timeouts(total=0.1)) as client:
        with pytest.raises(RequestTimeoutError):
            await anext(Api(client, Pod, namespace="a").logs("a"))
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    listener.close()
    await listener.wait_closed()


async def test_nobody_listens(unused_tcp_port: int) -> None:
    async with Client(Config(server=f"http://127.0.0.1:{unused_tcp_port}")) as client:
        with pytest.raises(ConnectError, match=r"cannot connect to http://127.0.0.1:\d+: Connection refused"):
            await Api(client, Node).get("n")
        with pytest.raises(ConnectError):
            await anext(Api(client, Node).watch("1"))


async def test_a_client_that_is_not_open_says_so() -> None:
    client = Client(Config(server="http://127.0.0.1:1"))
    with pytest.raises(InvalidRequestError, match="async with"):
        await Api(client, Node).get("n")


async def test_answers_from_something_else_than_an_api_server(server: Any, client: Client) -> None:
    server.answer(b"<html>\n<h1>Bad Gateway</h1>", status=502, headers={"Retry-After": "3"})
    with pytest.raises(
        Exception, match=r"GET /api/v1/nodes/n: 502 Bad Gateway: <html> <h1>Bad Gateway</h1>"
    ) as caught:
        await Api(client, Node).get("n")
    assert getattr(caught.value, "retry_after", None) == 3
    server.answer(b"", status=302, headers={"Location": "https://example.invalid"})
    with pytest.raises(Exception, match="302 Found"):
        await Api(client, Node).get("n")


async def test_one_client_serves_many_tasks_and_streams_leave_room_for_requests(
    server: Any, client: Client
) -> None:
    released = asyncio.Event()
    watching = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal watching
        if "watch" not in request.query:
            return web.Response(
                body=encode(Pod(metadata=ObjectMeta(name="x"), status=PodStatus(phase="Running")))
            )
        response = web.StreamResponse()
        await response.prepare(request)
        watching += 1
        if watching == 120:
            released.set()
        await released.wait()
        return response

    server.handler = handler
    pods = Api(client, Pod, namespace="web")

    async def follow() -> None:
        async for _ in pods.watch("1"):
            pass

    async with asyncio.TaskGroup() as tasks:
        for _ in range(119):
            tasks.create_task(follow())
        found = await pods.get("x")
        assert found.status.phase == "Running"
        tasks.create_task(follow())
    assert watching == 120
