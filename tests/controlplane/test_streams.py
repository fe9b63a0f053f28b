"""Streams pass between client and kubelet, for those who may connect."""

import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proa.app import http
from proa.controlplane import ApiServer

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
POLICIES = "/apis/admissionregistration.k8s.io/v1"


async def post(session: aiohttp.ClientSession, path: str, body: Json) -> None:
    async with session.post(path, json=body) as response:
        assert response.status == 201, await response.text()


@pytest.fixture
async def asked(server: ApiServer, admin: aiohttp.ClientSession) -> AsyncIterator[list[str]]:
    """What a kubelet, which says everything back, was asked for; pod `a` runs on its node."""
    found: list[str] = []

    async def echo(request: web.Request) -> web.WebSocketResponse:
        found.append(request.path_qs)
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        return socket

    application = web.Application()
    application.router.add_get("/{path:.*}", echo)
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
        spec = {
            "nodeName": "n",
            "containers": [{"name": "main", "image": "i", "ports": [{"containerPort": 80}]}],
        }
        await post(admin, PODS, {"metadata": {"name": "a"}, "spec": spec})
        state = {"name": "main", "image": "i", "imageID": "", "ready": True, "restartCount": 0}
        status = {"containerStatuses": [{**state, "state": {"running": {}}}]}
        headers = {"Content-Type": "application/merge-patch+json"}
        async with admin.patch(f"{PODS}/a/status", json={"status": status}, headers=headers) as response:
            assert response.status == 200
        yield found


@pytest.mark.parametrize(
    ("path", "protocol", "at_kubelet"),
    [
        (
            "exec?command=ls&command=-l&stdout=true",
            "v5.channel.k8s.io",
            "/exec/default/a/main?command=ls&command=-l&stdout=true",
        ),
        ("attach?stdin=true", "v5.channel.k8s.io", "/attach/default/a/main?stdin=true"),
        ("portforward?ports=80", "SPDY/3.1+portforward.k8s.io", "/portForward/default/a?ports=80"),
    ],
)
async def test_messages_pass_both_ways(
    admin: aiohttp.ClientSession, asked: list[str], path: str, protocol: str, at_kubelet: str
) -> None:
    async with admin.ws_connect(f"{PODS}/a/{path}", protocols=[protocol]) as socket:
        assert socket.protocol == protocol
        await socket.send_bytes(b"\x00hello")
        assert await socket.receive_bytes(timeout=20) == b"\x00hello"
    assert asked == [at_kubelet]


async def test_without_a_websocket_it_is_said_what_is_needed(
    admin: aiohttp.ClientSession, asked: list[str]
) -> None:
    async with admin.post(f"{PODS}/a/exec?command=ls") as response:
        assert response.status == 400
        assert "WebSocket" in (await response.json())["message"]
    assert asked == []


async def test_policies_refuse_connections(admin: aiohttp.ClientSession, asked: list[str]) -> None:
    resources = ["pods/exec", "pods/attach", "pods/portforward", "pods/proxy"]
    rule = {"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"], "resources": resources}
    refusal = (
        "(has(object.command) ? object.command[0] : '') == 'ls' ? true : false",
        "request.kind.kind + ' ' + request.subResource + ' of ' + request.name",
    )
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": refusal[0], "messageExpression": refusal[1], "reason": "Forbidden"}],
    }
    await post(admin, f"{POLICIES}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
    binding = {"policyName": "p", "validationActions": ["Deny"]}
    await post(
        admin, f"{POLICIES}/validatingadmissionpolicybindings", {"metadata": {"name": "p"}, "spec": binding}
    )
    for path, kind in (
        ("exec?command=sh", "PodExecOptions exec"),
        ("attach", "PodAttachOptions attach"),
        ("portforward?ports=80", "PodPortForwardOptions portforward"),
        ("proxy/x", "PodProxyOptions proxy"),
    ):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"} if "proxy" not in path else {}
        patch = {"status": {"podIP": "127.66.1.1"}}
        merge = {"Content-Type": "application/merge-patch+json"}
        async with admin.patch(f"{PODS}/a/status", json=patch, headers=merge) as response:
            assert response.status == 200
        async with admin.get(f"{PODS}/a/{path}", headers=headers) as response:
            answer = await response.json()
            assert (response.status, answer["reason"]) == (403, "Forbidden"), answer
            assert answer["message"].endswith(f"{kind} of a")
    async with admin.ws_connect(f"{PODS}/a/exec?command=ls", protocols=["v5.channel.k8s.io"]):
        pass
    assert len(asked) == 1
