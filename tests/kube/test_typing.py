"""What a type checker says of user code: the lint run fails where an error expected here is none."""

from collections.abc import AsyncIterator
from typing import Any, TypeVar, assert_type

from proa.kube import (
    Api,
    Bookmark,
    Client,
    DynamicObject,
    Page,
    PartialObjectMetadata,
    Resource,
    WatchEvent,
    crd,
)
from proa.kube.models import Cluster, Model, Namespaced, Quantity
from proa.kube.models.apps_v1 import Deployment
from proa.kube.models.core_v1 import Container, Node, Pod, PodSpec, ServiceAccount
from proa.kube.models.meta_v1 import ObjectMeta, Status
from proa.kube.streams import Exit

K = TypeVar("K", bound=Resource)


async def scopes(client: Client) -> None:
    assert_type(Api(client, Pod, namespace="default"), Api[Pod])
    assert_type(Api(client, Pod), Api[Pod])
    assert_type(Api(client, Node), Api[Node])
    Api(client, Node, namespace="default")  # type: ignore[type-var]
    Api(client, ObjectMeta)  # type: ignore[type-var]
    assert_type(Api(client, Widget, namespace="default"), Api[Widget])
    assert_type(Api(client, Gadget), Api[Gadget])
    Api(client, Gadget, namespace="default")  # type: ignore[type-var]
    partial = PartialObjectMetadata.of(Pod)
    assert_type(Api(client, partial, namespace="default"), Api[PartialObjectMetadata])
    dynamic = DynamicObject.of(Node)
    assert_type(await Api(client, dynamic).get("a"), DynamicObject)


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


async def subresources(
    pods: Api[Pod], nodes: Api[Node], deployments: Api[Deployment], accounts: Api[ServiceAccount]
) -> None:
    assert_type((await deployments.scale("a", 3)).spec.replicas, int | None)
    assert_type(await deployments.restart("a"), Deployment)
    assert_type(await nodes.cordon("a"), Node)
    assert_type((await accounts.create_token("a")).status.token, str | None)
    assert_type(await pods.entry("a").modify(lambda pod: pod.metadata.labels.clear()).commit(), Pod)
    async with pods.exec("a", ["ls"]) as process:
        assert_type(await process.communicate(), tuple[bytes, bytes, Exit])
    await nodes.evict("a")  # type: ignore[misc]
    await pods.restart("a")  # type: ignore[misc]
    await pods.cordon("a")  # type: ignore[misc]
    await pods.create_token("a")  # type: ignore[misc]
    await pods.create(complete(), dryrun=True)  # type: ignore[call-arg]
    await pods.create(complete(), field_validation="strict")  # type: ignore[arg-type]


class GadgetSpec(Model, kw_only=True):
    size: int


@crd.resource(group="example.com", version="v1")
class Widget(Namespaced, kw_only=True):
    spec: GadgetSpec


@crd.resource(group="example.com", version="v1")
class Gadget(Cluster, kw_only=True):
    spec: GadgetSpec


async def custom(widgets: Api[Widget]) -> None:
    assert_type((await widgets.get("a")).spec.size, int)
    Widget()  # type: ignore[call-arg]


async def generic(api: Api[K], seen: list[str]) -> AsyncIterator[K]:
    async for item in api.list():
        seen.append(item.metadata.name or item.resource.plural)
        yield item


def test_the_examples_of_correct_use_run() -> None:
    client: Any = None
    assert Api(client, Pod, namespace="default").namespace == "default"
    assert repr(Api(client, Node)) == "<Api of nodes>"
    assert complete().spec.containers[0].name == "c"
