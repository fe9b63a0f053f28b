"""What is listened on for a Service, and who is chosen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proa.controlplane.network._balancer import Balancer
from proa.controlplane.network._routes import Backend, Frontend, Route, routes
from proa.kube.models.core_v1 import ClientIPConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig
from proa.kube.models.discovery_v1 import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from proa.kube.models.meta_v1 import ObjectMeta

A, B, C = (Backend(f"127.66.0.{number}", 8080) for number in (1, 2, 3))


def service(*ports: ServicePort, **spec: object) -> Service:
    values = {"cluster_ip": "127.67.0.9", "type": "ClusterIP", "ports": list(ports)} | spec
    return Service(metadata=ObjectMeta(name="web", namespace="default"), spec=ServiceSpec(**values))  # type: ignore[arg-type]


def part(*endpoints: Endpoint, port: int = 8080, name: str = "", protocol: str = "TCP") -> EndpointSlice:
    ports = [EndpointPort(name=name, port=port, protocol=protocol)]
    return EndpointSlice(address_type="IPv4", endpoints=list(endpoints), ports=ports)


def endpoint(
    number: int, *, ready: bool | None = True, serving: bool | None = None, terminating: bool | None = None
) -> Endpoint:
    conditions = EndpointConditions(ready=ready, serving=serving, terminating=terminating)
    return Endpoint(addresses=[f"127.66.0.{number}"], conditions=conditions)


HTTP = ServicePort(port=80, protocol="TCP")
TCP = Frontend("TCP", "127.67.0.9", 80)


def test_a_service_leads_to_its_ready_endpoints_over_all_slices() -> None:
    found = routes(
        service(HTTP), [part(endpoint(1), endpoint(2, ready=False)), part(endpoint(3, ready=None))]
    )
    assert found == {TCP: Route((A, C))}


def test_if_none_is_ready_those_that_end_but_still_serve_take_over() -> None:
    ending = part(endpoint(1, ready=False, serving=True, terminating=True), endpoint(2, ready=False))
    assert routes(service(HTTP), [ending]) == {TCP: Route((A,))}


def test_without_endpoints_nothing_is_listened_on() -> None:
    assert routes(service(HTTP), []) == {}
    assert routes(service(HTTP), [part(endpoint(1, ready=False))]) == {}


def test_ports_are_matched_by_name_and_protocol() -> None:
    several = service(
        ServicePort(name="web", port=80, protocol="TCP"), ServicePort(name="dns", port=53, protocol="UDP")
    )
    slices = [part(endpoint(1), name="web"), part(endpoint(2), name="dns", protocol="UDP", port=5353)]
    assert routes(several, slices) == {
        TCP: Route((A,)),
        Frontend("UDP", "127.67.0.9", 53): Route((Backend("127.66.0.2", 5353),)),
    }


def test_node_ports_listen_on_loopback_and_headless_services_on_nothing() -> None:
    exposed = service(ServicePort(port=80, node_port=30080), type="NodePort")
    assert Frontend("TCP", "127.0.0.1", 30080) in routes(exposed, [part(endpoint(1))])
    assert routes(service(HTTP, cluster_ip="None"), [part(endpoint(1))]) == {}
    assert routes(service(HTTP, type="ExternalName"), [part(endpoint(1))]) == {}


def test_affinity_is_three_hours_unless_it_says_else() -> None:
    kept = service(HTTP, session_affinity="ClientIP")
    assert routes(kept, [part(endpoint(1))])[TCP].affinity_seconds == 10800
    kept.spec.session_affinity_config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=60))
    assert routes(kept, [part(endpoint(1))])[TCP].affinity_seconds == 60


def test_connections_go_to_the_endpoints_in_turn() -> None:
    balancer = Balancer(Route((A, B, C)))
    assert [balancer.pick("me", 0) for _ in range(4)] == [A, B, C, A]


def test_an_endpoint_to_avoid_is_not_chosen() -> None:
    balancer = Balancer(Route((A, B)))
    assert balancer.pick("me", 0, {A}) == B
    assert balancer.pick("me", 0, {A, B}) is None


def test_a_client_keeps_its_endpoint_until_it_was_away_or_the_endpoint_is() -> None:
    balancer = Balancer(Route((A, B), affinity_seconds=10))
    first = balancer.pick("me", 0)
    assert first == A
    assert balancer.pick("other", 1) == B
    assert [balancer.pick("me", now) for now in (5, 14, 23)] == [A, A, A]
    assert balancer.pick("other", 40) == A
    balancer.update(Route((B,), affinity_seconds=10))
    assert balancer.pick("me", 24) == B


@given(st.lists(st.sampled_from([A, B, C]), unique=True, min_size=1), st.integers(1, 60))
def test_no_endpoint_gets_more_than_one_connection_more_than_another(
    backends: list[Backend], count: int
) -> None:
    balancer = Balancer(Route(tuple(backends)))
    picked = [balancer.pick("me", 0) for _ in range(count)]
    shares = [picked.count(one) for one in backends]
    assert max(shares) - min(shares) <= 1
