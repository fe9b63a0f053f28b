"""The served OpenAPI documents: complete in themselves, and enough to generate clients from."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
RESOURCE = re.compile(r'ResourceInfo\("([^"]*)", "([^"]*)", "([^"]*)", "([^"]*)", "[^"]*", (True|False)')
MOOSE = {
    "metadata": {"name": "mooses.animals.test"},
    "spec": {
        "group": "animals.test",
        "names": {"kind": "Moose", "plural": "mooses"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {"type": "object", "properties": {"height": {"type": "number"}}},
                            "status": {"type": "object", "properties": {"seen": {"type": "boolean"}}},
                        },
                    }
                },
            }
        ],
    },
}


async def document(admin: aiohttp.ClientSession, path: str) -> Json:
    async with admin.get(path) as response:
        assert response.status == 200, await response.text()
        found: Json = await response.json(content_type=None)
        return found


async def until_defined(admin: aiohttp.ClientSession) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    async with admin.post(path, json=MOOSE) as response:
        assert response.status == 201, await response.text()
    async with asyncio.timeout(10):
        while True:
            async with admin.get("/apis/animals.test/v1/mooses") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.02)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def resources_in(folder: Path) -> set[tuple[str, ...]]:
    return {match for file in folder.glob("*.py") for match in RESOURCE.findall(file.read_text())}


async def test_models_generated_from_it_have_every_resource(
    admin: aiohttp.ClientSession, tmp_path: Path
) -> None:
    await until_defined(admin)
    served = await document(admin, "/openapi/v2")
    command = [sys.executable, str(ROOT / "tools/generate_models.py")]
    command += ["--openapi", str(tmp_path / "openapi.json"), "--output", str(tmp_path / "models")]
    await asyncio.to_thread((tmp_path / "openapi.json").write_text, json.dumps(served))
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    own = await asyncio.to_thread(resources_in, ROOT / "src/proa/kube/models")
    generated = await asyncio.to_thread(resources_in, tmp_path / "models")
    assert own - generated == set()
    assert generated - own == {("animals.test", "v1", "Moose", "mooses", "True")}


async def test_every_reference_leads_to_a_type(admin: aiohttp.ClientSession) -> None:
    await until_defined(admin)
    served = await document(admin, "/openapi/v2")
    assert {
        one for one in references(served) if one.removeprefix("#/definitions/") not in served["definitions"]
    } == set()
    index = await document(admin, "/openapi/v3")
    assert "apis/animals.test/v1" in index["paths"]
    for path, where in index["paths"].items():
        one = await document(admin, where["serverRelativeURL"])
        schemas = one["components"]["schemas"]
        lost = {name for name in references(one) if name.removeprefix("#/components/schemas/") not in schemas}
        assert lost == set(), path


async def test_operations_say_what_they_take_and_give(admin: aiohttp.ClientSession) -> None:
    served = await document(admin, "/openapi/v2")
    create = served["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["post"]
    assert create["operationId"] == "createAppsV1NamespacedDeployment"
    assert create["parameters"][0]["schema"] == {"$ref": "#/definitions/io.k8s.api.apps.v1.Deployment"}
    assert create["x-kubernetes-action"] == "post"
    assert {one["name"] for one in create["parameters"]} == {
        "body",
        "dryRun",
        "fieldManager",
        "fieldValidation",
    }
    every = served["paths"]["/api/v1/pods"]["get"]
    assert every["operationId"] == "listCoreV1PodForAllNamespaces"
    assert every["responses"]["200"]["schema"] == {"$ref": "#/definitions/io.k8s.api.core.v1.PodList"}
    scale = served["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["put"]
    assert scale["x-kubernetes-group-version-kind"] == {
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
    }
    assert (
        len(
            {
                op["operationId"]
                for path in served["paths"].values()
                for op in path.values()
                if "operationId" in op
            }
        )
        > 500
    )


async def test_watches_of_custom_resources_end_with_their_definition(admin: aiohttp.ClientSession) -> None:
    await until_defined(admin)
    async with asyncio.timeout(10), admin.get("/apis/animals.test/v1/mooses?watch=1") as watch:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/mooses.animals.test"
        await (await admin.delete(path)).read()
        assert await watch.read() == b""
