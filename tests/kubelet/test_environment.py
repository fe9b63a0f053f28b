import pytest

from proa.kube.models import Quantity
from proa.kube.models.core_v1 import (
    ConfigMap,
    ConfigMapEnvSource,
    ConfigMapKeySelector,
    Container,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    ObjectFieldSelector,
    Pod,
    PodSpec,
    ResourceFieldSelector,
    ResourceRequirements,
    Secret,
    SecretEnvSource,
    SecretKeySelector,
    Service,
    ServicePort,
    ServiceSpec,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import _service_links
from proa.kubelet._environment import environment
from proa.kubelet._expansion import expand
from proa.kubelet._fields import PodFields
from proa.kubelet._references import Referenced, References, of_container
from proa.kubelet.errors import ContainerConfigError

CONTAINER = Container(
    name="main",
    resources=ResourceRequirements(limits={"memory": Quantity("64Mi"), "cpu": Quantity("1500m")}),
)
FIELDS = PodFields(
    pod=Pod(
        metadata=ObjectMeta(
            name="web-0", namespace="shop", uid="u-1", labels={"app": "web", "b": 'say "hi"'}
        ),
        spec=PodSpec(node_name="n", service_account_name="sa", containers=[CONTAINER]),
    ),
    pod_ip="127.66.0.1",
    host_ip="127.0.0.1",
    allocatable={"cpu": Quantity("2"), "memory": Quantity("4Gi"), "ephemeral-storage": Quantity("10Gi")},
)
FOUND = Referenced(
    {"settings": ConfigMap(data={"colour": "blue", "b=d": "left out"})},
    {"keys": Secret(data={"token": b"s3cret", "bytes": b"\xff"})},
)


def test_services_are_told_of_as_docker_did_it() -> None:
    ports = [ServicePort(name="http", port=80), ServicePort(name="metrics", port=9090, protocol="UDP")]
    services = [
        service("default", "kubernetes", "10.0.0.1", ServicePort(name="https", port=443)),
        service("mine", "my-shop", "10.0.0.2", *ports),
        service("mine", "headless", "None", *ports),
        service("other", "far", "10.0.0.3", *ports),
    ]
    linked = _service_links.variables(services, "mine", links=True)
    assert linked["KUBERNETES_SERVICE_HOST"] == "10.0.0.1"
    assert {key: value for key, value in linked.items() if key.startswith("MY_SHOP")} == {
        "MY_SHOP_SERVICE_HOST": "10.0.0.2",
        "MY_SHOP_SERVICE_PORT": "80",
        "MY_SHOP_SERVICE_PORT_HTTP": "80",
        "MY_SHOP_SERVICE_PORT_METRICS": "9090",
        "MY_SHOP_PORT": "tcp://10.0.0.2:80",
        "MY_SHOP_PORT_80_TCP": "tcp://10.0.0.2:80",
        "MY_SHOP_PORT_80_TCP_PROTO": "tcp",
        "MY_SHOP_PORT_80_TCP_PORT": "80",
        "MY_SHOP_PORT_80_TCP_ADDR": "10.0.0.2",
        "MY_SHOP_PORT_9090_UDP": "udp://10.0.0.2:9090",
        "MY_SHOP_PORT_9090_UDP_PROTO": "udp",
        "MY_SHOP_PORT_9090_UDP_PORT": "9090",
        "MY_SHOP_PORT_9090_UDP_ADDR": "10.0.0.2",
    }
    assert not any("HEADLESS" in key or "FAR" in key for key in linked)
    alone = _service_links.variables(services, "mine", links=False)
    assert not any("MY_SHOP" in key for key in alone)
    assert "KUBERNETES_PORT" in alone


def service(namespace: str, name: str, address: str, *ports: ServicePort) -> Service:
    return Service(
        metadata=ObjectMeta(namespace=namespace, name=name),
        spec=ServiceSpec(cluster_ip=address, ports=[*ports]),
    )


def made(*variables: EnvVar, env_from: list[EnvFromSource] | None = None) -> dict[str, str]:
    container = Container(
        name="main", env=[*variables], env_from=env_from or [], resources=CONTAINER.resources
    )
    result = environment(container, FOUND, FIELDS)
    assert result.pop("HOSTNAME") == "web-0"
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(NONE)", "$(NONE)"),
        ("$(A", "$(A"),
        ("$A ${A} $", "$A ${A} $"),
        ("$()", "$()"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_a_variable_may_use_those_before_it_only() -> None:
    made_of = [
        EnvVar(name="A", value="$(B)x"),
        EnvVar(name="B", value="1"),
        EnvVar(name="C", value="$(A)$(B)"),
    ]
    assert made(*made_of) == {"A": "$(B)x", "B": "1", "C": "$(B)x1"}


def test_whole_config_maps_and_secrets_come_first_with_their_prefix() -> None:
    sources = [
        EnvFromSource(config_map_ref=ConfigMapEnvSource(name="settings"), prefix="X_"),
        EnvFromSource(secret_ref=SecretEnvSource(name="keys")),
        EnvFromSource(secret_ref=SecretEnvSource(name="none", optional=True)),
    ]
    result = made(EnvVar(name="token", value="mine"), env_from=sources)
    assert result == {"X_colour": "blue", "token": "mine", "bytes": "\ufffd"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-0"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['none']", ""),
        ("metadata.labels", 'app="web"\nb="say \\"hi\\""'),
        ("spec.nodeName", "n"),
        ("spec.serviceAccountName", "sa"),
        ("status.podIP", "127.66.0.1"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    source = EnvVarSource(field_ref=ObjectFieldSelector(field_path=path))
    assert made(EnvVar(name="A", value_from=source)) == {"A": value}


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.memory", None, "67108864"),
        ("limits.memory", "1Mi", "64"),
        ("limits.cpu", None, "2"),
        ("limits.cpu", "1m", "1500"),
        ("requests.cpu", "1m", "1500"),
        ("limits.ephemeral-storage", "1Gi", "10"),
    ],
)
def test_resources_in_units_of_the_divisor(resource: str, divisor: str | None, value: str) -> None:
    selector = ResourceFieldSelector(resource=resource, divisor=Quantity(divisor) if divisor else None)
    assert made(EnvVar(name="A", value_from=EnvVarSource(resource_field_ref=selector))) == {"A": value}


def test_keys_of_config_maps_and_secrets() -> None:
    colour = EnvVarSource(config_map_key_ref=ConfigMapKeySelector(name="settings", key="colour"))
    token = EnvVarSource(secret_key_ref=SecretKeySelector(name="keys", key="token"))
    none = EnvVarSource(secret_key_ref=SecretKeySelector(name="keys", key="none", optional=True))
    variables = [
        EnvVar(name=name, value_from=source)
        for name, source in zip("ABC", [colour, token, none], strict=True)
    ]
    assert made(*variables) == {"A": "blue", "B": "s3cret"}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            EnvVarSource(config_map_key_ref=ConfigMapKeySelector(name="none", key="k")),
            'configmap "none" not found in namespace "shop"',
        ),
        (
            EnvVarSource(secret_key_ref=SecretKeySelector(name="keys", key="k")),
            "couldn't find key k in Secret shop/keys",
        ),
        (EnvVarSource(field_ref=ObjectFieldSelector(field_path="spec.x")), "there is no field 'spec.x'"),
        (EnvVarSource(resource_field_ref=ResourceFieldSelector(resource="x")), "no 'x' of container 'main'"),
    ],
)
def test_what_is_missing_is_named(source: EnvVarSource, problem: str) -> None:
    with pytest.raises(ContainerConfigError, match=problem):
        made(EnvVar(name="A", value_from=source))


def test_a_container_tells_what_it_refers_to() -> None:
    container = Container(
        name="c",
        env=[EnvVar(name="A", value_from=EnvVarSource(secret_key_ref=SecretKeySelector(name="s", key="k")))],
        env_from=[EnvFromSource(config_map_ref=ConfigMapEnvSource(name="m"))],
    )
    assert of_container(container) == References(frozenset({"m"}), frozenset({"s"}))
