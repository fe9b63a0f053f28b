"""What a reflector keeps and how it is found: indexes, selectors, transforms, metadata, streamed lists."""

from __future__ import annotations

import asyncio

import pytest

from proa.app.testing import virtual_time
from proa.kube import Api, ConnectError, InvalidError, InvalidRequestError
from proa.kube.models import PartialObjectMetadata
from proa.kube.models.core_v1 import ConfigMap, Container, Pod, PodSpec
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference, Status
from proa.runtime import Reflector, indexes
from proa.runtime.testing import FakeSource, MemoryServer


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def pod(name: str, node: str | None = None, namespace: str = "default", **labels: str) -> Pod:
    owners = [
        OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="web", uid="u1", controller=True),
        OwnerReference(api_version="v1", kind="ConfigMap", name="c", uid="u2"),
    ]
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace, labels=labels, owner_references=owners),
        spec=PodSpec(node_name=node, containers=[Container(name="c")]),
    )


@virtual_time
async def test_objects_are_found_by_owner_node_namespace_and_label() -> None:
    source = FakeSource(Pod)
    await source.put(pod("a", "n1", app="web"), pod("b", "n1"), pod("c", namespace="team", app="db"))
    async with Reflector(source) as reflector:
        store = reflector.store
        nodes, apps = store.index(indexes.by_node), store.index(indexes.by_label("app"))
        owners, controllers = store.index(indexes.by_owner), store.index(indexes.by_controller)
        namespaces = store.index(indexes.by_namespace)
        await store.ready()
        assert [len(nodes[name]) for name in ("n1", "n2", "")] == [2, 0, 0]
        assert apps.values() == {"web", "db"}
        assert (len(owners["u2"]), len(controllers["u1"]), len(controllers["u2"])) == (3, 3, 0)
        assert [obj.metadata.name for obj in namespaces["team"]] == ["c"]
        await source.put(pod("b", "n2", app="web"))
        await settle()
        assert [obj.metadata.name for obj in nodes["n2"]] == ["b"]
        assert len(apps["web"]) == 2


@virtual_time
async def test_objects_are_filtered_by_selector() -> None:
    source = FakeSource(Pod)
    await source.put(pod("a", app="web"), pod("b", app="db"), pod("c", namespace="team", app="web"))
    async with Reflector(source) as reflector:
        await reflector.store.ready()
        names = [obj.metadata.name for obj in reflector.store.select("app in (web)")]
        assert names == ["a", "c"]
        assert [obj.metadata.name for obj in reflector.store.select("app=web", "team")] == ["c"]
        with pytest.raises(InvalidRequestError):
            reflector.store.select("app in")


@virtual_time
async def test_a_transform_drops_what_is_not_needed_before_anything_keeps_it() -> None:
    def slim(obj: ConfigMap) -> ConfigMap:
        obj.data = {}
        return obj

    server = MemoryServer()
    async with server.client() as client:
        configs = Api(client, ConfigMap, namespace="default")
        await configs.create(ConfigMap(metadata=ObjectMeta(name="a"), data={"large": "x" * 1000}))
        async with Reflector(configs, transform=slim) as reflector:
            await reflector.store.ready()
            await configs.create(ConfigMap(metadata=ObjectMeta(name="b"), data={"large": "x" * 1000}))
            await settle()
            assert [(obj.metadata.name, obj.data) for obj in reflector.store] == [("a", {}), ("b", {})]


@virtual_time
async def test_a_reflector_of_metadata_keeps_no_more_than_that() -> None:
    server = MemoryServer()
    async with server.client() as client:
        configs = Api(client, ConfigMap, namespace="default")
        metadata = Api(client, PartialObjectMetadata.of(ConfigMap), namespace="default")
        await configs.create(ConfigMap(metadata=ObjectMeta(name="a", labels={"x": "y"}), data={"k": "v"}))
        async with Reflector(metadata) as reflector:
            await reflector.store.ready()
            await configs.create(ConfigMap(metadata=ObjectMeta(name="b")))
            await settle()
            assert [obj.metadata.name for obj in reflector.store] == ["a", "b"]
            first = reflector.store.get("a", "default")
            assert first is not None
            assert first.metadata.labels == {"x": "y"}
            assert not hasattr(first, "data")
    assert all(
        "PartialObjectMetadata" in request.accept for request in server.requests if request.method == "GET"
    )


@virtual_time
async def test_a_streamed_list_needs_one_watch_and_no_list() -> None:
    source = FakeSource(ConfigMap)
    await source.put(ConfigMap(metadata=ObjectMeta(name="a")), ConfigMap(metadata=ObjectMeta(name="b")))
    async with Reflector(source, streaming=True) as reflector:
        await reflector.store.ready()
        assert len(reflector.store) == 2
        await source.remove("a")
        await settle()
        assert len(reflector.store) == 1
        assert source.requests == {"list": 0, "watch": 1}
        await source.end(ConnectError("reset"))
        await asyncio.sleep(60)
        await source.put(ConfigMap(metadata=ObjectMeta(name="c")))
        await settle()
        assert source.requests == {"list": 0, "watch": 2}
        assert len(reflector.store) == 2


@virtual_time
async def test_a_streamed_list_that_was_cut_begins_anew_and_never_shows_half() -> None:
    server = MemoryServer()
    async with server.client() as client:
        configs = Api(client, ConfigMap, namespace="default")
        for number in range(5):
            await configs.create(ConfigMap(metadata=ObjectMeta(name=f"c{number}")))
        async with Reflector(configs, streaming=True) as reflector:
            await reflector.store.ready()
            server.stop()
            await asyncio.sleep(5)
            server.forget()
            server.start()
            await configs.delete("c0")
            server.forget()
            for _ in range(600):
                await asyncio.sleep(0.1)
                assert len(reflector.store) in {4, 5}
            assert len(reflector.store) == 4
    assert not any("limit" in request.query for request in server.requests)


@virtual_time
async def test_a_server_that_streams_no_lists_is_asked_for_pages() -> None:
    source = FakeSource(ConfigMap)
    refusal = Status(status="Failure", code=422, reason="Invalid", message="sendInitialEvents: Forbidden")
    source.failures.append(InvalidError(refusal))
    await source.put(ConfigMap(metadata=ObjectMeta(name="a")))
    async with Reflector(source, streaming=True) as reflector:
        await reflector.store.ready()
        await settle()
        assert source.requests == {"list": 1, "watch": 2}
