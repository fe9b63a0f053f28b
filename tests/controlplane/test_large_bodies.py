"""Bodies made to hurt: each is refused, or taken, in bounded time and memory."""

import asyncio
import io
import json
import threading
from typing import Any

import aiohttp
import pytest

from proa.controlplane._json import UnreadableError, decode_yaml
from proa.controlplane.registry import Resource
from proa.controlplane.registry._objects import new_object

PATH = "/api/v1/namespaces/default/configmaps"
LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{number}: &a{number} [{','.join([f'*a{number - 1}'] * 9)}]\n" for number in range(1, 12)
)
LABELS = ",".join(f'"l{number}":"v"' for number in range(1_000_000))
BODIES: dict[str, tuple[str, str | bytes, int]] = {
    "a billion laughs": ("application/yaml", LAUGHS, 400),
    "an alias of itself": ("application/yaml", "metadata: &a {name: *a}", 400),
    "deep YAML": ("application/yaml", "- " * 5000 + "x", 400),
    "deep JSON": ("application/json", "[" * 100_000 + "]" * 100_000, 400),
    "a huge number": ("application/json", '{"metadata":{"name":"a","generation":1' + "0" * 5000 + "}}", 400),
    "200,000 labels": ("application/json", '{"metadata":{"labels":{' + LABELS[:2_200_000] + '"}}}', 413),
    "200,000 lists": ("application/json", '{"metadata":{"name":"a"},"data":[' + "[]," * 200_000 + "1]}", 413),
    "a million labels": ("application/json", '{"metadata":{"name":"a","labels":{' + LABELS + "}}}", 413),
    "invalid text": ("application/json", b'{"metadata":{"name":"\xff\xfe"}}', 400),
    "half a character": ("application/json", '{"metadata":{"name":"\\ud800"}}', 400),
    "nothing": ("application/json", "", 400),
    "several documents": ("application/yaml", "a: b\n---\nc: d\n", 400),
    "more than is taken": ("application/json", json.dumps({"data": {"a": "x" * 3 * 1024 * 1024}}), 413),
}


@pytest.mark.parametrize("name", BODIES)
async def test_bodies_made_to_hurt(admin: aiohttp.ClientSession, name: str) -> None:
    media_type, body, code = BODIES[name]
    data = io.BytesIO(body if isinstance(body, bytes) else body.encode())
    async with admin.post(PATH, data=data, headers={"Content-Type": media_type}) as response:
        status = await response.json()
    assert (response.status, status["kind"]) == (code, "Status")


async def test_a_large_yaml_body_is_taken_while_others_are_answered(admin: aiohttp.ClientSession) -> None:
    text = "\n".join(f"  k{number}: '{'v' * 60}'" for number in range(8000))
    async with admin.post(
        PATH, data=f"metadata: {{name: a}}\ndata:\n{text}\n", headers={"Content-Type": "application/yaml"}
    ) as response:
        assert response.status == 201, await response.text()


def test_aliases_are_fine_as_long_as_they_are_few() -> None:
    assert decode_yaml(b"a: &a {b: 1}\nc: *a\n") == {"a": {"b": 1}, "c": {"b": 1}}
    with pytest.raises(UnreadableError, match="aliases"):
        decode_yaml(LAUGHS.encode())


async def test_values_within_texts_do_not_count(admin: aiohttp.ClientSession) -> None:
    text = '{"a": [1, 2, 3], "b\\\\": {}},' * 30_000
    async with admin.post(PATH, json={"metadata": {"name": "a"}, "data": {"text": text}}) as response:
        assert response.status == 201, await response.text()
        assert (await response.json())["data"]["text"] == text


async def test_an_object_cannot_grow_beyond_bounds(admin: aiohttp.ClientSession) -> None:
    async with admin.post(PATH, json={"metadata": {"name": "a"}, "data": {}}) as response:
        assert response.status == 201
    item = {"op": "add", "path": "/data", "value": {"k": "x" * 900_000}}
    patch = [item, *({"op": "copy", "from": "/data/k", "path": f"/data/k{number}"} for number in range(9))]
    headers = {"Content-Type": "application/json-patch+json"}
    async with admin.patch(f"{PATH}/a", data=json.dumps(patch), headers=headers) as response:
        assert response.status in {413, 422}, await response.text()
    async with admin.get(f"{PATH}/a") as response:
        assert "data" not in await response.json()


async def test_others_are_answered_while_a_large_body_is_worked_on(
    admin: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop, make = asyncio.get_running_loop(), new_object

    def wait_and_make(resource: Resource, *rest: Any) -> Any:
        if resource.kind == "ConfigMap":
            loop.call_soon_threadsafe(begun.set)
            assert go_on.wait(60)
        return make(resource, *rest)

    monkeypatch.setattr("proa.controlplane.registry._registry.new_object", wait_and_make)
    body = {"metadata": {"name": "a"}, "data": {f"k{number}": "v" for number in range(5000)}}
    async with asyncio.TaskGroup() as tasks:
        creating = tasks.create_task(_status(admin, body))
        try:
            await begun.wait()
            async with admin.get(PATH) as response:
                assert (await response.json())["items"] == []
        finally:
            go_on.set()
    assert creating.result() == 201


async def _status(admin: aiohttp.ClientSession, body: Any) -> int:
    async with admin.post(PATH, json=body) as response:
        return response.status


async def test_a_client_is_told_no_more_than_it_can_read(admin: aiohttp.ClientSession) -> None:
    unknown = {f"unknown{number}": 1 for number in range(5000)}
    async with admin.post(PATH, json={"metadata": {"name": "a"}, **unknown}) as response:
        warnings = response.headers.getall("Warning")
    assert response.status == 201
    assert 10 < len(warnings) <= 100
    labels = {f"-{number}": "" for number in range(5000)}
    async with admin.post(PATH, json={"metadata": {"name": "b", "labels": labels}}) as response:
        assert response.status == 422
        assert len((await response.json())["details"]["causes"]) == 1000
