"""The API server as its clients meet it: writes, watches, refusals, security, and stopping."""

import asyncio
import io
import json
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proa.app import http
from proa.controlplane import ApiServer, ApiServerSettings, ControlPlaneError
from proa.controlplane.testing import api_server
from proa.kube import Api, Client, Config
from proa.kube.errors import ConflictError, ForbiddenError, NotFoundError
from proa.kube.models.core_v1 import ConfigMap, Namespace, Node, Pod
from proa.kube.models.meta_v1 import ObjectMeta

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
Session = aiohttp.ClientSession


def pod(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.test/app:1"}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


async def post(session: Session, path: str, body: Any, expected: int = 201) -> dict[str, Any]:
    async with session.post(path, json=body) as response:
        answer: dict[str, Any] = await response.json()
        assert response.status == expected, answer
        return answer


async def get(session: Session, path: str, expected: int = 200) -> dict[str, Any]:
    async with session.get(path) as response:
        answer: dict[str, Any] = await response.json()
        assert response.status == expected, answer
        return answer


@asynccontextmanager
async def watching(session: Session, path: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    async with session.get(path) as response:
        assert response.status == 200

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in response.content:
                yield json.loads(line)

        yield events()


async def test_our_own_client_can_do_its_work(server: ApiServer) -> None:
    async with Client(Config.from_kubeconfig(server.kubeconfig)) as client:
        maps = Api(client, ConfigMap, namespace="default")
        created = await maps.create(ConfigMap(metadata=ObjectMeta(name="a"), data={"k": "v"}))
        assert created.metadata.uid
        with pytest.raises(NotFoundError):
            await maps.get("nope")
        assert [one.metadata.name async for one in Api(client, Namespace).list()] == [
            "default",
            "kube-node-lease",
            "kube-public",
            "kube-system",
        ]


async def test_a_second_server_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    async with api_server(tmp_path) as first:
        async with Client(Config.from_kubeconfig(first.kubeconfig)) as client:
            stored = await Api(client, Namespace).get("default")
        ca = (first.settings.data_dir / "pki/ca.crt").read_bytes()
    async with api_server(tmp_path) as second:
        async with Client(Config.from_kubeconfig(second.kubeconfig)) as client:
            assert (await Api(client, Namespace).get("default")).metadata.uid == stored.metadata.uid
        assert (second.settings.data_dir / "pki/ca.crt").read_bytes() == ca


async def test_secret_files_are_their_owners_only(server: ApiServer) -> None:
    await asyncio.to_thread(server.kubeconfig_for, "system:node:x", ["system:nodes"])
    for path in server.settings.data_dir.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_a_port_in_use_is_one_clear_error_and_leaves_nothing_locked(tmp_path: Path) -> None:
    async with api_server(tmp_path) as first:
        settings = ApiServerSettings(data_dir=tmp_path / "other", port=first.port)
        with pytest.raises(http.PortInUseError, match=str(first.port)):
            async with ApiServer(settings):
                pass
    async with ApiServer(settings) as second:
        assert second.port == settings.port


async def test_a_token_file_with_too_few_columns_is_one_clear_error(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("only-a-token\n")
    with pytest.raises(ControlPlaneError, match="line 1"):
        async with api_server(tmp_path, token_auth_file=tokens):
            pass


async def test_a_watch_sees_every_change_in_order_and_ends_when_the_server_stops(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text('t,admin,1,"system:masters"\n')
    async with Session(
        connector=aiohttp.TCPConnector(ssl=False), headers={"Authorization": "Bearer t"}
    ) as session:
        async with api_server(tmp_path, token_auth_file=tokens) as server:
            response = await session.get(f"{server.url}{MAPS}?watch=1")
            for number in range(50):
                await post(session, f"{server.url}{MAPS}", {"metadata": {"name": f"c{number:02}"}})
            seen = [json.loads(await response.content.readline()) for _ in range(50)]
        assert await response.content.read() == b""
    assert [event["object"]["metadata"]["name"] for event in seen] == [f"c{n:02}" for n in range(50)]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert versions == sorted(versions)


async def test_an_object_enters_and_leaves_a_watchs_selection(admin: Session) -> None:
    async with watching(admin, f"{MAPS}?watch=1&labelSelector=on%3Dy") as events:
        await post(admin, MAPS, {"metadata": {"name": "a", "labels": {"on": "y"}}})
        headers = {"Content-Type": "application/merge-patch+json"}
        off = json.dumps({"metadata": {"labels": {"on": "n"}}})
        async with admin.patch(f"{MAPS}/a", data=off, headers=headers) as response:
            left = await response.json()
        assert (await anext(events))["type"] == "ADDED"
        gone = await anext(events)
    assert gone["type"] == "DELETED"
    assert gone["object"]["metadata"]["labels"] == {"on": "y"}
    assert gone["object"]["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]


async def test_a_watch_from_a_forgotten_version_is_told_so(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text('t,admin,1,"system:masters"\n')
    async with Session(
        connector=aiohttp.TCPConnector(ssl=False), headers={"Authorization": "Bearer t"}
    ) as session:
        for attempt in range(2):
            async with api_server(tmp_path, token_auth_file=tokens) as server:
                if attempt == 0:
                    await post(session, f"{server.url}{MAPS}", {"metadata": {"name": "a"}})
                    continue
                async with watching(session, f"{server.url}{MAPS}?watch=1&resourceVersion=1") as events:
                    event = await anext(events)
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 410


async def test_concurrent_updates_of_one_version_leave_one_winner(server: ApiServer) -> None:
    async with Client(Config.from_kubeconfig(server.kubeconfig)) as client:
        maps = Api(client, ConfigMap, namespace="default")
        created = await maps.create(ConfigMap(metadata=ObjectMeta(name="a")))

        async def write() -> bool:
            try:
                await maps.replace(created)
            except ConflictError:
                return False
            return True

        created.data = {"changed": "yes"}
        assert sum(await asyncio.gather(*(write() for _ in range(20)))) == 1


async def test_a_deleted_namespace_takes_its_content_along_and_waits_for_finalizers(admin: Session) -> None:
    await post(admin, "/api/v1/namespaces", {"metadata": {"name": "going"}})
    held = {"metadata": {"name": "held", "finalizers": ["x.test/hold"]}}
    await post(admin, "/api/v1/namespaces/going/configmaps", held)
    await post(admin, "/api/v1/namespaces/going/secrets", {"metadata": {"name": "s"}})
    fields = "fieldSelector=metadata.name%3Dgoing"
    async with watching(admin, f"/api/v1/namespaces?watch=1&{fields}&timeoutSeconds=20") as events:
        assert (await anext(events))["type"] == "ADDED"
        async with admin.delete("/api/v1/namespaces/going") as response:
            assert (await response.json())["status"]["phase"] == "Terminating"
        answer = await post(admin, "/api/v1/namespaces/going/secrets", {"metadata": {"name": "t"}}, 403)
        assert answer["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        headers = {"Content-Type": "application/merge-patch+json"}
        path = "/api/v1/namespaces/going/configmaps/held"
        async with admin.patch(path, data=b'{"metadata":{"finalizers":null}}', headers=headers) as response:
            assert response.status == 200
        async for event in events:
            if event["type"] == "DELETED":
                break
    await get(admin, "/api/v1/namespaces/going", 404)


async def test_a_node_may_do_what_a_kubelet_needs_and_no_more(server: ApiServer) -> None:
    kubeconfig = await asyncio.to_thread(server.kubeconfig_for, "system:node:n", ["system:nodes"])
    async with Client(Config.from_kubeconfig(kubeconfig)) as client:
        await Api(client, Node).create(Node(metadata=ObjectMeta(name="n")))
        assert [one async for one in Api(client, Pod).list(field_selector="spec.nodeName=n")] == []
        with pytest.raises(ForbiddenError):
            assert [one async for one in Api(client, Pod).list()] == []
        with pytest.raises(ForbiddenError):
            await Api(client, Namespace).delete("default")


async def test_the_anonymous_see_health_and_nothing_else(server: ApiServer) -> None:
    async with Session(server.url, connector=aiohttp.TCPConnector(ssl=False)) as nobody:
        for path in ("/healthz", "/livez", "/readyz", "/version"):
            async with nobody.get(path) as response:
                assert response.status == 200, path
        for path in ("/api", "/metrics", MAPS):
            assert (await get(nobody, path, 403))["reason"] == "Forbidden"


async def test_a_certificate_of_another_authority_is_not_accepted(server: ApiServer, tmp_path: Path) -> None:
    async with api_server(tmp_path / "other") as other:
        stranger = Config.from_kubeconfig(other.kubeconfig)
        async with Client(stranger) as client:
            await Api(client, Namespace).get("default")
    pki = other.settings.data_dir / "pki"
    context = ssl.create_default_context(cafile=server.settings.data_dir / "pki/ca.crt")
    name = "kube-apiserver-kubelet-client"
    context.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
    async with Session(server.url, connector=aiohttp.TCPConnector(ssl=context)) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("/healthz")


async def test_a_service_account_token_stands_for_its_account(admin: Session, server: ApiServer) -> None:
    await post(admin, "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "bot"}})
    issued = await post(admin, "/api/v1/namespaces/default/serviceaccounts/bot/token", {"spec": {}})
    headers = {"Authorization": f"Bearer {issued['status']['token']}"}
    async with Session(server.url, headers=headers, connector=aiohttp.TCPConnector(ssl=False)) as bot:
        review = await post(bot, "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
        assert review["status"]["userInfo"]["username"] == "system:serviceaccount:default:bot"
        await get(bot, MAPS, 403)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{" * 100_000, 400),
        (b'{"metadata":{"name":"\xff"}}', 400),
        (b"[]", 400),
        (b"null", 400),
        (b'{"metadata":[]}', 400),
        (b'{"metadata":{"name":5}}', 400),
        (b'{"metadata":{"name":"a"},"data":{"k":{"deep":1}}}', 400),
        (b'{"metadata":{"name":"a","uid":1e400}}', 400),
        (b'{"metadata":{"name":"' + b"a" * 300 + b'"}}', 422),
        (b'{"metadata":{"name":"a"},"data":{"k":"' + b"x" * 4_000_000 + b'"}}', 413),
    ],
    ids=["deep", "utf-8", "list", "null", "no-metadata", "number", "nested", "huge", "long", "large"],
)
async def test_hostile_bodies_are_refused(admin: Session, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    async with admin.post(MAPS, data=io.BytesIO(body), headers=headers) as response:
        answer = await response.json()
        assert response.status == status
        assert answer["kind"] == "Status"
        assert answer["code"] == status


@pytest.fixture
async def kubelet(admin: Session, server: ApiServer) -> AsyncIterator[list[str]]:
    """A node whose kubelet serves a log of two lines; yields what it was asked for."""
    asked: list[str] = []

    async def container_logs(request: web.Request) -> web.StreamResponse:
        asked.append(request.path_qs)
        response = web.StreamResponse()
        await response.prepare(request)
        for line in (b"one\n", b"two\n"):
            await response.write(line)
        return response

    application = web.Application()
    application.router.add_get("/containerLogs/{path:.*}", container_logs)
    pki = server.settings.data_dir / "pki"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    async with http.listen(application, ssl_context=context) as running:
        endpoint = {"kubeletEndpoint": {"Port": running.port}}
        address = {"type": "InternalIP", "address": "127.0.0.1"}
        status = {"addresses": [address], "daemonEndpoints": endpoint}
        await post(admin, "/api/v1/nodes", {"metadata": {"name": "n"}, "status": status})
        yield asked


async def test_a_log_comes_from_the_kubelet_of_the_pods_node(admin: Session, kubelet: list[str]) -> None:
    await post(admin, PODS, pod("a", nodeName="n"))
    async with admin.get(f"{PODS}/a/log?follow=true&tailLines=5&evil=1") as response:
        assert await response.text() == "one\ntwo\n"
    assert kubelet == ["/containerLogs/default/a/main?follow=true&tailLines=5"]


async def test_logs_that_cannot_be_had_are_explained(admin: Session, kubelet: list[str]) -> None:
    two = {"containers": [{"name": "x", "image": "i"}, {"name": "y", "image": "i"}]}
    await post(admin, PODS, {"metadata": {"name": "two"}, "spec": {**two, "nodeName": "n"}})
    assert "choose one of: [x y]" in (await get(admin, f"{PODS}/two/log", 400))["message"]
    assert "not valid for pod two" in (await get(admin, f"{PODS}/two/log?container=z", 400))["message"]
    waiting = [{"name": "x", "image": "i", "imageID": "", "ready": False, "restartCount": 0}]
    waiting[0]["state"] = {"waiting": {"reason": "ContainerCreating"}}
    patch = json.dumps({"status": {"containerStatuses": waiting}})
    headers = {"Content-Type": "application/merge-patch+json"}
    async with admin.patch(f"{PODS}/two/status", data=patch, headers=headers) as response:
        assert response.status == 200
    answer = await get(admin, f"{PODS}/two/log?container=x", 400)
    assert answer["message"] == 'container "x" in pod "two" is waiting to start: ContainerCreating'
    assert kubelet == []
