"""`proxy` of pods, services and nodes: requests passed on, answers passed back, and where neither goes."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proa.app import http

POD_ADDRESS = "127.66.91.1"
NAMESPACE = "/api/v1/namespaces/default"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A workload that tells what it was asked."""

    async def tell(request: web.Request) -> web.Response:
        told = {
            "method": request.method,
            "path": request.raw_path,
            "body": await request.text(),
            "headers": dict(request.headers),
        }
        return web.json_response(told, status=int(request.query.get("status", "200")))

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", tell)
    async with http.listen(application, host=POD_ADDRESS, name="workload") as listening:
        yield listening.port


async def post(admin: aiohttp.ClientSession, path: str, document: dict[str, Any]) -> None:
    async with admin.post(path, json=document) as response:
        assert response.status == 201, await response.text()


async def run_pod(admin: aiohttp.ClientSession, port: int, address: str = POD_ADDRESS) -> None:
    container = {"name": "main", "image": "i", "ports": [{"containerPort": port}]}
    await post(admin, f"{NAMESPACE}/pods", {"metadata": {"name": "web"}, "spec": {"containers": [container]}})
    patch = {"status": {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"}}
    headers = {"Content-Type": "application/merge-patch+json"}
    async with admin.patch(f"{NAMESPACE}/pods/web/status", json=patch, headers=headers) as response:
        assert response.status == 200, await response.text()


async def test_a_request_reaches_a_pod_as_it_is_but_for_who_asked(
    admin: aiohttp.ClientSession, port: int
) -> None:
    await run_pod(admin, port)
    async with admin.post(f"{NAMESPACE}/pods/web/proxy/a%2Fb/c?d=e&status=418", data="hello") as response:
        told = await response.json()
    assert response.status == 418
    assert (told["method"], told["path"], told["body"]) == ("POST", "/a%2Fb/c?d=e&status=418", "hello")
    assert "Authorization" not in told["headers"]
    assert told["headers"]["X-Forwarded-Uri"] == f"{NAMESPACE}/pods/web/proxy/a%2Fb/c"
    async with admin.get(f"{NAMESPACE}/pods/http:web:{port}/proxy/") as response:
        assert (await response.json())["path"] == "/"
    async with admin.get(f"{NAMESPACE}/pods/web/proxy") as response:
        assert (await response.json())["path"] == "/"


async def test_a_service_is_reached_by_the_name_or_number_of_its_port(
    admin: aiohttp.ClientSession, port: int
) -> None:
    spec = {"ports": [{"name": "http", "port": 80, "targetPort": port}, {"name": "other", "port": 81}]}
    await post(admin, f"{NAMESPACE}/services", {"metadata": {"name": "web"}, "spec": spec})
    url = f"{NAMESPACE}/services/web:http/proxy/x"
    async with admin.get(url) as response:
        assert response.status == 503
    labels = {"kubernetes.io/service-name": "web"}
    endpoints = {
        "metadata": {"name": "web-1", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [POD_ADDRESS]},
            {"addresses": ["127.66.91.2"], "conditions": {"ready": False}},
        ],
        "ports": [{"name": "http", "port": port}],
    }
    await post(admin, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", endpoints)
    for name in ("web:http", "web:80", "http:web:http"):
        async with admin.get(f"{NAMESPACE}/services/{name}/proxy/x") as response:
            assert (await response.json())["path"] == "/x", name
    async with admin.get(f"{NAMESPACE}/services/web:none/proxy/x") as response:
        assert response.status == 400


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "::1"])
async def test_this_machine_itself_is_not_reached_by_way_of_a_status(
    admin: aiohttp.ClientSession, address: str
) -> None:
    await run_pod(admin, 6443, address)
    async with admin.get(f"{NAMESPACE}/pods/web/proxy/") as response:
        assert response.status == 400


async def test_what_is_not_there_is_said(admin: aiohttp.ClientSession, port: int) -> None:
    await run_pod(admin, port)
    for path, code in [
        (f"{NAMESPACE}/pods/none/proxy/", 404),
        (f"{NAMESPACE}/pods/web:1/proxy/", 503),
        (f"{NAMESPACE}/pods/web:x/proxy/", 400),
        (f"{NAMESPACE}/pods/ftp:web:1/proxy/", 400),
        ("/api/v1/nodes/none/proxy/healthz", 404),
    ]:
        async with admin.get(path) as response:
            assert (response.status, (await response.json())["kind"]) == (code, "Status"), path
