import dataclasses
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace as with_fields

from proa.app import settings as app_settings
from proa.kube.models.core_v1 import Container, NodeCondition, NodeStatus, Pod, PodSpec
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import KubeletError, KubeletSettings, _certificates, _host_facts, _node
from proa.kubelet._access import subject
from proa.kubelet._addresses import PodAddresses
from proa.kubelet._host_facts import HostFacts
from proa.kubelet._images import pull_policy
from proa.kubelet._pod_directory import PodDirectory
from proa.kubelet._pressure import Pressure
from proa.kubelet._sandbox_host import SandboxName

GIB = 1024**3
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
MACHINE = HostFacts(
    cpus=2, memory=4 * GIB, memory_available=2 * GIB, disk=100 * GIB, disk_available=50 * GIB, processes=100,
    max_processes=32768, machine_id="m", boot_id="b", kernel_version="6.1", os_image="Debian",
    architecture="amd64", engine_version="50.0.1",
)  # fmt: skip
SETTINGS = KubeletSettings(node_name="edge", node_labels={"zone": "a", "kubernetes.io/os": "mine"})


def conditions(status: NodeStatus) -> dict[str, str]:
    return {condition.type: condition.status for condition in status.conditions}


def test_the_machine_is_the_real_one(tmp_path: Path) -> None:
    machine = _host_facts.observe(tmp_path)
    assert machine.cpus >= 1
    assert 0 < machine.memory_available <= machine.memory
    assert 0 < machine.disk_available <= machine.disk
    assert 0 < machine.processes <= machine.max_processes


def test_the_kernels_figures_are_read() -> None:
    assert _host_facts.parse_meminfo("MemTotal:  16 kB\nHugePages_Total: 3\nodd\n") == {
        "MemTotal": 16384,
        "HugePages_Total": 3,
    }
    assert _host_facts.parse_task_count("0.1 0.2 0.3 2/345 678\n") == 345


def test_labels_say_what_the_node_is_and_cannot_be_overruled() -> None:
    assert _node.labels(SETTINGS) == {
        "zone": "a",
        "kubernetes.io/arch": "wasm32-wasi",
        "kubernetes.io/os": "wasi",
        "kubernetes.io/hostname": "edge",
    }


def test_taints_only_where_asked_for() -> None:
    assert _node.node(SETTINGS).spec.taints == []
    (taint,) = _node.node(KubeletSettings(taints=("kubernetes.io/arch=wasm32-wasi:NoSchedule",))).spec.taints
    assert (taint.key, taint.value, taint.effect) == ("kubernetes.io/arch", "wasm32-wasi", "NoSchedule")


def test_the_status_tells_capacity_addresses_and_port() -> None:
    status = _node.status(SETTINGS, 10250, MACHINE, NodeStatus(), NOW)
    assert {name: str(amount) for name, amount in status.capacity.items()} == {
        "cpu": "2", "memory": "4194304Ki", "ephemeral-storage": "104857600Ki", "pods": "110",
    }  # fmt: skip
    assert {one.type: one.address for one in status.addresses} == {
        "InternalIP": "127.0.0.1",
        "Hostname": "edge",
    }
    assert status.daemon_endpoints.kubelet_endpoint is not None
    assert status.daemon_endpoints.kubelet_endpoint.port == 10250
    assert status.node_info is not None
    assert status.node_info.container_runtime_version.startswith("proa-wasmtime://")
    assert conditions(status) == {
        "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True",
    }  # fmt: skip


def test_pressure_is_reported_with_the_time_it_began() -> None:
    first = _node.status(SETTINGS, 1, MACHINE, NodeStatus(), NOW)
    pressed = dataclasses.replace(MACHINE, memory_available=0, disk_available=GIB, processes=32000)
    later = NOW + timedelta(minutes=1)
    pressure = Pressure(SETTINGS.thresholds)
    pressure.look(pressed)
    second = _node.status(SETTINGS, 1, pressed, first, later, pressure.conditions)
    assert _node.changes(first, second) == [
        "NodeHasInsufficientMemory", "NodeHasDiskPressure", "NodeHasInsufficientPID",
    ]  # fmt: skip
    assert conditions(second) == {
        "MemoryPressure": "True", "DiskPressure": "True", "PIDPressure": "True", "Ready": "True",
    }  # fmt: skip
    times = {condition.type: condition.last_transition_time for condition in second.conditions}
    assert times["MemoryPressure"] == later
    assert times["Ready"] == NOW


