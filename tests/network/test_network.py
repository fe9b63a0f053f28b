"""The network beside a real API server: Services, Ingresses and names as a user makes them."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import dns.asyncquery
import dns.message
import pytest
from aiohttp import web

from proa.app import http
from proa.controlplane import ApiServer, Network
from proa.controlplane.controllers import ControllerManager
from proa.controlplane.network._certificates import _self_signed
from proa.controlplane.testing import api_server, eventually
from proa.kube import Api, Client, Config, Strategic
from proa.kube.models import now
from proa.kube.models.core_v1 import (
    Container,
    ContainerPort,
    Pod,
    PodSpec,
    Secret,
    Service,
    ServicePort,
    ServiceSpec,
)
from proa.kube.models.discovery_v1 import EndpointSlice
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.models.networking_v1 import (
    HTTPIngressPath,
    HTTPIngressRuleValue,
    Ingress,
    IngressBackend,
    IngressRule,
    IngressServiceBackend,
    IngressSpec,
    IngressTLS,
    ServiceBackendPort,
)

Answer = tuple[int, str]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    async with api_server(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[Client]:
    async with Client(Config.from_kubeconfig(server.kubeconfig)) as client, ControllerManager(client):
        yield client


@pytest.fixture
async def network(server: ApiServer, client: Client) -> AsyncIterator[Network]:
    """The network, with no more rights than its role gives it."""
    own = server.kubeconfig_for("proa:network")
    async with Client(Config.from_kubeconfig(own)) as own_client, Network(own_client) as network:
        yield network


def application(name: str) -> web.Application:
    async def tell(request: web.Request) -> web.Response:
        body = await request.read()
        seen = {"by": name, "path": request.path_qs, "host": request.host, "length": len(body)}
        return web.json_response(seen | {"from": request.headers.get("X-Forwarded-Proto")})

    async def chat(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{name}: {message.data}")
        return socket

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/chat", chat)
    app.router.add_get("/broken", broken)
    app.router.add_route("*", "/{path:.*}", tell)
    return app


async def add_pod(client: Client, name: str, address: str, port: int) -> None:
    """Make a pod of the app `web` whose container is said to listen there."""
    pods = Api(client, Pod, namespace="default")
    container = Container(name="main", image="web:1", ports=[ContainerPort(name="http", container_port=port)])
    await pods.create(
        Pod(metadata=ObjectMeta(name=name, labels={"app": "web"}), spec=PodSpec(containers=[container]))
    )
    await set_ready(client, name, address, ready=True)


async def set_ready(client: Client, name: str, address: str, *, ready: bool) -> None:
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": now()}
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [condition]}
    await Api(client, Pod, namespace="default").patch_status(name, Strategic({"status": status}))


async def add_service(client: Client) -> Service:
    ports = [ServicePort(name="http", port=8080, target_port="http")]
    spec = ServiceSpec(selector={"app": "web"}, ports=ports)
    return await Api(client, Service, namespace="default").create(
        Service(metadata=ObjectMeta(name="web"), spec=spec)
    )


def asker(network: Network, host: str, scheme: str = "http") -> Callable[[str], Awaitable[Answer]]:
    """Return what fetches a path from the Ingress server as a browser would that asks for `host`."""

    async def ask(path: str) -> Answer:
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"{scheme}://127.0.0.1:{network.ingress.port}{path}", headers={"Host": host}, ssl=False
            ) as answer,
        ):
            return answer.status, await answer.text()

    return ask


async def test_a_service_s_pods_are_reached_by_address_by_name_and_in_a_browser(
    client: Client, network: Network
) -> None:
    async with http.listen(application("one"), host="127.66.78.1") as one:
        await add_pod(client, "one", one.host, one.port)
        service = await add_service(client)
        ask = asker(network, f"web.default.localhost:{network.ingress.port}")
        _, text = await eventually(lambda: ask("/a?b=c"), lambda seen: seen[0] == 200)
        seen = json.loads(text)
        assert (seen["by"], seen["path"], seen["from"]) == ("one", "/a?b=c", "http")
        assert seen["host"] == f"web.default.localhost:{network.ingress.port}"

        async def direct() -> int:
            try:
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"http://{service.spec.cluster_ip}:8080/") as answer,
                ):
                    return answer.status
            except aiohttp.ClientConnectorError:
                return 0

        await eventually(direct, lambda seen: seen == 200)
        query = dns.message.make_query("web.default.svc.cluster.local", "A")
        named = await dns.asyncquery.udp(query, network.dns.host, timeout=5, port=network.dns.port)
        assert str(named.answer[0][0]) == service.spec.cluster_ip


async def test_a_pod_that_is_not_ready_gets_no_requests(client: Client, network: Network) -> None:
    async with (
        http.listen(application("one"), host="127.66.78.2") as one,
        http.listen(application("two"), host="127.66.78.3", port=one.port) as two,
    ):
        await add_pod(client, "one", one.host, one.port)
        await add_pod(client, "two", two.host, two.port)
        await add_service(client)
        ask = asker(network, "web.default.localhost")

        async def who() -> set[str]:
            answers = [await ask("/") for _ in range(4)]
            return {json.loads(text)["by"] if status == 200 else str(status) for status, text in answers}

        await eventually(who, lambda seen: seen == {"one", "two"})
        await set_ready(client, "one", one.host, ready=False)
        await eventually(who, lambda seen: seen == {"two"})
        await Api(client, Pod, namespace="default").delete("two", grace_period=0)
        await eventually(who, lambda seen: seen == {"503"})


def ingress(secret: str | None = None) -> Ingress:
    backend = IngressBackend(service=IngressServiceBackend(name="web", port=ServiceBackendPort(name="http")))
    path = HTTPIngressPath(path="/shop", path_type="Prefix", backend=backend)
    rule = IngressRule(host="shop.test", http=HTTPIngressRuleValue(paths=[path]))
    tls = [IngressTLS(hosts=["shop.test"], secret_name=secret)] if secret else []
    return Ingress(metadata=ObjectMeta(name="shop"), spec=IngressSpec(rules=[rule], tls=tls))


async def test_an_ingress_is_served_over_http_and_https_on_one_port_by_its_certificate(
    client: Client, network: Network
) -> None:
    certificate, key = _self_signed()
    secret = Secret(
        metadata=ObjectMeta(name="shop-tls"),
        type="kubernetes.io/tls",
        string_data={"tls.crt": certificate.decode(), "tls.key": key.decode()},
    )
    await Api(client, Secret, namespace="default").create(secret)
    async with http.listen(application("one"), host="127.66.78.4") as one:
        await add_pod(client, "one", one.host, one.port)
        await add_service(client)
        ingresses = Api(client, Ingress, namespace="default")
        await ingresses.create(ingress("shop-tls"))
        plain, secure = asker(network, "shop.test"), asker(network, "shop.test", "https")
        await eventually(lambda: plain("/shop/cart"), lambda seen: seen[0] == 200)
        status, text = await secure("/shop/cart")
        assert (status, json.loads(text)["from"]) == (200, "https")
        assert (await plain("/other"))[0] == 404
        assert (await asker(network, "else.test")("/shop"))[0] == 404
        told = await eventually(
            lambda: ingresses.get("shop"), lambda seen: bool(seen.status.load_balancer.ingress)
        )
        assert told.status.load_balancer.ingress[0].ip == "127.0.0.1"

        async def shown() -> bool:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            _, writer = await asyncio.open_connection(
                "127.0.0.1", network.ingress.port, ssl=context, server_hostname="shop.test"
            )
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
            await writer.wait_closed()
            return ssl.DER_cert_to_PEM_cert(found) == certificate.decode()

        await eventually(shown, bool)


async def test_bodies_and_websockets_pass_and_what_breaks_off_is_not_taken_for_whole(
    client: Client, network: Network
) -> None:
    async with http.listen(application("one"), host="127.66.78.5") as one:
        await add_pod(client, "one", one.host, one.port)
        await add_service(client)
        ask = asker(network, "web.default.localhost")
        await eventually(lambda: ask("/"), lambda seen: seen[0] == 200)
        url, headers = f"http://127.0.0.1:{network.ingress.port}", {"Host": "web.default.localhost"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(f"{url}/upload", data=io.BytesIO(bytes(3 << 20))) as answer:
                assert (await answer.json())["length"] == 3 << 20
            async with session.ws_connect(f"{url}/chat") as socket:
                await socket.send_str("hello")
                assert await socket.receive_str() == "one: hello"
            with pytest.raises(aiohttp.ClientPayloadError):
                async with session.get(f"{url}/broken") as answer:
                    await answer.read()


async def test_somebody_s_own_endpoints_are_mirrored_and_a_large_service_has_several_slices(
    client: Client,
) -> None:
    slices = Api(client, EndpointSlice, namespace="default")

    async def mirrored() -> list[EndpointSlice]:
        return [one async for one in slices.list(label_selector="kubernetes.io/service-name=kubernetes")]

    (found,) = await eventually(mirrored, lambda seen: len(seen) == 1)
    assert found.endpoints[0].addresses == ["127.0.0.1"]


def test_asking_for_the_network_loads_no_server() -> None:
    loaded = "import proa.controlplane, sys; print('aiohttp' in sys.modules, 'dns' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True, text=True)
    assert output.stdout.split() == ["False", "False"]
