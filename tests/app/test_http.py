import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from proa.app import Health, Metrics, http
from proa.app.testing import capture_logs


def site(health: Health | None = None, metrics: Metrics | None = None) -> web.Application:
    application = web.Application()
    http.add_operations(application, health or Health(), metrics or Metrics())
    return application


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def get(client: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with client.get(url) as response:
        return response.status, await response.text()


async def test_the_bound_address_is_known_and_reachable(client: aiohttp.ClientSession) -> None:
    async with http.listen(site(), name="registry") as server:
        assert (server.name, server.host, server.scheme) == ("registry", "127.0.0.1", "http")
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert await get(client, server.url + "/livez") == (200, "ok")


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80")],
)
def test_a_url_is_one_that_a_client_on_this_machine_can_use(host: str, url: str) -> None:
    assert http.Server("x", host, 80, "http").url == url


async def test_a_name_listens_on_the_ipv4_address(client: aiohttp.ClientSession) -> None:
    async with http.listen(site(), host="localhost") as server:
        assert server.host == "127.0.0.1"


async def test_a_port_in_use_is_named_with_what_to_do() -> None:
    async with http.listen(site(), name="first") as first:
        with pytest.raises(http.PortInUseError) as caught:
            async with http.listen(site(), port=first.port, name="registry"):
                pytest.fail("two servers on one port")
    assert str(caught.value).startswith(
        f"registry: cannot listen on 127.0.0.1 port {first.port}: another program"
    )
    assert "choose another port" in str(caught.value)
    assert caught.value.exit_code == 1


async def test_a_port_is_free_again_at_once(client: aiohttp.ClientSession) -> None:
    async with http.listen(site()) as server:
        await get(client, server.url + "/livez")
    async with http.listen(site(), port=server.port) as again:
        assert again.port == server.port


@pytest.mark.parametrize(
    ("host", "port", "complaint"),
    [
        ("host.invalid", 0, "no such host or address"),
        ("256.1.1.1.1", 0, "no such host or address"),
        ("a" * 300, 0, "no such host or address"),
        ("192.0.2.1", 0, "this machine has no such address"),
        ("127.0.0.1", 65536, "65536 is not a port"),
        ("127.0.0.1", -1, "-1 is not a port"),
    ],
)
async def test_an_address_that_cannot_be_had_is_explained(host: str, port: int, complaint: str) -> None:
    with pytest.raises(http.AddressError, match=complaint):
        async with http.listen(site(), host=host, port=port):
            pytest.fail("listens where it cannot")


async def test_a_failing_start_of_the_application_frees_the_port() -> None:
    application = web.Application()

    async def fail(_: web.Application) -> None:
        raise RuntimeError("no database")

    application.on_startup.append(fail)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(RuntimeError, match="no database"):
        async with http.listen(application, port=port):
            pytest.fail("started")
    async with http.listen(site(), port=port):
        pass


