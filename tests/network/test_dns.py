"""What the cluster's name server answers, also to those who mean it ill."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.controlplane.network._dns import DnsServer, respond
from proa.controlplane.network._names import View
from proa.kube.models.core_v1 import Service, ServicePort, ServiceSpec
from proa.kube.models.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from proa.kube.models.meta_v1 import ObjectMeta


def service(name: str, **spec: object) -> Service:
    ports = [ServicePort(name="http", port=80, protocol="TCP")]
    values = {"cluster_ip": "127.67.0.9", "ports": ports} | spec
    return Service(metadata=ObjectMeta(name=name, namespace="shop"), spec=ServiceSpec(**values))  # type: ignore[arg-type]


def endpoint(number: int, *, ready: bool = True, hostname: str | None = None) -> Endpoint:
    conditions = EndpointConditions(ready=ready)
    return Endpoint(addresses=[f"127.66.0.{number}"], conditions=conditions, hostname=hostname)


SERVICES = {
    "web": service("web"),
    "db": service("db", cluster_ip="None"),
    "all": service("all", cluster_ip="None", publish_not_ready_addresses=True),
    "far": service("far", type="ExternalName", cluster_ip=None, external_name="db.example.org"),
    "many": service("many", cluster_ip="None"),
}
ENDPOINTS = {
    "db": [endpoint(1, hostname="db-0"), endpoint(2), endpoint(3, ready=False)],
    "all": [endpoint(3, ready=False)],
    "many": [endpoint(number) for number in range(1, 200)],
}


def slices(of: Service) -> list[EndpointSlice]:
    name = of.metadata.name or ""
    ports = [EndpointPort(name="http", port=8080, protocol="TCP")]
    metadata = ObjectMeta(namespace="shop", labels={"kubernetes.io/service-name": name})
    return [
        EndpointSlice(metadata=metadata, address_type="IPv4", endpoints=ENDPOINTS.get(name, []), ports=ports)
    ]


def slices_at(address: str) -> list[EndpointSlice]:
    found = [part for one in SERVICES.values() for part in slices(one)]
    return [part for part in found if any(address in one.addresses for one in part.endpoints)]


VIEW = View(
    service=lambda name, namespace: SERVICES.get(name) if namespace == "shop" else None,
    slices=slices,
    services_at=lambda address: [one for one in SERVICES.values() if one.spec.cluster_ip == address],
    slices_at=slices_at,
    has_namespace=lambda namespace: namespace == "shop",
)


def ask(name: str, kind: str = "A", limit: int | None = None) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    answer = respond(query.to_wire(), VIEW, limit)
    assert answer is not None
    return dns.message.from_wire(answer)


def answers(name: str, kind: str = "A") -> set[str]:
    return {str(item) for rrset in ask(name, kind).answer for item in rrset}


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.shop.svc.cluster.local", "A", {"127.67.0.9"}),
        ("WEB.Shop.SVC.cluster.LOCAL", "A", {"127.67.0.9"}),
        ("db.shop.svc.cluster.local", "A", {"127.66.0.1", "127.66.0.2"}),
        ("all.shop.svc.cluster.local", "A", {"127.66.0.3"}),
        ("db-0.db.shop.svc.cluster.local", "A", {"127.66.0.1"}),
        ("127-66-0-2.db.shop.svc.cluster.local", "A", {"127.66.0.2"}),
        ("far.shop.svc.cluster.local", "A", {"db.example.org."}),
        ("_http._tcp.web.shop.svc.cluster.local", "SRV", {"0 100 80 web.shop.svc.cluster.local."}),
        (
            "_http._tcp.db.shop.svc.cluster.local",
            "SRV",
            {
                "0 100 8080 db-0.db.shop.svc.cluster.local.",
                "0 100 8080 127-66-0-2.db.shop.svc.cluster.local.",
            },
        ),
        ("127-66-0-7.shop.pod.cluster.local", "A", {"127.66.0.7"}),
        ("dns-version.cluster.local", "TXT", {'"1.1.0"'}),
        ("9.0.67.127.in-addr.arpa", "PTR", {"web.shop.svc.cluster.local."}),
        (
            "1.0.66.127.in-addr.arpa",
            "PTR",
            {"db-0.db.shop.svc.cluster.local.", "127-66-0-1.many.shop.svc.cluster.local."},
        ),
        (
            "3.0.66.127.in-addr.arpa",
            "PTR",
            {"127-66-0-3.all.shop.svc.cluster.local.", "127-66-0-3.many.shop.svc.cluster.local."},
        ),
    ],
)
def test_names_have_the_records_of_the_specification(name: str, kind: str, expected: set[str]) -> None:
    assert answers(name, kind) == expected


@pytest.mark.parametrize(
    "name",
    [
        "none.shop.svc.cluster.local",
        "web.none.svc.cluster.local",
        "x.web.shop.svc.cluster.local",
        "_https._tcp.web.shop.svc.cluster.local",
        "1-2-3.shop.pod.cluster.local",
        "1.1.66.127.in-addr.arpa",
        "nothing.cluster.local",
    ],
)
def test_what_there_is_not_does_not_exist_and_says_for_how_long(name: str) -> None:
    answer = ask(name, "PTR" if name.endswith("arpa") else "A")
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert answer.authority[0].rdtype == dns.rdatatype.SOA


@pytest.mark.parametrize("name", ["web.shop.svc.cluster.local", "shop.svc.cluster.local", "cluster.local"])
def test_a_name_without_that_type_exists_all_the_same(name: str) -> None:
    answer = ask(name, "AAAA")
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert answer.flags & dns.flags.AA


def test_other_names_are_for_other_servers() -> None:
    assert ask("example.org").rcode() == dns.rcode.REFUSED


def test_an_answer_too_long_for_a_datagram_says_so() -> None:
    short = ask("many.shop.svc.cluster.local", limit=1232)
    assert short.flags & dns.flags.TC
    assert short.answer == []
    whole = ask("many.shop.svc.cluster.local")
    assert len(whole.answer[0]) == 199


def test_the_order_changes_from_answer_to_answer() -> None:
    first = {str(ask("many.shop.svc.cluster.local").answer[0][0]) for _ in range(20)}
    assert len(first) > 1


@given(st.binary(max_size=200))
def test_nothing_that_comes_makes_it_fail(data: bytes) -> None:
    respond(data, VIEW, 1232)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6))
def test_a_damaged_query_is_answered_or_dropped(changes: list[tuple[int, int]]) -> None:
    query = bytearray(dns.message.make_query("web.shop.svc.cluster.local", "A", use_edns=0).to_wire())
    for position, value in changes:
        query[position % len(query)] = value
    answer = respond(bytes(query), VIEW, 1232)
    assert answer is None or answer[:2] == bytes(query[:2])


def test_an_answer_is_not_answered() -> None:
    query = dns.message.make_query("web.shop.svc.cluster.local", "A")
    answer = respond(query.to_wire(), VIEW)
    assert answer is not None
    assert respond(answer, VIEW) is None


async def test_it_answers_over_udp_and_over_tcp_when_that_is_too_small(stack: AsyncExitStack) -> None:
    server = await stack.enter_async_context(DnsServer(VIEW))
    query = dns.message.make_query("many.shop.svc.cluster.local", "A")
    small = await dns.asyncquery.udp(query, server.host, timeout=5, port=server.port)
    assert small.flags & dns.flags.TC
    whole = await dns.asyncquery.tcp(query, server.host, timeout=5, port=server.port)
    assert len(whole.answer[0]) == 199


async def test_a_silent_tcp_client_does_not_hold_up_the_end(stack: AsyncExitStack) -> None:
    async with DnsServer(VIEW) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"\x00")
        await writer.drain()
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    with suppress(ConnectionResetError):
        await writer.wait_closed()
