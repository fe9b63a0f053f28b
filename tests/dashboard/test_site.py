"""The page over HTTP: who is let in, what they see, and what browsers are told to refuse."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from proa.dashboard import Dashboard
from proa.dashboard._view import MOST_EVENTS, View
from proa.kube import Api, Client
from proa.kube.models.core_v1 import Container, Namespace, Pod, PodSpec, ServiceAccount
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.models.rbac_v1 import RoleBinding, RoleRef, Subject


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """Something with cookies."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    jar = aiohttp.CookieJar(unsafe=True)
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with aiohttp.ClientSession(cookie_jar=jar, connector=connector) as session:
        yield session


async def enter(browser: aiohttp.ClientSession, page: Dashboard, **shown: str) -> aiohttp.ClientResponse:
    answer = await browser.post(f"{page.url}/session", json=shown)
    if answer.status == 200:
        browser.headers["Proa-Key"] = (await answer.json())["key"]
    return answer


def code_in(link: str) -> str:
    return link.partition("#login=")[2]


async def changes(stream: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str, Any]]:
    async for line in stream.content:
        for table, key, row in json.loads(line):
            yield table, key, row


async def until(stream: AsyncIterator[tuple[str, str, Any]], table: str, key: str) -> Any:
    async with asyncio.timeout(20):
        async for found, name, row in stream:
            if (found, name) == (table, key):
                return row
    raise AssertionError("the stream ended")


def pod(name: str, namespace: str = "default") -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=PodSpec(containers=[Container(name="main", image="x")]),
    )


async def test_without_a_session_there_is_the_page_and_nothing_of_the_cluster(
    page: Dashboard, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(page.url) as answer:
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    for path in ("stream", "logs?pod=x", "usage"):
        async with browser.get(f"{page.url}/{path}") as answer:
            assert answer.status == 401
            assert "Content-Security-Policy" in answer.headers


async def test_a_link_lets_in_once_by_a_cookie_that_scripts_and_other_sites_do_not_get(
    page: Dashboard, browser: aiohttp.ClientSession
) -> None:
    code = code_in(page.login_url())
    async with await enter(browser, page, code=code) as answer:
        assert answer.status == 200
        cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-proa=")
    assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/"))
    assert "Domain" not in cookie
    async with browser.get(f"{page.url}/usage") as answer:
        assert answer.status == 200
    async with browser.get(f"{page.url}/usage", headers={"Proa-Key": ""}) as answer:
        assert answer.status == 401  # the cookie alone: another port of this host may have got it
    async with await enter(browser, page, code=code) as answer:
        assert answer.status == 403
    async with browser.delete(f"{page.url}/session", json={}) as answer:
        assert answer.status == 204
    async with browser.get(f"{page.url}/usage") as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Origin": "https://evil.example", "Content-Type": "application/json"}, "{}", 403),
        ({"Origin": "null", "Content-Type": "application/json"}, "{}", 403),
        ({"Content-Type": "text/plain"}, "{}", 415),
        ({"Content-Type": "application/json"}, "nonsense", 400),
        ({"Content-Type": "application/json"}, '{"other": 1}', 400),
        ({"Content-Type": "application/json"}, '{"token": "wrong"}', 403),
        ({"Content-Type": "application/json"}, '{"token": "' + "x" * 20_000 + '"}', 413),
    ],
)
async def test_a_login_that_is_not_one_is_refused(
    page: Dashboard, browser: aiohttp.ClientSession, headers: dict[str, str], body: str, status: int
) -> None:
    async with browser.post(f"{page.url}/session", headers=headers, data=body) as answer:
        assert answer.status == status
        assert "Set-Cookie" not in answer.headers


async def test_the_stream_tells_what_there_is_and_then_what_changes(
    page: Dashboard, browser: aiohttp.ClientSession, client: Client
) -> None:
    pods = Api(client, Pod, namespace="default")
    await pods.create(pod("first"))
    (await enter(browser, page, code=code_in(page.login_url()))).release()
    async with browser.get(f"{page.url}/stream") as answer:
        assert answer.content_type == "application/x-ndjson"
        stream = changes(answer)
        assert (await until(stream, "cluster", ""))["user"] == "you"
        assert (await until(stream, "pods", "Pod/default/first"))["state"] == "Pending"
        await pods.create(pod("second"))
        assert (await until(stream, "pods", "Pod/default/second"))["name"] == "second"
        await pods.delete("first", grace_period=0)
        assert await until(stream, "pods", "Pod/default/first") is None


async def test_of_many_events_the_newest_are_kept(client: Client) -> None:
    view = View(client.config, "ada")
    for number in range(3 * MOST_EVENTS):
        view._put(("events", f"Event/default/{number}"), {"at": float(number)})
    async with view.stream() as stream:
        told = [key for table, key, _ in await stream.next() if table == "events"]
    assert MOST_EVENTS <= len(told) <= 1.2 * MOST_EVENTS
    assert f"Event/default/{3 * MOST_EVENTS - 1}" in told


async def test_whoever_comes_with_a_token_sees_what_the_token_may_see(
    page: Dashboard, browser: aiohttp.ClientSession, client: Client
) -> None:
    await Api(client, Namespace).create(Namespace(metadata=ObjectMeta(name="team")))
    account = ServiceAccount(metadata=ObjectMeta(name="ada", namespace="team"))
    accounts = Api(client, ServiceAccount, namespace="team")
    await accounts.create(account)
    binding = RoleBinding(
        metadata=ObjectMeta(name="ada", namespace="team"),
        role_ref=RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name="view"),
        subjects=[Subject(kind="ServiceAccount", name="ada", namespace="team")],
    )
    await Api(client, RoleBinding, namespace="team").create(binding)
    made = await client.request_raw(
        "POST",
        "/api/v1/namespaces/team/serviceaccounts/ada/token",
        body=b'{"spec": {"expirationSeconds": 600}}',
    )
    token = json.loads(made.body)["status"]["token"]
    await Api(client, Pod, namespace="default").create(pod("secret"))
    async with await enter(browser, page, token=token) as answer:
        assert answer.status == 200
    async with browser.get(f"{page.url}/stream") as answer:
        stream = changes(answer)
        assert (await until(stream, "cluster", ""))["user"] == "system:serviceaccount:team:ada"
        problem = await until(stream, "problems", "Pod")
        assert "forbidden" in problem["why"]
    async with browser.get(f"{page.url}/logs?namespace=default&pod=secret") as answer:
        assert answer.status == 502
        assert "forbidden" in await answer.text()
