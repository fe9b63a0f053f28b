"""The forms in which answers come: compressed, as YAML, indented; and what is counted of them."""

import gzip
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import yaml

from proa.controlplane import ApiServer
from proa.controlplane.serving._encoding import accepts_gzip, prefers_yaml

PATH = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def raw(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that does not decompress."""
    headers = {"Authorization": "Bearer admin-token"}
    connector = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(
        server.url, headers=headers, connector=connector, auto_decompress=False
    ) as session:
        yield session


async def test_large_answers_are_compressed_for_those_who_take_it(raw: aiohttp.ClientSession) -> None:
    document = {"metadata": {"name": "large"}, "data": {"key": "value " * 50_000}}
    async with raw.post(PATH, json=document) as response:
        assert response.status == 201
    async with raw.get(f"{PATH}/large", headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        compressed = await response.read()
        assert json.loads(gzip.decompress(compressed))["data"] == document["data"]
        assert len(compressed) < 20_000
    async with raw.get(f"{PATH}/large", headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers
        assert (await response.json())["data"] == document["data"]
    async with raw.get(f"{PATH}/absent", headers={"Accept-Encoding": "gzip"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_answers_come_as_yaml_and_indented(admin: aiohttp.ClientSession) -> None:
    await admin.post(PATH, json={"metadata": {"name": "a"}, "data": {"k": "ü"}})
    async with admin.get(f"{PATH}/a", headers={"Accept": "application/yaml"}) as response:
        assert response.content_type == "application/yaml"
        document = yaml.safe_load(await response.read())
        assert (document["kind"], document["data"]) == ("ConfigMap", {"k": "ü"})
    async with admin.get(f"{PATH}/b", headers={"Accept": "application/yaml"}) as response:
        assert response.status == 404
        assert yaml.safe_load(await response.read())["reason"] == "NotFound"
    async with admin.get(f"{PATH}/a?pretty=true") as response:
        assert '{\n  "kind": "ConfigMap"' in await response.text()


async def test_requests_are_counted_and_timed(admin: aiohttp.ClientSession) -> None:
    for name in ("a", "a"):
        await admin.post(PATH, json={"metadata": {"name": name}})
    async with admin.get("/metrics") as response:
        text = await response.text()
    labels = 'group="",resource="configmaps",scope="namespace",subresource="",verb="POST",version="v1"'
    assert f'apiserver_request_total{{code="201",{labels}}} 1.0' in text
    assert f'apiserver_request_total{{code="409",{labels}}} 1.0' in text
    assert f"apiserver_request_duration_seconds_count{{{labels}}} 2.0" in text


async def test_paths_that_are_nowhere_do_not_fill_the_metrics(admin: aiohttp.ClientSession) -> None:
    for number in range(5):
        async with admin.get(f"/apis/group{number}.test/v1/things") as response:
            assert response.status == 404
    async with admin.get("/metrics") as response:
        assert "group3.test" not in await response.text()


@pytest.mark.parametrize(
    ("header", "taken"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("identity", False), ("", False)],
)
def test_accept_encoding_is_understood(header: str, *, taken: bool) -> None:
    assert accepts_gzip(header) is taken


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("application/yaml", True),
        ("application/json, application/yaml", False),
        ("text/html, application/yaml", True),
        ("*/*", False),
    ],
)
def test_the_first_form_that_we_have_is_taken(header: str, *, wanted: bool) -> None:
    assert prefers_yaml(header) is wanted
