"""What a request's options may be, and what Kubernetes answers when they are not."""

from typing import Any

import aiohttp
import pytest

Json = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
}


@pytest.fixture(autouse=True)
async def _one(admin: aiohttp.ClientSession) -> None:
    async with admin.post(MAPS, json={"metadata": {"name": "a"}}) as response:
        assert response.status == 201


async def ask(
    admin: aiohttp.ClientSession,
    method: str,
    path: str,
    body: Any = None,
    media_type: str = "application/json",
) -> tuple[int, Json]:
    headers = {"Content-Type": media_type} if body is not None else {}
    async with admin.request(method, path, json=body, headers=headers) as response:
        return response.status, await response.json()


def fields(refusal: Json) -> list[str]:
    return [cause["field"] for cause in refusal["details"]["causes"]]


@pytest.mark.parametrize(
    ("query", "code", "wrong"),
    [
        ("limit=-1", 200, []),
        ("limit=%2B1", 200, []),
        ("limit=x", 400, []),
        ("limit=99999999999999999999", 400, []),
        ("sendInitialEvents=true", 422, ["sendInitialEvents"]),
        ("resourceVersionMatch=Foo", 422, ["resourceVersionMatch", "resourceVersionMatch"]),
        ("watch=false&limit=1&limit=x", 200, []),
        ("watch=True&timeoutSeconds=x", 400, []),
    ],
)
async def test_a_list_has_options(
    admin: aiohttp.ClientSession, query: str, code: int, wrong: list[str]
) -> None:
    status, answer = await ask(admin, "GET", f"{MAPS}?{query}")
    assert (status, fields(answer) if code == 422 else []) == (code, wrong)


async def test_a_page_is_continued_without_a_version(admin: aiohttp.ClientSession) -> None:
    await ask(admin, "POST", MAPS, {"metadata": {"name": "b"}})
    _, first = await ask(admin, "GET", f"{MAPS}?limit=1")
    token, version = first["metadata"]["continue"], first["metadata"]["resourceVersion"]
    assert (await ask(admin, "GET", f"{MAPS}?limit=1&continue={token}&resourceVersion=0"))[0] == 200
    code, refusal = await ask(admin, "GET", f"{MAPS}?limit=1&continue={token}&resourceVersion={version}")
    assert (code, refusal["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("said", ["watch=1", "watch=true", "watch=yes", "watch=", "watch"])
async def test_whatever_does_not_say_no_says_yes(admin: aiohttp.ClientSession, said: str) -> None:
    async with admin.get(f"{MAPS}?{said}&timeoutSeconds=-1&resourceVersion=0") as response:
        assert b'"ADDED"' in await response.read()


async def test_the_future_cannot_be_read(admin: aiohttp.ClientSession) -> None:
    code, refusal = await ask(admin, "GET", f"{MAPS}/a?resourceVersion=999999")
    assert (code, refusal["reason"]) == (504, "Timeout")
    assert (await ask(admin, "GET", f"{MAPS}/a?resourceVersion=1"))[0] == 200


async def test_an_update_names_its_object(admin: aiohttp.ClientSession) -> None:
    code, refusal = await ask(admin, "PUT", f"{MAPS}/a", {"metadata": {}})
    assert (code, refusal["reason"]) == (400, "BadRequest")
    patch = {"metadata": {"name": None}}
    assert (await ask(admin, "PATCH", f"{MAPS}/a", patch, PATCHES["merge"]))[0] == 400


async def test_what_is_not_there_is_created_by_an_update_or_an_apply_and_by_no_patch(
    admin: aiohttp.ClientSession,
) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}}
    assert (await ask(admin, "PATCH", f"{leases}/a", lease, PATCHES["merge"]))[0] == 404
    assert (await ask(admin, "PUT", f"{leases}/a", lease))[0] == 201
    other = {**lease, "metadata": {"name": "b"}}
    assert (await ask(admin, "PATCH", f"{leases}/b?fieldManager=m", other, "application/apply-patch+yaml"))[
        0
    ] == 201


@pytest.mark.parametrize(
    ("options", "code", "wrong"),
    [
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, 422, ["propagationPolicy"]),
        ({"propagationPolicy": "Some"}, 422, ["propagationPolicy"]),
        ({"dryRun": ["Some"]}, 422, ["dryRun"]),
        ({"kind": "Pod", "apiVersion": "v1"}, 400, []),
        ({"gracePeriodSeconds": "x"}, 400, []),
        ({"gracePeriodSeconds": -5}, 200, []),
        ({"orphanDependents": False}, 200, []),
    ],
)
async def test_a_deletion_has_options(
    admin: aiohttp.ClientSession, options: Json, code: int, wrong: list[str]
) -> None:
    status, answer = await ask(admin, "DELETE", f"{MAPS}/a", options)
    assert (status, fields(answer) if code == 422 else []) == (code, wrong)


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ({"op": "add"}, 400),
        (["add"], 400),
        ([{"op": "grow", "path": "/data"}], 422),
        ([{"op": "add", "path": "data"}], 422),
        ([{"op": "add", "path": "/data"}], 422),
        ([{"op": "test", "path": "/metadata/name", "value": "b"}], 422),
        ([{"op": "test", "path": "/metadata/name", "value": "a"}] * 10_001, 413),
    ],
)
async def test_a_json_patch_that_does_not_fit(admin: aiohttp.ClientSession, patch: Any, code: int) -> None:
    assert (await ask(admin, "PATCH", f"{MAPS}/a", patch, PATCHES["json"]))[0] == code


