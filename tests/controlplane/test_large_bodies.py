"""Bodies made to hurt: each is refused, or taken, in bounded time and memory."""

import io
import json

import aiohttp
import pytest

from proa.controlplane._json import UnreadableError, decode_yaml

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
