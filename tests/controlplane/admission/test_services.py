"""Services get what their type needs, and are told what they cannot have."""

from typing import Any

import aiohttp

Json = dict[str, Any]
SERVICES = "/api/v1/namespaces/default/services"
HEADLESS = {"clusterIP": "None"}


async def create(admin: aiohttp.ClientSession, name: str, **spec: Any) -> tuple[int, Json]:
    body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}
    async with admin.post(SERVICES, json=body) as response:
        return response.status, await response.json()


async def test_families_are_inferred_as_in_a_cluster_of_one_family(admin: aiohttp.ClientSession) -> None:
    cases: list[tuple[Json, list[str], str]] = [
        ({}, ["IPv4"], "SingleStack"),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4"], "PreferDualStack"),
        ({**HEADLESS, "selector": {"a": "b"}}, ["IPv4"], "SingleStack"),
        (HEADLESS, ["IPv4", "IPv6"], "RequireDualStack"),
        ({**HEADLESS, "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"], "RequireDualStack"),
        ({**HEADLESS, "ipFamilyPolicy": "SingleStack"}, ["IPv4"], "SingleStack"),
    ]
    for index, (spec, families, policy) in enumerate(cases):
        status, made = await create(admin, f"s{index}", **spec)
        assert status == 201, made
        assert (made["spec"]["ipFamilies"], made["spec"]["ipFamilyPolicy"]) == (families, policy), spec


async def test_what_a_service_cannot_have_is_named(admin: aiohttp.ClientSession) -> None:
    await create(admin, "first", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    node_port = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}
    cases: list[tuple[Json, list[str]]] = [
        ({"ipFamilyPolicy": "RequireDualStack"}, ["spec.ipFamilyPolicy"]),
        ({"ipFamilies": ["IPv6"]}, ["spec.ipFamilies[0]"]),
        ({"ipFamilies": ["IPv4", "IPv6"]}, ["spec.ipFamilyPolicy"]),
        ({"clusterIP": "fd00::1"}, ["spec.clusterIPs[0]"]),
        ({"clusterIP": "9.9.9.9"}, ["spec.clusterIPs"]),
        (node_port, ["spec.ports[0].nodePort"]),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}, ["spec.ports[0].nodePort"]),
        ({"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 0}]}, ["spec.ports[0].port"]),
    ]
    for spec, fields in cases:
        status, refused = await create(admin, "other", **spec)
        assert status == 422, refused
        assert sorted({cause["field"] for cause in refused["details"]["causes"]} - _FOLLOWING) == fields, spec


_FOLLOWING = {"spec.ports[0].targetPort"}


async def test_ports_of_nodes_are_given_where_they_are_needed(admin: aiohttp.ClientSession) -> None:
    both = [{"port": 53, "name": "a"}, {"port": 53, "name": "b", "protocol": "UDP"}]
    balanced = (await create(admin, "a", type="LoadBalancer", externalTrafficPolicy="Local", ports=both))[1]
    first, second = (port["nodePort"] for port in balanced["spec"]["ports"])
    assert first == second  # one number for both protocols
    assert balanced["spec"]["healthCheckNodePort"] not in {0, first}
    none = (await create(admin, "b", type="LoadBalancer", allocateLoadBalancerNodePorts=False))[1]
    assert "nodePort" not in none["spec"]["ports"][0]
    assert "healthCheckNodePort" not in none["spec"]
    patch = {"spec": {"externalTrafficPolicy": "Cluster"}}
    headers = {"Content-Type": "application/merge-patch+json"}
    async with admin.patch(f"{SERVICES}/a", json=patch, headers=headers) as response:
        changed = await response.json()
    assert "healthCheckNodePort" not in changed["spec"]
    assert [port["nodePort"] for port in changed["spec"]["ports"]] == [first, second]
