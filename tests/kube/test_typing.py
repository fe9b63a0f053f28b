"""What a type checker says of user code: the lint run fails where an error expected here is none."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar, assert_type

from proa.kube import Api, Bookmark, Client, Page, Resource, WatchEvent
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import Container, Node, Pod, PodSpec
from proa.kube.models.meta_v1 import ObjectMeta, Status

K = TypeVar("K", bound=Resource)


async def scopes(client: Client) -> None:
    assert_type(Api(client, Pod, namespace="default"), Api[Pod])
    assert_type(Api(client, Pod), Api[Pod])
    assert_type(Api(client, Node), Api[Node])
    Api(client, Node, namespace="default")  # type: ignore[type-var]
    Api(client, ObjectMeta)  # type: ignore[type-var]


async def results(pods: Api[Pod]) -> None:
    pod = await pods.get("a")
    assert_type(pod, Pod)
    assert_type(pod.status.phase, str | None)
    assert_type(pod.status.pod_ip, str | None)
    assert_type(pod.metadata.labels, dict[str, str])
    assert_type(pod.spec.containers[0].resources.limits["cpu"] * 2, Quantity)
    assert_type(await pods.get_opt("a"), Pod | None)
    assert_type(await pods.list_page(), Page[Pod])
    assert_type(await pods.delete("a"), Pod | Status)
    async for item in pods.list():
        assert_type(item, Pod)
    async for event in pods.watch("1"):
        if event.type == "BOOKMARK":
            assert_type(event, Bookmark)
        else:
            assert_type(event, WatchEvent[Pod])
            assert_type(event.object, Pod)
    assert pod.spec.replicas  # type: ignore[attr-defined]
    await pods.create(Node())  # type: ignore[arg-type]


def incomplete() -> Container:
    return Container()  # type: ignore[call-arg]


def complete() -> Pod:
    return Pod(metadata=ObjectMeta(name="a"), spec=PodSpec(containers=[Container(name="c", image="i")]))


async def generic(api: Api[K], seen: list[str]) -> AsyncIterator[K]:
    async for item in api.list():
        seen.append(item.metadata.name or item.resource.plural)
        yield item


def test_the_examples_of_correct_use_run() -> None:
    client: Any = None
    assert Api(client, Pod, namespace="default").namespace == "default"
    assert repr(Api(client, Node)) == "<Api of nodes>"
    assert complete().spec.containers[0].name == "c"