async def test_a_shorter_grace_counts_from_when_the_first_one_did(admin: aiohttp.ClientSession) -> None:
    pods = "/api/v1/namespaces/default/pods"
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    await ask(admin, "POST", pods, {"metadata": {"name": "p"}, "spec": spec})
    _, first = await ask(admin, "DELETE", f"{pods}/p?gracePeriodSeconds=3600")
    _, second = await ask(admin, "DELETE", f"{pods}/p?gracePeriodSeconds=60")
    ends = [each["metadata"]["deletionTimestamp"] for each in (first, second)]
    seconds = [int(end[14:16]) * 60 + int(end[17:19]) for end in ends]
    assert (seconds[0] - seconds[1]) % 3600 == 3540 % 3600
    _, third = await ask(admin, "DELETE", f"{pods}/p", {"gracePeriodSeconds": -1})
    assert third["metadata"]["deletionGracePeriodSeconds"] == 1


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/api/v1/namespaces/default/services", {"spec": {"ports": [{"port": 1}]}}, "Service"),
        ("/api/v1/namespaces/default/serviceaccounts", {}, "ServiceAccount"),
        ("/api/v1/namespaces/default/resourcequotas", {}, "ResourceQuota"),
        ("/apis/storage.k8s.io/v1/storageclasses", {"provisioner": "a.b/c"}, "StorageClass"),
        ("/api/v1/namespaces/default/secrets", {}, "Status"),
        ("/apis/apps/v1/namespaces/default/controllerrevisions", {"revision": 1, "data": {}}, "Status"),
    ],
)
async def test_what_was_deleted_is_shown_or_named(
    admin: aiohttp.ClientSession, path: str, body: Json, kind: str
) -> None:
    code, _ = await ask(admin, "POST", path, {"metadata": {"name": "z"}, **body})
    assert code == 201
    code, answer = await ask(admin, "DELETE", f"{path}/z")
    assert (code, answer["kind"]) == (200, kind)
    name = answer["details"]["name"] if kind == "Status" else answer["metadata"]["name"]
    assert name == "z"


@pytest.mark.parametrize(
    ("query", "code", "wrong"),
    [
        ("tailLines=-1&limitBytes=0", 422, ["tailLines", "limitBytes"]),
        ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, [""]),
        ("tailLines=x", 400, []),
        ("tailLines=0", 200, []),
    ],
)
async def test_a_log_has_options(
    admin: aiohttp.ClientSession, query: str, code: int, wrong: list[str]
) -> None:
    pods = "/api/v1/namespaces/default/pods"
    spec = {"containers": [{"name": "c", "image": "i"}]}
    await ask(admin, "POST", pods, {"metadata": {"name": "p"}, "spec": spec})
    async with admin.get(f"{pods}/p/log?{query}") as response:
        assert response.status == code
        if code == 422:
            assert fields(await response.json()) == wrong


@pytest.mark.parametrize("field", ["kind", "apiVersion"])
async def test_what_is_applied_says_what_it_is(admin: aiohttp.ClientSession, field: str) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    path = f"{MAPS}/a?fieldManager=m"
    assert (await ask(admin, "PATCH", path, config, "application/apply-patch+yaml"))[0] == 200
    del config[field]
    assert (await ask(admin, "PATCH", path, config, "application/apply-patch+yaml"))[0] == 400


async def test_what_is_said_twice_is_told_with_its_place(admin: aiohttp.ClientSession) -> None:
    body = (
        b'{"metadata": {"name": "b", "labels": {"x": "1", "x": "2"}}, "data": {"k": "v"}, "data": {"l": "w"}}'
    )
    headers = {"Content-Type": "application/json"}
    async with admin.post(f"{MAPS}?fieldValidation=Strict", data=body, headers=headers) as response:
        assert response.status == 400
        message = (await response.json())["message"]
        assert 'duplicate field "data", duplicate field "metadata.labels.x"' in message
    async with admin.post(f"{MAPS}?fieldValidation=Ignore", data=body, headers=headers) as response:
        assert (response.status, response.headers.getall("Warning", [])) == (201, [])
    async with admin.post(
        f"{MAPS}?dryRun=All", data=body.replace(b'"b"', b'"c"'), headers=headers
    ) as response:
        assert response.status == 201
        warned = response.headers.getall("Warning")
        assert warned[0] == '299 - "duplicate field \\"data\\""'
        assert len(warned) == 2


async def test_what_can_be_asked_is_listed_and_checks_are_named(admin: aiohttp.ClientSession) -> None:
    _, index = await ask(admin, "GET", "/")
    assert {"/api/v1", "/apis/apps", "/apis/apps/v1", "/readyz"} <= set(index["paths"])
    async with admin.get("/livez/ping") as response:
        assert (response.status, await response.text()) == (200, "ok")
    async with admin.get("/readyz/nonsense") as response:
        assert response.status == 404