def test_the_status_is_written_when_it_changes_or_after_five_minutes() -> None:
    first = _node.status(SETTINGS, 1, MACHINE, NodeStatus(), NOW)
    assert _node.must_report(NodeStatus(), first, NOW)
    soon = NOW + timedelta(minutes=4)
    assert not _node.must_report(first, _node.status(SETTINGS, 1, MACHINE, first, soon), soon)
    late = NOW + timedelta(minutes=5)
    assert _node.must_report(first, _node.status(SETTINGS, 1, MACHINE, first, late), late)
    unknown = with_fields(first, conditions=[with_fields(first.conditions[-1], status="Unknown")])
    assert _node.must_report(unknown, _node.status(SETTINGS, 1, MACHINE, unknown, soon), soon)


def test_conditions_of_others_stay() -> None:
    others = NodeStatus(conditions=[NodeCondition(type="NetworkUnavailable", status="False")])
    assert conditions(_node.status(SETTINGS, 1, MACHINE, others, NOW))["NetworkUnavailable"] == "False"


def test_every_problem_of_the_settings_is_told_at_once() -> None:
    arguments = ["--node-name", "Bad_Name", "--port", "99999", "--taints", "x", "--pod-cidr", "1.2.3.0/30"]
    arguments += [
        "--node-labels",
        "node-restriction.kubernetes.io/x=y",
        "--eviction-soft",
        "nodefs.available=1%",
    ]
    arguments += ["--node-labels", "topology.kubernetes.io/zone=here", "--system-reserved", "disk=1"]
    arguments += [
        "--image-credential-provider-config",
        "x",
        "--shutdown-grace-period-by-pod-priority",
        "high=1s",
    ]
    with pytest.raises(app_settings.SettingsError) as caught:
        app_settings.load(KubeletSettings, arguments=arguments, environ={"PROA_MAX_PODS": "0"})
    text = str(caught.value)
    for word in (
        "Bad_Name", "99999", "taints", "max_pods", "itself node-restriction", "eviction_soft_grace_period",
        "disk is none of", "both or none", "'high' is no priority",
    ):  # fmt: skip
        assert word in text
    assert "zone" not in text


