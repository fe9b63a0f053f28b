"""Events are recorded once, counted, and never in the way."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from proa.app.testing import virtual_time
from proa.kube import Api, ConnectError
from proa.kube.models.core_v1 import Event, Node, ObjectReference, Pod
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.testing import Answer, ScriptedTransport, answer, scripted_client, status
from proa.runtime import Recorder
from proa.runtime.testing import MemoryServer

POD = Pod(metadata=ObjectMeta(name="web", namespace="team", uid="u1"))


def done() -> Answer:
    return answer(Event(metadata=ObjectMeta(name="web.1", namespace="team")))


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def body(transport: ScriptedTransport, number: int = -1) -> Any:
    return msgspec.json.decode(transport.requests[number].body or b"")


@virtual_time
async def test_an_event_says_who_saw_what_about_whom() -> None:
    transport = ScriptedTransport(done())
    async with scripted_client(transport) as client, Recorder(client, "kubelet", host="node-1") as recorder:
        recorder.event(POD, reason="Pulled", message="Successfully pulled image", action="Pull")
    (request,) = transport.requests
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/team/events")
    sent = body(transport)
    assert sent["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "team",
        "name": "web",
        "uid": "u1",
    }
    assert (sent["type"], sent["reason"], sent["count"]) == ("Normal", "Pulled", 1)
    assert sent["source"] == {"component": "kubelet", "host": "node-1"}
    assert sent["firstTimestamp"] == sent["lastTimestamp"]


@virtual_time
async def test_the_same_again_raises_the_count_of_the_first() -> None:
    transport = ScriptedTransport(done(), done())
    async with scripted_client(transport) as client, Recorder(client, "kubelet") as recorder:
        recorder.event(POD, type="Warning", reason="BackOff", message="Back-off restarting")
        await settle()
        recorder.event(POD, type="Warning", reason="BackOff", message="Back-off restarting")
        recorder.event(POD, type="Warning", reason="BackOff", message="Back-off restarting")
    assert [request.method for request in transport.requests] == ["POST", "PATCH"]
    assert transport.requests[1].path.rsplit("/", 1)[1] == body(transport, 0)["metadata"]["name"]
    assert body(transport)["count"] == 3


@virtual_time
async def test_an_event_that_expired_on_the_server_begins_anew() -> None:
    transport = ScriptedTransport(done(), status(404, "NotFound"), done())
    async with scripted_client(transport) as client, Recorder(client, "kubelet") as recorder:
        for _ in range(2):
            recorder.event(POD, reason="Pulled", message="again")
            await settle()
    assert [request.method for request in transport.requests] == ["POST", "PATCH", "POST"]


@virtual_time
async def test_events_of_cluster_scoped_objects_are_kept_in_default() -> None:
    transport = ScriptedTransport(done())
    async with scripted_client(transport) as client, Recorder(client, "kubelet") as recorder:
        recorder.event(
            Node(metadata=ObjectMeta(name="node-1")), reason="Starting", message="Starting kubelet."
        )
    assert transport.requests[0].path == "/api/v1/namespaces/default/events"


@virtual_time
async def test_a_reference_can_name_one_container() -> None:
    transport = ScriptedTransport(done())
    reference = ObjectReference(kind="Pod", name="web", namespace="team", field_path="spec.containers{main}")
    async with scripted_client(transport) as client, Recorder(client, "kubelet") as recorder:
        recorder.event(reference, reason="Started", message="Started container main")
    assert body(transport)["involvedObject"]["fieldPath"] == "spec.containers{main}"


@virtual_time
async def test_a_server_that_is_away_for_a_while_loses_nothing() -> None:
    transport = ScriptedTransport(ConnectError("refused"), status(503, "ServiceUnavailable"), done())
    async with scripted_client(transport) as client, Recorder(client, "kubelet") as recorder:
        recorder.event(POD, reason="Pulled", message="once")
        await asyncio.sleep(60)
        assert recorder.dropped == 0
    assert len(transport.requests) == 3


@virtual_time
async def test_a_refusal_is_final_and_the_next_event_is_recorded_all_the_same() -> None:
    transport = ScriptedTransport(status(403, "Forbidden"), done())
    async with scripted_client(transport) as client, Recorder(client, "kubelet") as recorder:
        recorder.event(POD, reason="One", message="one")
        recorder.event(POD, reason="Two", message="two")
        await settle()
        assert recorder.dropped == 1
    assert body(transport)["reason"] == "Two"


@virtual_time
async def test_a_flood_is_bounded_and_leaving_does_not_wait_for_a_server_that_is_gone() -> None:
    transport = ScriptedTransport(*(ConnectError("refused") for _ in range(100)))
    async with scripted_client(transport) as client:
        async with Recorder(client, "kubelet", capacity=10) as recorder:
            for number in range(100):
                recorder.event(POD, reason="Flood", message=str(number))
            assert recorder.dropped == 90
        assert asyncio.get_running_loop().time() == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_what_happens_again_is_a_series_for_new_readers_and_a_count_for_old_ones() -> None:
    server = MemoryServer()
    async with server.client() as client, Recorder(client, "kubelet", host="n1") as recorder:
        for _ in range(3):
            recorder.event(POD, reason="BackOff", message="Back-off restarting")
            await settle()
        (event,) = [item async for item in Api(client, Event, namespace="team").list()]
        assert event.series is not None
        assert (event.series.count, event.count, event.action) == (3, 3, "BackOff")
        assert event.event_time is not None
        assert event.series.last_observed_time is not None
        assert event.event_time <= event.series.last_observed_time
        assert (event.reporting_component, event.reporting_instance) == ("kubelet", "n1")


@virtual_time
async def test_an_object_about_which_too_much_is_said_does_not_flood_the_server() -> None:
    server = MemoryServer()
    async with server.client() as client, Recorder(client, "kubelet") as recorder:
        for number in range(100):
            recorder.event(POD, reason="Odd", message=f"number {number}")
        recorder.event(Node(metadata=ObjectMeta(name="n1")), reason="Odd", message="once")
        await settle()
        assert recorder.dropped == 75
        await asyncio.sleep(900)
        for number in range(100, 110):
            recorder.event(POD, reason="Odd", message=f"number {number}")
    assert len(server.documents("events")) == 25 + 1 + 3
