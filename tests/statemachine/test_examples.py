"""The operators in examples/operators do what they say."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from proa.app.testing import virtual_time
from proa.kube import Api, Merge
from proa.kube.models.core_v1 import ConfigMap, Event
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime.testing import MemoryServer
from proa.statemachine import Cell, mermaid, svg

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    name = f"proa_example_{request.param}"
    path = ROOT / "examples" / "operators" / f"{request.param}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.mark.parametrize("example", ["moose"], indirect=True)
def test_moose_roam_eat_and_sleep_until_they_are_released(example: ModuleType) -> None:
    @virtual_time
    async def scenario() -> None:
        server, herd = MemoryServer(), Cell(example.Herd())
        async with server.client() as client:
            moose = Api(client, example.Moose, namespace="default")
            for name in ("bulle", "erika"):
                await moose.create(example.Moose(metadata=ObjectMeta(name=name)))
            seen = set()
            async with example.operator(client, herd):
                for _ in range(100):
                    await asyncio.sleep(0.5)
                    seen.add((await moose.get("bulle")).status.phase)
                assert {"Roaming", "Eating", "Sleeping"} <= seen
                await moose.delete("bulle")
                await asyncio.sleep(1)
                assert await moose.get_opt("bulle") is None
                assert "bulle" not in herd.value.awake
            async with example.operator(client, herd):
                await asyncio.sleep(10)
                assert (await moose.get("erika")).status.phase in seen

    scenario()
    assert "Hungry --> Eating" in mermaid(example.MOOSE)
    assert (ROOT / "docs" / "moose.svg").read_text() == svg(example.MOOSE)


@pytest.mark.parametrize("example", ["foo"], indirect=True)
def test_foos_are_published_unless_they_are_bad(example: ModuleType) -> None:
    @virtual_time
    async def scenario() -> None:
        server = MemoryServer()
        async with server.client() as client, example.FooController(client).running():
            foos = Api(client, example.Foo, namespace="default")
            configs = Api(client, ConfigMap, namespace="default")
            await foos.create(example.Foo(metadata=ObjectMeta(name="a"), spec=example.FooSpec(info="hello")))
            await foos.create(example.Foo(metadata=ObjectMeta(name="b"), spec=example.FooSpec(info="bad")))
            await asyncio.sleep(1)
            assert (await configs.get("foo-a")).data == {"info": "hello"}
            assert await configs.get_opt("foo-b") is None
            assert [(await foos.get(name)).status.is_bad for name in "ab"] == [False, True]
            await foos.patch("a", Merge({"spec": {"info": "hello again"}}))
            await configs.patch("foo-a", Merge({"data": {"info": "tampered"}}))
            await asyncio.sleep(1)
            assert (await configs.get("foo-a")).data == {"info": "hello again"}
            (event,) = [event async for event in Api(client, Event, namespace="default").list()]
            assert event.reason == "BadInfo"

    scenario()
