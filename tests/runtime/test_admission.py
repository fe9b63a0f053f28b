"""Webhooks, called over TLS as an API server calls them, with the certificate that it was told to trust."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from proa.kube import Api, Client, DecodeError
from proa.kube.models.admissionregistration_v1 import (
    MutatingWebhookConfiguration,
    ValidatingWebhookConfiguration,
)
from proa.kube.models.core_v1 import ConfigMap, Secret
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime.admission import DeniedError, Request, Service, Webhooks, WebhookServer
from proa.runtime.admission._json_diff import json_diff
from proa.runtime.testing import MemoryServer
from proa.runtime.testing._patching import json_patch

NAME = "hooks.example.com"


class OldConfig(ConfigMap, kw_only=True):
    """An older version of a kind."""

    api_version: str = "v1beta1"
    resource = ConfigMap.resource._replace(version="v1beta1")


def hooks() -> Webhooks:
    made = Webhooks()

    @made.validate(ConfigMap)
    async def small(request: Request[ConfigMap]) -> None:
        request.warnings.append("looked at")
        if len(request.object.data) > 2:
            raise DeniedError("too many keys", code=422, reason="Invalid")

    @made.mutate(ConfigMap, operations=["CREATE"])
    async def tagged(request: Request[ConfigMap]) -> ConfigMap:
        request.object.metadata.labels["by/us"] = request.user.username or ""
        request.object.data.pop("secret", None)
        return request.object

    @made.convert(OldConfig, ConfigMap)
    def grown(old: OldConfig) -> ConfigMap:
        if "broken" in old.data:
            raise DeniedError("cannot convert what is broken")
        return ConfigMap(metadata=old.metadata, data={**old.data, "grown": "yes"})

    return made


def review(data: dict[str, str], **more: Any) -> dict[str, Any]:
    obj = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "managedFields": []},
        "data": data,
        "unknown": 1,
    }
    request = {"uid": "u1", "operation": "CREATE", "object": obj, "userInfo": {"username": "me"}, **more}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


async def post(url: str, bundle: bytes, body: Any) -> Any:
    context = ssl.create_default_context(cadata=bundle.decode())
    async with aiohttp.ClientSession() as session, session.post(url, json=body, ssl=context) as response:
        return await response.json()


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[WebhookServer, Client]]:
    memory = MemoryServer()
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "configmaps"},
        "spec": {"group": "g", "names": {"kind": "K", "plural": "ks"}, "scope": "Cluster", "versions": []},
    }
    async with memory.client() as client:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await client.request_raw("POST", path, body=msgspec.json.encode(crd))
        async with WebhookServer(client, NAME, hooks(), **options) as server:
            yield server, client


async def validating(client: Client) -> tuple[str, bytes]:
    found = await Api(client, ValidatingWebhookConfiguration).get(NAME)
    config = found.webhooks[0].client_config
    return config.url or "", config.ca_bundle or b""


async def test_what_is_refused_is_refused_with_its_reason() -> None:
    async with serving() as (_, client):
        url, bundle = await validating(client)
        answer = await post(url, bundle, review({"a": "1", "b": "2", "c": "3"}))
        assert answer["response"] == {
            "uid": "u1",
            "allowed": False,
            "status": {"code": 422, "reason": "Invalid", "message": "too many keys"},
            "warnings": ["looked at"],
        }
        answer = await post(url, bundle, review({"a": "1"}))
        assert answer["response"] == {"uid": "u1", "allowed": True, "warnings": ["looked at"]}


async def test_a_change_is_a_patch_that_leaves_what_the_type_does_not_know() -> None:
    async with serving() as (_, client):
        found = await Api(client, MutatingWebhookConfiguration).get(NAME)
        assert found.webhooks[0].rules[0].operations == ["CREATE"]
        config = found.webhooks[0].client_config
        body = review({"secret": "x", "b": "2"})
        answer = await post(config.url or "", config.ca_bundle or b"", body)
        patch = msgspec.json.decode(base64.b64decode(answer["response"]["patch"]))
        changed = json_patch(body["request"]["object"], patch)
        assert changed["data"] == {"b": "2"}
        assert changed["metadata"]["labels"] == {"by/us": "me"}
        assert changed["unknown"] == 1
        assert "managedFields" in changed["metadata"]


async def test_deletion_is_about_the_old_object() -> None:
    async with serving() as (_, client):
        url, bundle = await validating(client)
        body = review({})
        request = body["request"]
        request |= {"operation": "DELETE", "oldObject": request["object"], "object": None}
        assert (await post(url, bundle, body))["response"]["allowed"]


async def test_objects_are_converted_all_or_none() -> None:
    async with serving() as (server, client):
        _, bundle = await validating(client)
        metadata = {"name": "a", "uid": "u", "managedFields": [{"manager": "m"}]}
        old = {"apiVersion": "v1beta1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": "y"}}
        body = {"request": {"uid": "c1", "desiredAPIVersion": "v1", "objects": [old]}}
        url = f"{server.url}/convert/configmaps"
        answer = (await post(url, bundle, body))["response"]
        assert answer["result"] == {"status": "Success"}
        (new,) = answer["convertedObjects"]
        assert (new["apiVersion"], new["data"], new["metadata"]) == (
            "v1",
            {"x": "y", "grown": "yes"},
            metadata,
        )
        body["request"]["objects"] = [old, {**old, "data": {"broken": ""}}]
        answer = (await post(url, bundle, body))["response"]
        assert answer["result"] == {"status": "Failure", "message": "cannot convert what is broken"}
        crd = (
            await client.request_raw(
                "GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/configmaps"
            )
        ).body
        assert msgspec.json.decode(crd)["spec"]["conversion"]["strategy"] == "Webhook"


async def test_a_certificate_is_replaced_without_a_moment_in_which_none_is_trusted() -> None:
    async with serving() as (server, client):
        url, before = await validating(client)
        await server.rotate()
        _, after = await validating(client)
        assert before in after
        assert (await post(url, after, review({})))["response"]["allowed"]
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await post(url, before, review({}))
        await server.rotate()  # what is told is replaced, not added
        assert (await post(url, (await validating(client))[1], review({})))["response"]["allowed"]


async def test_in_a_cluster_the_service_is_named() -> None:
    async with serving(service=Service("moose", "team")) as (_, client):
        found = await Api(client, ValidatingWebhookConfiguration).get(NAME)
        service = found.webhooks[0].client_config.service
        assert service is not None
        assert (service.name, service.namespace, service.port) == ("moose", "team", 443)
        assert service.path == "/validate/configmaps/v1"


async def test_replicas_share_one_certificate_and_take_up_the_next() -> None:
    service = Service("moose", "team")
    async with serving(service=service) as (first, client):
        async with WebhookServer(client, NAME, hooks(), service=service) as second:
            url, other = (f"{server.url}/validate/configmaps/v1" for server in (first, second))
            bundle = await trusted(client)
            for address in (url, other):
                assert (await post(address, bundle, review({})))["response"]["allowed"]
            await first.rotate()
            both = await trusted(client)
            assert bundle in both
            for address in (url, other):  # the second has not heard of it yet
                assert (await post(address, both, review({})))["response"]["allowed"]
            await second.follow()
            assert await trusted(client) == both
            newest = both.removeprefix(bundle)
            for address in (url, other):
                assert (await post(address, newest, review({})))["response"]["allowed"]
            await asyncio.gather(first.rotate(), second.rotate())  # one of them wins
            await asyncio.gather(first.follow(), second.follow())
            for address in (url, other):
                assert (await post(address, await trusted(client), review({})))["response"]["allowed"]
        secret = await Api(client, Secret, namespace="team").get("moose-webhook")
        assert secret.type == "kubernetes.io/tls"
        async with WebhookServer(client, NAME, hooks(), service=service):
            assert await Api(client, Secret, namespace="team").get("moose-webhook") == secret


async def test_a_secret_that_holds_no_certificate_is_named() -> None:
    async with MemoryServer().client() as client:
        secret = Secret(metadata=ObjectMeta(name="moose-webhook"), data={"tls.crt": b"-", "tls.key": b"-"})
        await Api(client, Secret, namespace="team").create(secret)
        with pytest.raises(DecodeError, match="the Secret moose-webhook holds no certificate, delete it"):
            async with WebhookServer(client, NAME, hooks(), service=Service("moose", "team")):
                pass


async def trusted(client: Client) -> bytes:
    found = await Api(client, ValidatingWebhookConfiguration).get(NAME)
    return found.webhooks[0].client_config.ca_bundle or b""


async def test_what_is_no_review_is_refused() -> None:
    async with serving() as (_, client):
        url, bundle = await validating(client)
        assert "message" in await post(url, bundle, {"request": {"uid": "u", "operation": "CREATE"}})
        assert "message" in await post(url, bundle, {})


def test_a_second_webhook_for_the_same_is_a_mistake() -> None:
    made = hooks()

    async def again(request: Request[ConfigMap]) -> None:
        pass

    with pytest.raises(ValueError, match="a webhook at /validate/configmaps/v1 already"):
        made.validate(ConfigMap)(again)


def test_a_difference_is_a_patch() -> None:
    before = {"a": {"b/c": 1, "d~e": 2}, "list": [1, 2], "same": 1}
    after = {"a": {"b/c": 2, "f": {}}, "list": [2], "same": 1, "new": None}
    assert json_patch(before, list(json_diff(before, after))) == after
