"""Finalizers: put on and taken off only what was looked at, and cleaned up after before that."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from proa.kube import Api, ConflictError, InvalidRequestError, Merge, NotFoundError
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Action, Finalizer
from proa.runtime.testing import MemoryServer

MINE = Finalizer("example.com/mine")
OTHER = Finalizer("example.com/other")


@pytest.fixture
async def api() -> AsyncIterator[Api[ConfigMap]]:
    async with MemoryServer().client() as client:
        yield Api(client, ConfigMap, namespace="default")


async def made(api: Api[ConfigMap], *finalizers: str) -> ConfigMap:
    return await api.create(ConfigMap(metadata=ObjectMeta(name="a", finalizers=list(finalizers))))


async def test_it_is_put_on_once_beside_those_of_others(api: Api[ConfigMap]) -> None:
    obj = await MINE.add(api, await OTHER.add(api, await made(api)))
    assert obj.metadata.finalizers == [OTHER.name, MINE.name]
    assert await MINE.add(api, obj) is obj


async def test_what_others_have_done_meanwhile_is_never_undone(api: Api[ConfigMap]) -> None:
    seen = await made(api)
    await OTHER.add(api, seen)
    with pytest.raises(ConflictError, match="has changed since it was read"):
        await MINE.add(api, seen)
    both = await MINE.add(api, await api.get("a"))
    await OTHER.remove(api, both)
    with pytest.raises(ConflictError, match="has changed since it was read"):
        await MINE.remove(api, both)  # it stands at another place now
    assert (await api.get("a")).metadata.finalizers == [MINE.name]


async def test_another_object_of_the_name_is_left_alone(api: Api[ConfigMap]) -> None:
    old = await made(api, MINE.name)
    await MINE.remove(api, old)
    await api.delete("a")
    await made(api, MINE.name)
    with pytest.raises(ConflictError):
        await MINE.remove(api, old)
    assert MINE.stands_on(await api.get("a"))


async def test_cleaning_up_comes_before_letting_go_and_again_if_it_failed(api: Api[ConfigMap]) -> None:
    calls: list[str] = []
    broken = True

    async def apply(_obj: ConfigMap) -> Action:
        calls.append("apply")
        return Action.await_change()

    async def cleanup(_obj: ConfigMap) -> Action:
        calls.append("cleanup")
        if broken:
            raise RuntimeError("not yet")
        return Action.await_change()

    async def reconcile() -> Action:
        return await MINE.reconcile(api, await api.get("a"), apply=apply, cleanup=cleanup)

    await made(api)
    await reconcile()
    assert calls == []  # it stands on the object first
    await reconcile()
    await api.delete("a")
    with pytest.raises(RuntimeError, match="not yet"):
        await reconcile()
    assert MINE.stands_on(await api.get("a"))
    broken = False
    await reconcile()
    assert calls == ["apply", "cleanup", "cleanup"]
    with pytest.raises(NotFoundError):
        await api.get("a")


async def test_what_is_gone_needs_no_finalizer_taken_off(api: Api[ConfigMap]) -> None:
    obj = await made(api, MINE.name)
    await api.patch("a", Merge({"metadata": {"finalizers": []}}))
    await api.delete("a")
    assert await MINE.remove(api, obj) is None
    with pytest.raises(InvalidRequestError, match="is no finalizer such as"):
        Finalizer("cleanup")
