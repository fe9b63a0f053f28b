"""What only whole requests show: versions that must be named, subresources, changes of type."""

from typing import Any

import aiohttp

Json = dict[str, Any]
DEFAULT = "/api/v1/namespaces/default"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "m", "image": "i"}]}}


async def send(
    session: aiohttp.ClientSession, method: str, path: str, body: Json, code: int, *, strategic: bool = False
) -> Json:
    kind = "strategic-merge-patch" if strategic else "merge-patch"
    headers = {"Content-Type": f"application/{kind}+json"} if method == "PATCH" else {}
    async with session.request(method, path, json=body, headers=headers) as response:
        answer: Json = await response.json()
        assert response.status == code, answer
    return answer


def causes(status: Json) -> list[tuple[str, str]]:
    return [(cause["reason"], cause["field"]) for cause in status["details"]["causes"]]


async def test_some_kinds_are_replaced_only_by_who_names_the_version(admin: aiohttp.ClientSession) -> None:
    lease = {"metadata": {"name": "l"}, "spec": {}}
    made = await send(admin, "POST", LEASES, lease, 201)
    refused = await send(admin, "PUT", f"{LEASES}/l", lease, 422)
    assert causes(refused) == [("FieldValueInvalid", "metadata.resourceVersion")]
    assert refused["details"]["kind"] == "leases"
    await send(admin, "PUT", f"{LEASES}/l", made, 200)
    await send(admin, "PATCH", f"{LEASES}/l", {"spec": {"holderIdentity": "me"}}, 200)


async def test_ephemeral_containers_do_not_go_again(admin: aiohttp.ClientSession) -> None:
    await send(admin, "POST", f"{DEFAULT}/pods", POD, 201)
    path, debug = f"{DEFAULT}/pods/p/ephemeralcontainers", {"name": "d", "image": "i"}
    await send(admin, "PATCH", path, {"spec": {"ephemeralContainers": [debug]}}, 200, strategic=True)
    refused = await send(admin, "PATCH", path, {"spec": {"ephemeralContainers": None}}, 422)
    assert causes(refused) == [("FieldValueForbidden", "spec.ephemeralContainers")]


async def test_a_binding_names_a_node(admin: aiohttp.ClientSession) -> None:
    await send(admin, "POST", f"{DEFAULT}/pods", POD, 201)
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Cat"}}
    refused = await send(admin, "POST", f"{DEFAULT}/pods/p/binding", binding, 422)
    assert causes(refused) == [
        ("FieldValueRequired", "target.name"),
        ("FieldValueNotSupported", "target.kind"),
    ]


async def test_a_service_that_becomes_another_type_drops_what_that_has_not(
    admin: aiohttp.ClientSession,
) -> None:
    service = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    made = await send(admin, "POST", f"{DEFAULT}/services", service, 201)
    assert made["spec"]["ports"][0]["nodePort"]
    plain = await send(admin, "PATCH", f"{DEFAULT}/services/s", {"spec": {"type": "ClusterIP"}}, 200)
    assert "nodePort" not in plain["spec"]["ports"][0]
    assert "externalTrafficPolicy" not in plain["spec"]
    assert plain["spec"]["clusterIP"] == made["spec"]["clusterIP"]
    outside = {"spec": {"type": "ExternalName", "externalName": "a.example"}}
    named = await send(admin, "PATCH", f"{DEFAULT}/services/s", outside, 200)
    assert "clusterIP" not in named["spec"]


async def test_an_event_of_the_newer_group_stays_what_it_is(admin: aiohttp.ClientSession) -> None:
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    event = {"metadata": {"name": "e"}, "reason": "r", "type": "Odd"}
    refused = await send(admin, "POST", path, event, 422)
    assert causes(refused) == [("FieldValueRequired", "eventTime"), ("FieldValueInvalid", "type")]
    event |= {"type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z", "action": "a"}
    event |= {"reportingController": "a.example/c", "reportingInstance": "i"}
    event["regarding"] = {"kind": "Pod", "name": "p", "namespace": "default"}
    await send(admin, "POST", path, event, 201)
    series = {"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}}
    await send(admin, "PATCH", f"{path}/e", series, 200)
    refused = await send(admin, "PATCH", f"{path}/e", {"note": "other"}, 422)
    assert causes(refused) == [("FieldValueInvalid", "message")]