CONFIGURATION = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 10.0.0.7
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}}
cgroupDriver: systemd
clusterDNS: [10.96.0.10]
containerLogMaxSize: 20Mi
evictionHard: {memory.available: 200Mi}
imageGCHighThresholdPercent: 90
crashLoopBackOff: {maxContainerRestartPeriod: 20s}
evictionSoft: {memory.available: 10%}
evictionSoftGracePeriod: {memory.available: 1m30s}
imageMinimumGCAge: 5m
imageMaximumGCAge: 0s
maxPods: 50
registerWithTaints: [{key: wasm, value: "yes", effect: NoSchedule}]
serverTLSBootstrap: true
shutdownGracePeriod: 30s
shutdownGracePeriodCriticalPods: 10s
staticPodPath: /etc/kubernetes/manifests
"""


def test_kubernetes_own_configuration_file_is_read_and_a_flag_wins(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIGURATION)
    chosen = app_settings.load(
        KubeletSettings, arguments=["--image-minimum-gc-age", "1m"], environ={"PROA_MAX_PODS": "7"}, file=file
    )
    assert chosen.cluster_dns == ("10.96.0.10",)
    assert (chosen.bind, chosen.max_pods, chosen.taints) == ("10.0.0.7", 7, ("wasm=yes:NoSchedule",))
    assert chosen.client_ca_file == Path("/etc/kubernetes/pki/ca.crt")
    assert chosen.eviction_hard == {"memory.available": "200Mi"}
    assert chosen.max_container_restart_period == timedelta(seconds=20)
    assert [one.grace for one in chosen.thresholds] == [0, 90]
    assert (chosen.image_gc_high_threshold_percent, chosen.server_tls_bootstrap) == (90, True)
    assert chosen.image_minimum_gc_age == timedelta(minutes=1)
    assert chosen.shutdown_grace_period == timedelta(seconds=30)
    assert chosen.static_pod_path == Path("/etc/kubernetes/manifests")


def test_what_is_wrong_in_it_is_told_all_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIGURATION.replace("maxPods: 50", "maxPots: 50\nport: many"))
    with pytest.raises(app_settings.SettingsError) as caught:
        app_settings.load(KubeletSettings, arguments=[], environ={}, file=file)
    assert len(caught.value.problems) == 2
    assert "maxPots" in str(caught.value)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "localhost"])
def test_a_node_needs_an_address_that_others_can_use(bind: str) -> None:
    arguments = ["--bind", bind, "--node-name", "edge"]
    with pytest.raises(app_settings.SettingsError, match="node_ip: set it to the node's address"):
        app_settings.load(KubeletSettings, arguments=arguments, environ={})
    arguments += ["--node-ip", "10.0.0.7"]
    assert app_settings.load(KubeletSettings, arguments=arguments, environ={}).address == "10.0.0.7"


def test_a_pod_keeps_its_address_when_the_range_is_another_now() -> None:
    addresses = PodAddresses("127.66.1.0/29")
    assert not addresses.reserve("127.66.0.1")
    assert addresses.keep("127.66.0.1")
    assert not addresses.keep("127.66.0.1")
    assert not addresses.keep(None)
    assert addresses.allocate() == "127.66.1.1"


def test_addresses_are_unique_and_given_back_ones_come_last() -> None:
    addresses = PodAddresses("127.66.0.0/29")
    assert addresses.reserve("127.66.0.2")
    assert not addresses.reserve("127.66.0.2")
    assert not addresses.reserve("10.0.0.1")
    assert not addresses.reserve(None)
    given = [addresses.allocate() for _ in range(3)]
    assert given == ["127.66.0.1", "127.66.0.3", "127.66.0.4"]
    addresses.release("127.66.0.1")
    assert [addresses.allocate() for _ in range(3)] == ["127.66.0.5", "127.66.0.6", "127.66.0.1"]
    with pytest.raises(KubeletError, match="no address left"):
        addresses.allocate()


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("hello", "Always"),
        ("hello:latest", "Always"),
        ("localhost:5050/hello", "Always"),
        ("localhost:5050/hello:1", "IfNotPresent"),
        ("hello@sha256:00", "IfNotPresent"),
    ],
)
def test_the_pull_policy_depends_on_the_tag(image: str, policy: str) -> None:
    assert pull_policy(Container(name="c", image=image)) == policy
    assert pull_policy(Container(name="c", image=image, image_pull_policy="Never")) == "Never"


def test_the_serving_certificate_is_kept_private_and_made_anew_for_another_address(tmp_path: Path) -> None:
    certificate, key = _certificates.self_signed(tmp_path / "pki", "edge", "127.0.0.1")
    first = certificate.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    _certificates.self_signed(tmp_path / "pki", "edge", "127.0.0.1")
    assert certificate.read_bytes() == first
    _certificates.self_signed(tmp_path / "pki", "edge", "10.0.0.1")
    assert certificate.read_bytes() != first


def test_a_damaged_certificate_is_made_anew_and_a_given_one_is_not_replaced(tmp_path: Path) -> None:
    certificate, _ = _certificates.self_signed(tmp_path / "pki", "edge", "127.0.0.1")
    certificate.write_text("damaged")
    settings = KubeletSettings(node_name="edge", data_dir=tmp_path)
    assert _certificates.ssl_context(settings, None).verify_mode == ssl.CERT_NONE
    given = KubeletSettings(
        data_dir=tmp_path, tls_cert_file=tmp_path / "none.crt", tls_private_key_file=tmp_path / "k"
    )
    with pytest.raises(KubeletError, match=r"none\.crt"):
        _certificates.ssl_context(given, None)


def test_the_subject_of_a_certificate_is_read() -> None:
    certificate = {"subject": ((("organizationName", "system:masters"),), (("commonName", "admin"),))}
    assert subject(certificate) == {"organizationName": ["system:masters"], "commonName": ["admin"]}


@pytest.mark.parametrize("name", ["..", "a/b", "", "A", "a..b"])
def test_no_name_becomes_a_path_that_leads_elsewhere(tmp_path: Path, name: str) -> None:
    metadata = ObjectMeta(name="p", namespace="n", uid="u")
    with pytest.raises(KubeletError, match="is no valid name"):
        PodDirectory.of(tmp_path, Pod(metadata=metadata, spec=PodSpec(containers=[Container(name=name)])))


def test_a_long_name_of_a_pod_still_makes_a_directory(tmp_path: Path) -> None:
    metadata = ObjectMeta(name="p" * 253, namespace="n" * 63, uid="0" * 36)
    directory = PodDirectory.of(tmp_path, Pod(metadata=metadata))
    directory.path.mkdir()
    assert directory.uid == "0" * 36


def test_sandbox_names_are_read_back() -> None:
    assert SandboxName.parse("u-1/main/3") == SandboxName("u-1", "main", 3)
    assert str(SandboxName("u-1", "main", 3)) == "u-1/main/3"
    assert SandboxName.parse("something") is SandboxName.parse("a/b/c") is None
