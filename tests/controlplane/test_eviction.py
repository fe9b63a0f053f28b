"""Evictions and bindings: what a disruption budget allows is spent once, and a pod is bound to one node."""

from typing import Any

import aiohttp
import pytest

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
MERGE = {"Content-Type": "application/merge-patch+json"}
READY = [{"type": "Ready", "status": "True"}]


async def ask(
    admin: aiohttp.ClientSession, method: str, path: str, body: Json | None = None
) -> tuple[int, Json]:
    headers = MERGE if method == "PATCH" else {}
    async with admin.request(method, path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def pod(admin: aiohttp.ClientSession, name: str, phase: str = "Running", **status: Any) -> None:
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    code, _ = await ask(admin, "POST", PODS, {"metadata": {"name": name, "labels": {"a": "b"}}, "spec": spec})
    assert code == 201
    await ask(admin, "PATCH", f"{PODS}/{name}/status", {"status": {"phase": phase, **status}})


async def budget(
    admin: aiohttp.ClientSession, name: str = "b", spec: Json | None = None, **status: Any
) -> None:
    selector = {"selector": {"matchLabels": {"a": "b"}}}
    body = {"metadata": {"name": name}, "spec": {"minAvailable": 1, **selector, **(spec or {})}}
    await ask(admin, "POST", BUDGETS, body)
    status = {"observedGeneration": 1, "desiredHealthy": 1, **status}
    await ask(admin, "PATCH", f"{BUDGETS}/{name}/status", {"status": status})


async def evict(admin: aiohttp.ClientSession, name: str, query: str = "", **more: Any) -> tuple[int, Json]:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, **more}
    return await ask(admin, "POST", f"{PODS}/{name}/eviction{query}", body)


async def is_going(admin: aiohttp.ClientSession, name: str) -> bool:
    code, found = await ask(admin, "GET", f"{PODS}/{name}")
    return code == 404 or "deletionTimestamp" in found["metadata"]


async def test_each_disruption_is_spent_once(admin: aiohttp.ClientSession) -> None:
    for name in "pq":
        await pod(admin, name, conditions=READY)
    await budget(admin, disruptionsAllowed=1, currentHealthy=2)
    assert (await evict(admin, "p", "?dryRun=All"))[0] == 201
    assert not await is_going(admin, "p")
    assert (await evict(admin, "p"))[0] == 201
    assert await is_going(admin, "p")
    _, found = await ask(admin, "GET", f"{BUDGETS}/b")
    assert found["status"]["disruptionsAllowed"] == 0
    assert list(found["status"]["disruptedPods"]) == ["p"]
    assert [one["reason"] for one in found["status"]["conditions"]] == ["InsufficientPods"]
    code, refusal = await evict(admin, "q")
    assert (code, refusal["reason"]) == (429, "TooManyRequests")
    assert refusal["details"] == {
        "causes": [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget b needs 1 healthy pods and has 2 currently",
            }
        ]
    }
    assert not await is_going(admin, "q")


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
async def test_a_pod_that_does_not_run_disrupts_nothing(admin: aiohttp.ClientSession, phase: str) -> None:
    await pod(admin, "p", phase)
    await budget(admin)
    assert (await evict(admin, "p"))[0] == 201
    assert await is_going(admin, "p")


@pytest.mark.parametrize(
    ("spec", "status", "code"),
    [
        ({}, {"currentHealthy": 0}, 429),
        ({}, {"currentHealthy": 1}, 201),
        ({"unhealthyPodEvictionPolicy": "AlwaysAllow"}, {"currentHealthy": 0}, 201),
        ({"unhealthyPodEvictionPolicy": "IfHealthyBudget"}, {"currentHealthy": 0}, 429),
        ({}, {"observedGeneration": 0, "currentHealthy": 0, "disruptionsAllowed": 5}, 429),
    ],
)
async def test_a_pod_that_is_not_ready_goes_as_the_policy_says(
    admin: aiohttp.ClientSession, spec: Json, status: Json, code: int
) -> None:
    await pod(admin, "p")
    await budget(admin, spec=spec, **status)
    assert (await evict(admin, "p"))[0] == code
    assert await is_going(admin, "p") == (code == 201)


async def test_a_budget_that_is_not_judged_yet_says_so(admin: aiohttp.ClientSession) -> None:
    await pod(admin, "p", conditions=READY)
    await budget(admin, observedGeneration=0, disruptionsAllowed=1)
    _, refusal = await evict(admin, "p")
    assert refusal["details"]["retryAfterSeconds"] == 10
    [cause] = refusal["details"]["causes"]
    assert cause["message"] == "The disruption budget b is still being processed by the server."


async def test_several_budgets_are_one_too_many(admin: aiohttp.ClientSession) -> None:
    await pod(admin, "p", conditions=READY)
    await budget(admin, "b", disruptionsAllowed=1)
    await budget(admin, "c", disruptionsAllowed=1)
    code, refusal = await evict(admin, "p")
    assert (code, "more than one PodDisruptionBudget" in refusal["message"]) == (500, True)


async def test_an_eviction_is_of_the_pod_in_its_path_and_of_no_other_version(
    admin: aiohttp.ClientSession,
) -> None:
    await pod(admin, "p")
    assert (await evict(admin, "p", metadata={"name": "q"}))[0] == 400
    stale = {"preconditions": {"resourceVersion": "1"}}
    assert (await evict(admin, "p", deleteOptions=stale))[0] == 409
    assert not await is_going(admin, "p")


async def test_the_older_binding_names_the_pod_itself(admin: aiohttp.ClientSession) -> None:
    spec = {"containers": [{"name": "c", "image": "i"}]}
    await ask(admin, "POST", PODS, {"metadata": {"name": "p"}, "spec": spec})
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    code, answer = await ask(admin, "POST", "/api/v1/namespaces/default/bindings", binding)
    assert (code, answer["status"]) == (201, "Success")
    assert (await ask(admin, "GET", f"{PODS}/p"))[1]["spec"]["nodeName"] == "n"
    other = {**binding, "metadata": {"name": "q"}}
    assert (await ask(admin, "POST", f"{PODS}/p/binding", other))[0] == 400
    assert (await ask(admin, "POST", f"{PODS}/p/binding", binding))[0] == 409


async def test_a_bound_pod_says_where_its_node_is(admin: aiohttp.ClientSession) -> None:
    zone, region = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
    labels = {zone: "z", region: "r", "other": "o"}
    assert (await ask(admin, "POST", "/api/v1/nodes", {"metadata": {"name": "n", "labels": labels}}))[
        0
    ] == 201
    spec = {"containers": [{"name": "c", "image": "i"}]}
    for name in "ab":
        there = {"nodeName": "n"} if name == "b" else {}
        body = {"metadata": {"name": name, "labels": {"a": "b", zone: "x"}}, "spec": {**spec, **there}}
        assert (await ask(admin, "POST", PODS, body))[0] == 201
    _, found = await ask(admin, "GET", f"{PODS}/a")
    assert found["metadata"]["labels"] == {"a": "b", zone: "x"}
    bound = {"metadata": {"name": "a"}, "target": {"name": "n"}}
    assert (await ask(admin, "POST", f"{PODS}/a/binding", bound))[0] == 201
    for name in "ab":
        _, found = await ask(admin, "GET", f"{PODS}/{name}")
        assert found["metadata"]["labels"] == {"a": "b", zone: "z", region: "r"}
