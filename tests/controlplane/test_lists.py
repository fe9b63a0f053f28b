"""Pages of lists: consistent while the past is known, and a way to go on once it is not."""

from typing import Any

import aiohttp
import pytest

from proa.controlplane import ApiServer

PATH = "/api/v1/namespaces/default/configmaps"
Json = dict[str, Any]


@pytest.fixture(autouse=True)
async def _five(admin: aiohttp.ClientSession) -> None:
    for name in "abcde":
        async with admin.post(PATH, json={"metadata": {"name": name, "labels": {"is": name}}}) as response:
            assert response.status == 201


async def page(admin: aiohttp.ClientSession, **query: str) -> tuple[int, Json]:
    async with admin.get(PATH, params=query) as response:
        return response.status, await response.json()


def names(found: Json) -> list[str]:
    return [one["metadata"]["name"] for one in found["items"]]


async def test_pages_show_the_moment_of_the_first(admin: aiohttp.ClientSession) -> None:
    _, first = await page(admin, limit="2")
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["a", "b"], 3)
    await (await admin.delete(f"{PATH}/c")).read()
    await (await admin.post(PATH, json={"metadata": {"name": "ca"}})).read()
    _, second = await page(admin, limit="2", **{"continue": first["metadata"]["continue"]})
    assert names(second) == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_token_that_is_too_old_is_answered_with_one_to_go_on_with(
    server: ApiServer, admin: aiohttp.ClientSession
) -> None:
    _, first = await page(admin, limit="2")
    await (await admin.delete(f"{PATH}/c")).read()
    await server.store.compact()
    code, refusal = await page(admin, limit="2", **{"continue": first["metadata"]["continue"]})
    assert (code, refusal["reason"]) == (410, "Expired")
    code, rest = await page(admin, limit="2", **{"continue": refusal["metadata"]["continue"]})
    assert (code, names(rest)) == (200, ["d", "e"])
    assert int(rest["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


async def test_a_past_that_is_forgotten_cannot_be_listed(
    server: ApiServer, admin: aiohttp.ClientSession
) -> None:
    _, now = await page(admin)
    version = now["metadata"]["resourceVersion"]
    await (await admin.delete(f"{PATH}/c")).read()
    query = {"resourceVersion": version, "resourceVersionMatch": "Exact"}
    code, past = await page(admin, **query)
    assert (code, names(past)) == (200, list("abcde"))
    assert past["metadata"]["resourceVersion"] == version
    code, present = await page(admin, resourceVersion=version, resourceVersionMatch="NotOlderThan")
    assert (code, names(present)) == (200, list("abde"))
    await server.store.compact()
    code, refusal = await page(admin, **query)
    assert (code, refusal["reason"], refusal["metadata"]) == (410, "Expired", {})


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"resourceVersion": "0"}, 200),
        ({"resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"}, 200),
        ({"resourceVersion": "0", "resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersion": "1", "resourceVersionMatch": "Roughly"}, 422),
        ({"resourceVersion": "99999999"}, 504),
        ({"resourceVersion": "99999999", "resourceVersionMatch": "NotOlderThan"}, 504),
        ({"resourceVersion": "99999999", "resourceVersionMatch": "Exact"}, 504),
        ({"limit": "-1"}, 200),
        ({"continue": "nonsense"}, 400),
        ({"labelSelector": "is in (a,b),is!=b", "limit": "1"}, 200),
    ],
)
async def test_every_form_of_asking_for_a_version(
    admin: aiohttp.ClientSession, query: dict[str, str], code: int
) -> None:
    assert (await page(admin, **query))[0] == code