async def test_on_exit_requests_under_way_are_finished(client: aiohttp.ClientSession) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def handle(_: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response(text="finished")

    async def release(_: web.Application) -> None:
        go_on.set()

    application = web.Application()
    application.router.add_get("/", handle)
    application.on_shutdown.append(release)
    async with http.listen(application) as server:
        request = asyncio.create_task(get(client, server.url))
        await arrived.wait()
    assert await request == (200, "finished")


async def test_on_exit_a_body_that_still_arrives_is_received_whole(client: aiohttp.ClientSession) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        first = await request.content.readany()
        arrived.set()
        return web.Response(body=first + await request.content.read())

    async def body() -> AsyncIterator[bytes]:
        yield b"before"
        await go_on.wait()
        await asyncio.sleep(0.05)  # so that the server is shutting down already
        yield b" and after"

    async def upload(url: str) -> bytes:
        async with client.post(url, data=body()) as response:
            return await response.read()

    application = web.Application()
    application.router.add_post("/", handle)
    async with http.listen(application) as server:
        uploading = asyncio.create_task(upload(server.url))
        await arrived.wait()
        go_on.set()
    assert await uploading == b"before and after"


async def test_on_exit_requests_that_take_too_long_are_cut_off(client: aiohttp.ClientSession) -> None:
    arrived = asyncio.Event()
    ended = asyncio.Event()

    async def handle(_: web.Request) -> web.Response:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    application = web.Application()
    application.router.add_get("/", handle)
    async with http.listen(application, shutdown_timeout=0.05) as server:
        request = asyncio.create_task(get(client, server.url))
        await arrived.wait()
    assert ended.is_set()
    with pytest.raises(aiohttp.ClientError):
        await request


async def test_an_idle_connection_does_not_delay_the_exit(client: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(3), http.listen(site(), shutdown_timeout=60) as server:
        await get(client, server.url + "/livez")
        _, writer = await asyncio.open_connection(server.host, server.port)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_plain_handler_is_cancelled_when_its_client_goes() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    async with asyncio.timeout(10), http.listen(handle) as server:
        _, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await started.wait()
        writer.close()
        await ended.wait()
        await writer.wait_closed()


async def test_a_plain_handler_has_its_own_limit_and_is_told_of_the_end(
    client: aiohttp.ClientSession,
) -> None:
    told: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=await request.read())

    async with http.listen(handle, max_body=10, on_shutdown=lambda: told.append("end")) as server:
        async with client.post(server.url, data=b"x" * 10) as response:
            assert await response.read() == b"x" * 10
        async with client.post(server.url, data=b"x" * 11) as response:
            assert response.status == 413
        assert not told
    assert told == ["end"]


async def test_readyz_lists_checks_as_kubernetes_does(client: aiohttp.ClientSession) -> None:
    health = Health()
    health.add_readiness("storage", lambda: True)
    async with http.listen(site(health)) as server:
        assert await get(client, server.url + "/readyz") == (200, "ok")
        verbose = "[+]ping ok\n[+]storage ok\nreadyz check passed\n"
        assert await get(client, server.url + "/readyz?verbose") == (200, verbose)
        health.add_readiness("storage", lambda: False)
        failed = "[+]ping ok\n[-]storage failed: reason withheld\nreadyz check failed\n"
        assert await get(client, server.url + "/readyz") == (500, failed)
        assert (await get(client, server.url + "/healthz"))[0] == 500
        assert await get(client, server.url + "/livez") == (200, "ok")


async def test_a_check_may_fail_in_any_way_and_cannot_hang() -> None:
    health = Health(timeout=0.01)

    def broken() -> bool:
        raise OSError("disk gone")

    health.add_readiness("broken", broken)
    health.add_readiness("hanging", asyncio.Event().wait)
    with capture_logs() as events:
        report = await health.ready()
        await health.ready()
    assert [(result.name, result.ok, result.reason) for result in report.results] == [
        ("ping", True, ""),
        ("broken", False, "OSError: disk gone"),
        ("hanging", False, "no answer within 0.01 s"),
    ]
    assert "disk gone" not in report.text()
    assert [event["check"] for event in events] == ["broken", "hanging"], (
        "logged when it changes, not each time"
    )


async def test_a_check_that_recovers_is_logged_and_one_removed_is_gone() -> None:
    health = Health()
    health.add_liveness("loop", lambda: False)
    with capture_logs() as events:
        assert not (await health.ready()).ok
        health.add_liveness("loop", lambda: None)
        assert (await health.live()).ok
    assert [event["event"] for event in events] == ["health check fails", "health check passes again"]
    health.remove("loop")
    health.remove("never there")
    assert [result.name for result in (await health.live()).results] == ["ping"]


async def test_metrics_are_served_as_prometheus_text(client: aiohttp.ClientSession) -> None:
    metrics = Metrics()
    metrics.counter("proa_pulls_total", "Pulls.", ["result"]).labels("ok").inc(2)
    metrics.gauge("proa_pods", "Pods.").set(3)
    metrics.histogram("proa_pull_seconds", "Duration of pulls.").observe(0.2)
    async with http.listen(site(metrics=metrics)) as server, client.get(server.url + "/metrics") as response:
        text = await response.text()
        assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert 'proa_pulls_total{result="ok"} 2.0' in text
    assert "proa_pods 3.0" in text
    assert 'proa_pull_seconds_bucket{le="0.25"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_two_registries_in_one_process_do_not_collide() -> None:
    for _ in range(2):
        metrics = Metrics()
        metrics.gauge("proa_pods", "Pods.")
        with pytest.raises(ValueError, match="Duplicated"):
            metrics.gauge("proa_pods", "Pods.")
