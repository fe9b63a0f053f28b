"""`kube_api`'s knobs that the manual's examples don't turn."""

import asyncio
import time

import pytest

from proa.controlplane.testing import KubeApi, eventually
from proa.kube import Api, Client, Config, ForbiddenError, TransportError, WatchEvent
from proa.kube.errors import ApiError
from proa.kube.models.core_v1 import ConfigMap, Secret
from proa.kube.models.meta_v1 import ObjectMeta


def maps(kube_api: KubeApi) -> Api[ConfigMap]:
    """ConfigMaps by a client that sends nothing twice."""
    client = kube_api.client
    client.retry = None
    return Api(client, ConfigMap, namespace="default")


async def asked(kube_api: KubeApi) -> list[str]:
    return [seen.verb for seen in kube_api.requests]


async def test_watches_are_dropped_of_one_resource_and_no_other(kube_api: KubeApi) -> None:
    secrets = Api(kube_api.client, Secret, namespace="default")
    await maps(kube_api).create(ConfigMap(metadata=ObjectMeta(name="a")))
    await secrets.create(Secret(metadata=ObjectMeta(name="a")))
    watched, kept = maps(kube_api).watch("0"), secrets.watch("0")
    assert [(await anext(one)).type for one in (watched, kept)] == ["ADDED", "ADDED"]
    assert await asyncio.to_thread(kube_api.drop_watches, "configmaps") == 1
    with pytest.raises(TransportError):
        await anext(watched)
    await secrets.create(Secret(metadata=ObjectMeta(name="b")))
    event = await anext(kept)
    assert isinstance(event, WatchEvent)
    assert event.object.metadata.name == "b"
    await kept.aclose()


@pytest.mark.parametrize("code", [400, 403, 409, 410, 422, 429, 500, 503, 504])
async def test_a_refusal_has_the_code_and_a_status(kube_api: KubeApi, code: int) -> None:
    fault = kube_api.fail(
        code, verb={"list", "get"}, resource="configmaps", retry_after=7, message="so it is"
    )
    with pytest.raises(ApiError) as caught:
        await maps(kube_api).get_opt("a")
    assert (caught.value.code, caught.value.status.message) == (code, "so it is")
    assert caught.value.status.details
    assert caught.value.status.details.retry_after_seconds == 7
    assert [found async for found in maps(kube_api).list()] == []
    assert fault.hits == 1


async def test_faults_happen_until_they_are_mended(kube_api: KubeApi) -> None:
    named = kube_api.fail(500, name="a", times=None)
    for _ in range(3):
        with pytest.raises(ApiError):
            await maps(kube_api).get("a")
    assert await maps(kube_api).get_opt("b") is None
    kube_api.mend()
    assert await maps(kube_api).get_opt("a") is None
    assert named.hits == 3


async def test_a_slow_answer_comes_late_and_holds_up_no_stop(kube_api: KubeApi) -> None:
    with kube_api.slow(0.05, verb="list"):
        began = time.monotonic()
        assert [found async for found in maps(kube_api).list()] == []
        assert time.monotonic() - began >= 0.05
    kube_api.slow(3600, verb="list")
    waiting = asyncio.create_task(maps(kube_api).list_page())
    await eventually(lambda: asked(kube_api), lambda verbs: verbs.count("list") == 2)
    await asyncio.to_thread(kube_api.stop)
    await asyncio.gather(waiting, return_exceptions=True)
    with pytest.raises(TransportError):
        await maps(kube_api).get("a")
    await asyncio.to_thread(kube_api.start)
    assert await maps(kube_api).get_opt("a") is None


async def test_others_have_the_rights_that_they_are_given(kube_api: KubeApi) -> None:
    config = await asyncio.to_thread(
        lambda: Config.from_kubeconfig(kube_api.kubeconfig_for("jane", ["devs"]))
    )
    async with Client(config) as jane:
        with pytest.raises(ForbiddenError):
            await Api(jane, ConfigMap, namespace="default").get("a")
