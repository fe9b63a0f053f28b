"""Documents that are decoded part by part look whole to everybody, and are written whole."""

import json
from typing import Any

import aiohttp
import pytest

from proa.controlplane._json import encode
from proa.controlplane._lazy_document import Lazy
from proa.controlplane.storage._objects import tail_of

DOCUMENT = {"metadata": {"name": "a"}, "spec": {"x": [1, {"y": None}]}, "status": {}}
TEXT = encode(DOCUMENT)
PODS = "/api/v1/namespaces/default/pods"
POD = {"spec": {"containers": [{"name": "main", "image": "x"}]}}


def test_it_looks_like_the_whole_document() -> None:
    lazy = Lazy.of(TEXT)
    assert lazy["spec"] == DOCUMENT["spec"]
    assert lazy["spec"] is lazy["spec"]
    assert lazy.get("nothing", 1) == 1
    assert "status" in lazy
    assert "nothing" not in lazy
    with pytest.raises(KeyError):
        lazy["nothing"]
    assert Lazy.of(TEXT) == DOCUMENT
    assert {**Lazy.of(TEXT)} == DOCUMENT
    assert list(Lazy.of(TEXT)) == list(DOCUMENT)
    assert dict(Lazy.of(TEXT).items()) == DOCUMENT
    assert len(Lazy.of(TEXT)) == 3


def test_a_successor_shares_what_has_not_changed_and_is_written_whole() -> None:
    old = Lazy.of(TEXT)
    new = old.successor({"status": {"phase": "Running"}})
    assert json.loads(b"{" + tail_of(new)) == {**DOCUMENT, "status": {"phase": "Running"}}
    assert new != old
    assert old.successor({"status": {}}) == old
    assert new == {**DOCUMENT, "status": {"phase": "Running"}}


async def patched(admin: aiohttp.ClientSession, name: str, kind: str, patch: Any) -> Any:
    headers = {"Content-Type": f"application/{kind}+json"}
    async with admin.patch(f"{PODS}/{name}/status", data=json.dumps(patch), headers=headers) as response:
        return response.status, await response.json()


def told(pod: Any) -> Any:
    metadata = pod["metadata"]
    for name in ("uid", "name", "resourceVersion", "creationTimestamp"):
        del metadata[name]
    for entry in metadata["managedFields"]:
        del entry["time"]
    return pod


STATUSES: list[Any] = [
    {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]},
    {"phase": None, "conditions": [{"type": "Ready", "status": "True"}]},
    {"conditions": [], "message": ""},
    {},
    None,
    {"unknown": 1},
    {"phase": 1},
    {"qosClass": "Guaranteed"},
    {"podIPs": [{"ip": "nowhere"}]},
]


@pytest.mark.parametrize("kind", ["merge-patch", "strategic-merge-patch"])
async def test_a_status_alone_is_written_as_when_the_whole_object_is_looked_at(
    admin: aiohttp.ClientSession, kind: str
) -> None:
    for name in ("a", "b"):
        async with admin.post(PODS, json={"metadata": {"name": name}, **POD}) as response:
            assert response.status == 201, await response.text()
    for status in STATUSES:
        code, one = await patched(admin, "a", kind, {"status": status})
        # A patch that says something of the spec is applied to the whole object; a status cannot change that.
        other_code, other = await patched(admin, "b", kind, {"status": status, "spec": {"priority": 0}})
        assert code == other_code
        if code == 200:
            assert told(one) == told(other)
        else:
            assert [one.get("details", {}).get("causes")] == [other.get("details", {}).get("causes")]


async def test_a_status_write_heeds_versions_and_labels(admin: aiohttp.ClientSession) -> None:
    async with admin.post(PODS, json={"metadata": {"name": "a"}, **POD}) as response:
        metadata = (await response.json())["metadata"]
    status = {"phase": "Running"}
    patch: Any = {"metadata": {"resourceVersion": "1"}, "status": status}
    assert (await patched(admin, "a", "merge-patch", patch))[0] == 409
    patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
    assert (await patched(admin, "a", "merge-patch", patch))[0] == 200
    patch = {"metadata": {"labels": {"a": "b"}}, "status": {"message": "x"}}
    code, pod = await patched(admin, "a", "merge-patch", patch)
    assert (code, pod["metadata"]["labels"], pod["status"]["phase"]) == (200, {"a": "b"}, "Running")
