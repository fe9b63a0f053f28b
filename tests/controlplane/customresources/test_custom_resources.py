"""Custom resources as clients meet them: served, stored, presented, and removed with their definition."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proa.controlplane import ApiServer
from proa.controlplane.testing import api_server

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MOOSE = "/apis/animals.test/v1/namespaces/default/mooses"
Session = aiohttp.ClientSession
Json = dict[str, Any]

SPEC: Json = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer", "default": 1},
        "colour": {"type": "string"},
        "born": {"type": "string", "format": "date-time"},
    },
    "x-kubernetes-validations": [
        {"rule": "self.replicas < 10", "message": "too many moose"},
        {"rule": "!has(oldSelf.colour) || self.colour == oldSelf.colour", "message": "colour stays"},
    ],
}
STATUS: Json = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
}


def version(name: str = "v1", **more: Any) -> Json:
    schema = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
    return {
        "name": name,
        "served": True,
        "storage": name == "v1",
        "schema": {"openAPIV3Schema": schema},
        **more,
    }


def definition(*versions: Json, plural: str = "mooses", kind: str = "Moose", **names: Any) -> Json:
    given = {"plural": plural, "kind": kind, **names}
    spec = {"group": "animals.test", "names": given, "scope": "Namespaced"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.animals.test"},
        "spec": {**spec, "versions": list(versions) or [version()]},
    }


def moose(name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "animals.test/v1",
        "kind": "Moose",
        "metadata": {"name": name},
        "spec": {"colour": "brown", **spec},
    }


async def send(
    session: Session, method: str, path: str, body: Any = None, expected: int = 200, accept: str = ""
) -> Json:
    headers = {"Accept": accept or "application/json"}
    if method == "PATCH":
        headers["Content-Type"] = "application/merge-patch+json"
    async with session.request(method, path, json=body, headers=headers) as response:
        answer: Json = await response.json()
        assert response.status == expected, answer
        return answer


async def define(session: Session, document: Json) -> Json:
    """Creates a definition and waits until its status says what becomes of it."""
    await send(session, "POST", CRDS, document, 201)
    return await settled(session, document["metadata"]["name"])


async def settled(session: Session, name: str) -> Json:
    path = f"{CRDS}?watch=1&fieldSelector=metadata.name%3D{name}&timeoutSeconds=20"
    async with session.get(path) as events:
        async for line in events.content:
            found: Json = json.loads(line)["object"]
            if found["status"].get("conditions"):
                return found
    raise AssertionError("nothing happened")


def condition(document: Json, kind: str) -> tuple[str, str]:
    found = next(one for one in document["status"]["conditions"] if one["type"] == kind)
    return found["status"], found["reason"]


@pytest.fixture
async def full(admin: Session) -> Session:
    """A server with moose that have everything that a definition can give them."""
    columns = [
        {"name": "Colour", "type": "string", "jsonPath": ".spec.colour"},
        {"name": "Born", "type": "date", "jsonPath": ".spec.born", "priority": 1},
    ]
    paths = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    everything = version(
        additionalPrinterColumns=columns,
        subresources={"status": {}, "scale": paths},
        selectableFields=[{"jsonPath": ".spec.colour"}],
    )
    await define(admin, definition(everything, shortNames=["mo"], categories=["all"]))
    return admin


async def test_rules_hold_for_creations_and_updates(full: Session) -> None:
    await send(full, "POST", MOOSE, moose("a"), 201)
    answer = await send(full, "POST", MOOSE, moose("b", replicas=10), 422)
    assert "too many moose" in answer["message"]
    answer = await send(full, "PATCH", f"{MOOSE}/a", {"spec": {"colour": "red"}}, 422)
    assert [cause["field"] for cause in answer["details"]["causes"]] == ["spec"]
    assert (await send(full, "PATCH", f"{MOOSE}/a", {"spec": {"replicas": 2}}))["metadata"]["generation"] == 2


async def test_a_custom_object_says_what_it_is(full: Session) -> None:
    for field in ("kind", "apiVersion"):
        unsaid = moose("b")
        del unsaid[field]
        await send(full, "POST", MOOSE, unsaid, 400)
    refusal = await send(full, "POST", MOOSE, {**moose("b"), "kind": "Elk"}, 422)
    assert [cause["field"] for cause in refusal["details"]["causes"]] == ["kind"]


async def test_status_and_scale_are_parts_of_their_own(full: Session) -> None:
    await send(full, "POST", MOOSE, {**moose("a"), "status": {"replicas": 9}}, 201)
    status = {"replicas": 1, "selector": "app=moose"}
    changed = await send(full, "PATCH", f"{MOOSE}/a/status", {"spec": {"replicas": 5}, "status": status})
    assert changed["spec"]["replicas"] == 1
    scale = await send(full, "GET", f"{MOOSE}/a/scale")
    assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 1}, status)
    await send(full, "PATCH", f"{MOOSE}/a/scale", {"spec": {"replicas": 4}})
    assert (await send(full, "GET", f"{MOOSE}/a"))["spec"]["replicas"] == 4
    scaled = await send(full, "GET", f"{MOOSE}/a")
    [entry] = [one for one in scaled["metadata"]["managedFields"] if one.get("subresource") == "scale"]
    assert entry["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    await send(full, "PATCH", f"{MOOSE}/a/scale", {"spec": {"replicas": 40}}, 422)


async def test_tables_have_the_columns_of_the_definition(full: Session) -> None:
    await send(full, "POST", MOOSE, moose("a", born="2020-01-01T00:00:00Z"), 201)
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = await send(full, "GET", MOOSE, accept=accept)
    columns = [(one["name"], one["type"], one["priority"]) for one in table["columnDefinitions"]]
    assert columns == [("Name", "string", 0), ("Colour", "string", 0), ("Born", "date", 1)]
    name, colour, born = table["rows"][0]["cells"]
    assert (name, colour) == ("a", "brown")
    assert born.endswith("d") or "y" in born


async def test_fields_of_the_definition_select(full: Session) -> None:
    await send(full, "POST", MOOSE, moose("a"), 201)
    await send(full, "POST", MOOSE, moose("b", colour="grey"), 201)
    found = await send(full, "GET", f"{MOOSE}?fieldSelector=spec.colour%3Dgrey")
    assert [one["metadata"]["name"] for one in found["items"]] == ["b"]
    await send(full, "GET", f"{MOOSE}?fieldSelector=spec.replicas%3D1", expected=400)


async def test_discovery_and_openapi_follow_the_definitions(full: Session) -> None:
    groups = await send(full, "GET", "/apis")
    assert "animals.test" in [group["name"] for group in groups["groups"]]
    schemas = (await send(full, "GET", "/openapi/v3/apis/animals.test/v1"))["components"]["schemas"]
    assert "colour" in schemas["test.animals.v1.Moose"]["properties"]["spec"]["properties"]
    assert "test.animals.v1.Moose" in (await send(full, "GET", "/openapi/v2"))["definitions"]
    await send(full, "DELETE", f"{CRDS}/mooses.animals.test")
    await gone(full, "mooses.animals.test")
    groups = await send(full, "GET", "/apis")
    assert "animals.test" not in [group["name"] for group in groups["groups"]]


async def gone(session: Session, name: str) -> None:
    path = f"{CRDS}?watch=1&fieldSelector=metadata.name%3D{name}&timeoutSeconds=20"
    async with session.get(path) as events:
        listed = await send(session, "GET", CRDS)
        if name not in [one["metadata"]["name"] for one in listed["items"]]:
            return
        async for line in events.content:
            if json.loads(line)["type"] == "DELETED":
                return


async def test_instances_go_with_their_definition_after_their_finalizers(full: Session) -> None:
    held = moose("held")
    held["metadata"]["finalizers"] = ["animals.test/wait"]
    await send(full, "POST", MOOSE, held, 201)
    await send(full, "POST", MOOSE, moose("free"), 201)
    watch = f"{MOOSE}?watch=1&timeoutSeconds=20"
    async with full.get(watch) as events:
        await send(full, "DELETE", f"{CRDS}/mooses.animals.test")
        async for line in events.content:
            event = json.loads(line)
            if event["type"] == "DELETED":
                assert event["object"]["metadata"]["name"] == "free"
                break
    found = await send(full, "GET", f"{CRDS}/mooses.animals.test")
    assert condition(found, "Terminating")[0] == "True"
    await send(full, "POST", MOOSE, moose("late"), 405)
    await send(full, "PATCH", f"{MOOSE}/held", {"metadata": {"finalizers": None}})
    await gone(full, "mooses.animals.test")
    async with full.get(MOOSE) as response:
        assert response.status == 404


async def test_names_that_clash_wait_until_they_are_free(admin: Session) -> None:
    await define(admin, definition(shortNames=["mo"]))
    second = await define(admin, definition(plural="moles", kind="Mole", shortNames=["mo"]))
    assert condition(second, "NamesAccepted") == ("False", "ShortNamesConflict")
    async with admin.get("/apis/animals.test/v1/moles") as response:
        assert response.status == 404
    path = f"{CRDS}?watch=1&fieldSelector=metadata.name%3Dmoles.animals.test&timeoutSeconds=20"
    async with admin.get(path) as events:
        await send(admin, "DELETE", f"{CRDS}/mooses.animals.test")
        async for line in events.content:
            found = json.loads(line)["object"]
            if condition(found, "Established")[0] == "True":
                break
    await send(admin, "GET", "/apis/animals.test/v1/moles")


async def test_every_version_shows_what_it_knows(admin: Session) -> None:
    second = version("v2")
    second["schema"] = {
        "openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {"colour": {"type": "string"}, "horns": {"type": "integer", "default": 2}},
                }
            },
        }
    }
    found = await define(admin, definition(version(), second))
    assert found["status"]["storedVersions"] == ["v1"]
    groups = await send(admin, "GET", "/apis/animals.test")
    assert [one["version"] for one in groups["versions"]] == ["v2", "v1"]
    await send(admin, "POST", MOOSE, moose("a"), 201)
    newer = MOOSE.replace("v1", "v2")
    shown = await send(admin, "GET", f"{newer}/a")
    assert (shown["apiVersion"], shown["spec"]) == ("animals.test/v2", {"colour": "brown", "horns": 2})
    listed = (await send(admin, "GET", newer))["items"][0]
    assert (listed["kind"], listed["spec"]["horns"]) == ("Moose", 2)
    changed = await send(admin, "PATCH", f"{newer}/a", {"spec": {"horns": 3}})
    assert changed["spec"] == {"colour": "brown", "horns": 3}
    assert (await send(admin, "GET", f"{MOOSE}/a"))["spec"] == {"colour": "brown", "replicas": 1}


async def test_a_changed_schema_holds_for_what_was_there_before(admin: Session) -> None:
    await define(admin, definition())
    await send(admin, "POST", MOOSE, moose("a"), 201)
    wider = version()
    wider["schema"] = json.loads(json.dumps(wider["schema"]))
    properties = wider["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties["size"] = {"type": "string", "default": "big"}
    await send(admin, "PATCH", f"{CRDS}/mooses.animals.test", {"spec": {"versions": [wider]}})
    assert (await send(admin, "GET", f"{MOOSE}/a"))["spec"]["size"] == "big"
    other = {"spec": {"scope": "Cluster"}}
    answer = await send(admin, "PATCH", f"{CRDS}/mooses.animals.test", other, 422)
    assert [cause["field"] for cause in answer["details"]["causes"]] == ["spec.scope"]


async def test_namespaces_take_custom_resources_with_them(full: Session) -> None:
    await send(full, "POST", "/api/v1/namespaces", {"metadata": {"name": "wood"}}, 201)
    wood = MOOSE.replace("default", "wood")
    await send(full, "POST", wood, moose("a"), 201)
    async with full.get(f"{wood}?watch=1&timeoutSeconds=20") as events:
        await send(full, "DELETE", "/api/v1/namespaces/wood")
        async for line in events.content:
            if json.loads(line)["type"] == "DELETED":
                break


async def test_definitions_and_objects_are_there_again_after_a_restart(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text('t,admin,1,"system:masters"\n')

    def session(server: ApiServer) -> Session:
        headers = {"Authorization": "Bearer t"}
        return Session(server.url, headers=headers, connector=aiohttp.TCPConnector(ssl=False))

    async with api_server(tmp_path, token_auth_file=tokens) as server, session(server) as admin:
        await define(admin, definition())
        await send(admin, "POST", MOOSE, moose("a"), 201)
    async with api_server(tmp_path, token_auth_file=tokens) as server, session(server) as admin:
        assert (await send(admin, "GET", f"{MOOSE}/a"))["spec"]["colour"] == "brown"


async def test_applied_configurations_own_fields_of_custom_resources(full: Session) -> None:
    headers = {"Content-Type": "application/apply-patch+yaml"}
    path = f"{MOOSE}/a?fieldManager=me"
    async with full.patch(path, data=json.dumps(moose("a", replicas=2)), headers=headers) as response:
        assert response.status == 201, await response.text()
    other = f"{MOOSE}/a?fieldManager=you"
    async with full.patch(other, data=json.dumps(moose("a", replicas=3)), headers=headers) as response:
        assert response.status == 409, await response.text()


async def test_many_definitions_at_once_are_all_served(admin: Session) -> None:
    names = [f"beast{number}s" for number in range(20)]
    made = [definition(plural=name, kind=name.title()) for name in names]
    await asyncio.gather(*(send(admin, "POST", CRDS, one, 201) for one in made))
    for name in names:
        await settled(admin, f"{name}.animals.test")
        await send(admin, "GET", f"/apis/animals.test/v1/{name}")


def renamed() -> Json:
    """Version 2 calls the colour a shade; only a webhook knows that."""
    shade = {"type": "object", "properties": {"shade": {"type": "string"}}}
    schema = {"type": "object", "properties": {"spec": shade}}
    return {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": schema}}


async def shades(request: Json) -> Json:
    """What the webhook answers: the objects with their field renamed."""
    converted = []
    for one in request["objects"]:
        old, new = ("colour", "shade") if request["desiredAPIVersion"].endswith("v2") else ("shade", "colour")
        spec = {new: one["spec"][old]} if old in one["spec"] else {}
        converted.append({**one, "apiVersion": request["desiredAPIVersion"], "spec": spec})
    return {"convertedObjects": converted, "result": {"status": "Success"}}


async def fails(_request: Json) -> Json:
    return {"result": {"status": "Failed", "message": "not today"}}


def converting(webhook: Any, *versions: Json) -> Json:
    document = definition(*versions)
    client = {"clientConfig": webhook.config, "conversionReviewVersions": ["v1"]}
    document["spec"]["conversion"] = {"strategy": "Webhook", "webhook": client}
    return document


class TestConversion:
    async def test_by_webhook_shows_each_version_its_own_form(self, admin: Session, webhook: Any) -> None:
        webhook.answer = shades
        await define(admin, converting(webhook, version(), renamed()))
        newer = MOOSE.replace("v1", "v2")
        await send(admin, "POST", MOOSE, moose("a"), 201)
        assert (await send(admin, "GET", f"{newer}/a"))["spec"] == {"shade": "brown"}
        changed = await send(admin, "PATCH", f"{newer}/a", {"spec": {"shade": "grey"}})
        assert (changed["spec"], changed["metadata"]["generation"]) == ({"shade": "grey"}, 2)
        assert (await send(admin, "GET", f"{MOOSE}/a"))["spec"]["colour"] == "grey"
        labelled = await send(admin, "PATCH", f"{newer}/a", {"metadata": {"labels": {"l": "x"}}})
        assert labelled["metadata"]["generation"] == 2
        version_before = labelled["metadata"]["resourceVersion"]
        same = await send(admin, "PATCH", f"{newer}/a", {"spec": {"shade": "grey"}})
        assert same["metadata"]["resourceVersion"] == version_before
        async with admin.get(f"{newer}?watch=1&timeoutSeconds=20") as events:
            event = json.loads(await events.content.readline())
        assert event["object"]["spec"] == {"shade": "grey"}

    async def test_that_fails_refuses_the_write_and_says_why(self, admin: Session, webhook: Any) -> None:
        webhook.answer = fails
        await define(admin, converting(webhook, version(), renamed()))
        refused = await send(admin, "POST", MOOSE, moose("a"), 500)
        assert "conversion webhook for animals.test/v1, Kind=Moose failed: not today" in refused["message"]
        assert (await send(admin, "GET", MOOSE))["items"] == []

    async def test_reaches_what_was_there_before_the_version(self, admin: Session, webhook: Any) -> None:
        webhook.answer = shades
        await define(admin, definition())
        await send(admin, "POST", MOOSE, moose("a"), 201)
        later = converting(webhook, version(), renamed())
        async with admin.get(f"{MOOSE}?watch=1&timeoutSeconds=20") as events:
            await events.content.readline()
            await send(admin, "PATCH", f"{CRDS}/mooses.animals.test", {"spec": later["spec"]})
            await events.content.readline()  # it has been converted
        newer = MOOSE.replace("v1", "v2")
        assert (await send(admin, "GET", f"{newer}/a"))["spec"] == {"shade": "brown"}
