"""Webhooks and events against the embedded API server, as in a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proa.controlplane.testing import api_server, eventually
from proa.kube import Api, ApiError, Client, Config, InvalidError, crd
from proa.kube.models import Model, Namespaced
from proa.kube.models.apiextensions_v1 import CustomResourceDefinition
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.events_v1 import Event
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Recorder
from proa.runtime.admission import DeniedError, Request, Webhooks, WebhookServer
from proa.runtime.conditions import established, wait


class OldSpec(Model, kw_only=True):
    """How large, in words."""

    size: str = ""


class NewSpec(Model, kw_only=True):
    """How large, in numbers."""

    centimetres: int = 0


@crd.resource(group="example.com", version="v1", kind="Board")
class OldBoard(Namespaced, kw_only=True):
    """A board, as it was first described."""

    spec: OldSpec


@crd.resource(group="example.com", version="v2", kind="Board")
class Board(Namespaced, kw_only=True):
    """A board."""

    spec: NewSpec


hooks = Webhooks()


@hooks.validate(ConfigMap)
async def small(request: Request[ConfigMap]) -> None:
    """Refuse what is large."""
    request.warnings.append("looked at")
    if len(request.object.data) > 2:
        raise DeniedError("too many keys", code=422, reason="Invalid")


@hooks.mutate(ConfigMap, operations=["CREATE"])
async def tagged(request: Request[ConfigMap]) -> ConfigMap:
    """Say who made it."""
    request.object.metadata.labels["by"] = (request.user.username or "").replace(":", "-")
    request.object.metadata.finalizers += ["example.com/kept"]
    return request.object


@hooks.convert(OldBoard, Board)
def grown(old: OldBoard) -> Board:
    """From words to numbers."""
    number, _, unit = old.spec.size.partition(" ")
    if unit != "cm":
        raise DeniedError(f"no such unit: {unit}")
    return Board(metadata=old.metadata, spec=NewSpec(centimetres=int(number)))


@hooks.convert(Board, OldBoard)
def spelled(new: Board) -> OldBoard:
    """From numbers to words."""
    return OldBoard(metadata=new.metadata, spec=OldSpec(size=f"{new.spec.centimetres} cm"))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with (
        api_server(tmp_path) as server,
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
    ):
        yield client


async def test_webhooks_validate_change_and_convert_also_after_the_certificate_was_replaced(
    client: Client,
) -> None:
    definitions = Api(client, CustomResourceDefinition)
    definition = await definitions.create(crd.definition(OldBoard, Board, storage=Board))
    await wait(definitions, definition.metadata.name or "", established(), timeout=20)
    async with WebhookServer(client, "hooks.example.com", hooks) as server:
        for name in ("before", "after"):
            await check_admission(client, name)
            await check_conversion(client, name)
            await server.rotate()


async def check_admission(client: Client, name: str) -> None:
    warnings: list[str] = []
    async with Client(client.config, on_warning=warnings.append) as warned:
        configs = Api(warned, ConfigMap, namespace="default")
        made = await configs.create(ConfigMap(metadata=ObjectMeta(name=name), data={"a": "1"}))
        assert made.metadata.labels == {"by": "admin"}
        assert made.metadata.finalizers == ["example.com/kept"]
        assert warnings == ["looked at"]
        with pytest.raises(InvalidError, match="too many keys"):
            await configs.create(ConfigMap(metadata=ObjectMeta(name="large"), data=dict.fromkeys("abc", "")))
        assert await configs.get_opt("large") is None


async def check_conversion(client: Client, name: str) -> None:
    old = Api(client, OldBoard, namespace="default")
    new = Api(client, Board, namespace="default")
    await old.create(OldBoard(metadata=ObjectMeta(name=name), spec=OldSpec(size="3 cm")))
    assert (await new.get(name)).spec.centimetres == 3
    assert (await old.get(name)).spec.size == "3 cm"
    with pytest.raises(ApiError, match="no such unit: feet"):
        await old.create(OldBoard(metadata=ObjectMeta(name="wrong"), spec=OldSpec(size="3 feet")))


async def test_events_are_recorded_as_the_newer_api_has_them(client: Client) -> None:
    config = await Api(client, ConfigMap, namespace="default").create(
        ConfigMap(metadata=ObjectMeta(name="a"))
    )
    events = Api(client, Event, namespace="default")

    async def seen() -> list[Event]:
        return [event async for event in events.list()]

    async with Recorder(client, "tester") as recorder:
        for _ in range(3):
            recorder.event(config, reason="Copied", message="copied it")
        (event,) = await eventually(
            seen, lambda found: bool(found) and found[0].series is not None and found[0].series.count >= 3
        )
    assert event.regarding is not None
    assert (event.regarding.kind, event.regarding.name) == ("ConfigMap", "a")
    assert (event.reason, event.note, event.reporting_controller) == ("Copied", "copied it", "tester")
