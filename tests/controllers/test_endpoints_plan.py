"""What a Service's EndpointSlices and Endpoints say of its pods."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from proa.controlplane.controllers._endpoints_plan import (
    MANAGED_BY,
    SERVICE_NAME,
    endpoints,
    mirrored,
    plan,
    slices,
)
from proa.kube.models.core_v1 import (
    Container,
    ContainerPort,
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Pod,
    PodCondition,
    PodSpec,
    PodStatus,
    Service,
    ServicePort,
    ServiceSpec,
)
from proa.kube.models.meta_v1 import ObjectMeta

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def service(*ports: ServicePort, **spec: object) -> Service:
    values = {"ports": list(ports) or [ServicePort(port=80)], "cluster_ip": "127.67.0.9"} | spec
    metadata = ObjectMeta(name="web", namespace="default", uid="svc", labels={"team": "a"})
    return Service(metadata=metadata, spec=ServiceSpec(**values))  # type: ignore[arg-type]


def pod(
    number: int, *, ready: bool = True, going: bool = False, phase: str = "Running", port: int = 8080
) -> Pod:
    container = Container(
        name="main", ports=[ContainerPort(name="http", container_port=port, protocol="TCP")]
    )
    conditions = [PodCondition(type="Ready", status=str(ready))]
    return Pod(
        metadata=ObjectMeta(
            name=f"p{number}",
            namespace="default",
            uid=f"u{number:04}",
            deletion_timestamp=NOW if going else None,
        ),
        spec=PodSpec(containers=[container], node_name="n"),
        status=PodStatus(
            phase=phase, pod_ip=f"127.66.{number // 250}.{number % 250 + 1}", conditions=conditions
        ),
    )


def test_an_endpoint_says_whether_it_is_ready_serves_and_ends() -> None:
    (part,) = slices(service(), [pod(1), pod(2, ready=False), pod(3, going=True), pod(4, phase="Failed")])
    states = [
        (one.conditions.ready, one.conditions.serving, one.conditions.terminating) for one in part.endpoints
    ]
    assert states == [(True, True, False), (False, False, False), (False, True, True)]
    assert part.metadata.labels == {
        "team": "a",
        SERVICE_NAME: "web",
        MANAGED_BY: "endpointslice-controller.k8s.io",
    }
    target = part.endpoints[0].target_ref
    assert target is not None
    assert (target.kind, target.name, part.endpoints[0].node_name) == ("Pod", "p1", "n")


def test_a_pod_without_an_address_is_no_endpoint() -> None:
    young = pod(1)
    young.status.pod_ip = None
    assert slices(service(), [young]) == []


def test_pods_that_are_not_ready_are_published_where_the_service_says_so() -> None:
    (part,) = slices(service(publish_not_ready_addresses=True), [pod(1, ready=False)])
    assert part.endpoints[0].conditions.ready is True


def test_a_named_port_is_looked_up_in_each_pod_and_pods_of_equal_ports_share_slices() -> None:
    named = service(ServicePort(name="web", port=80, target_port="http", protocol="TCP"))
    parts = slices(named, [pod(1), pod(2, port=9090), pod(3)])
    assert sorted((part.ports[0].port or 0, len(part.endpoints)) for part in parts) == [(8080, 2), (9090, 1)]
    lacking = slices(service(ServicePort(name="web", port=80, target_port="grpc")), [pod(1)])
    assert lacking[0].ports == []


def test_a_pod_of_the_service_s_subdomain_has_a_name() -> None:
    named = pod(1)
    named.spec.hostname, named.spec.subdomain = "web-0", "web"
    (part,) = slices(service(cluster_ip="None"), [named, pod(2)])
    assert [one.hostname for one in part.endpoints] == ["web-0", None]
    assert part.metadata.labels["service.kubernetes.io/headless"] == ""


@given(st.integers(0, 450), st.integers(0, 450))
def test_from_any_number_of_pods_to_any_other_the_slices_end_up_right_and_writes_stop(
    before: int, after: int
) -> None:
    present = list(plan(slices(service(), map(pod, range(before))), []).create)
    todo = plan(slices(service(), map(pod, range(after))), present)
    kept = {one.metadata.name: one for one in present}
    for one in todo.delete:
        del kept[one.metadata.name]
    kept |= {one.metadata.name: one for one in (*todo.create, *todo.replace)}
    assert sum(len(one.endpoints) for one in kept.values()) == after
    assert max((len(one.endpoints) for one in kept.values()), default=0) <= 100
    again = plan(slices(service(), map(pod, range(after))), list(kept.values()))
    assert (again.create, again.replace, again.delete) == ((), (), ())


def test_the_older_form_says_the_same() -> None:
    parts = slices(service(), [pod(1), pod(2, ready=False)])
    old = endpoints(service(), parts)
    (subset,) = old.subsets
    assert [one.ip for one in subset.addresses] == ["127.66.0.2"]
    assert [one.ip for one in subset.not_ready_addresses] == ["127.66.0.3"]
    assert [one.port for one in subset.ports] == [80]
    many = endpoints(service(), slices(service(), map(pod, range(1100))))
    assert len(many.subsets[0].addresses) == 1000
    assert many.metadata.annotations == {"endpoints.kubernetes.io/over-capacity": "truncated"}


def test_somebody_s_own_endpoints_become_slices_unless_they_say_no() -> None:
    subset = EndpointSubset(
        addresses=[EndpointAddress(ip="10.0.0.1")],
        not_ready_addresses=[EndpointAddress(ip="10.0.0.2")],
        ports=[EndpointPort(port=5432)],
    )
    own = Endpoints(metadata=ObjectMeta(name="web", namespace="default", uid="ep"), subsets=[subset])
    (part,) = mirrored(service(), own)
    assert [(one.addresses, one.conditions.ready) for one in part.endpoints] == [
        (["10.0.0.1"], True),
        (["10.0.0.2"], False),
    ]
    own.metadata.labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    assert mirrored(service(), own) == []
