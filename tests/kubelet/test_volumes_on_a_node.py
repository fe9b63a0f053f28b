"""Volumes as a guest sees them while it runs."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from proa.kube import Api, Merge
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import (
    ConfigMap,
    ConfigMapVolumeSource,
    DownwardAPIVolumeFile,
    DownwardAPIVolumeSource,
    EmptyDirVolumeSource,
    HostPathVolumeSource,
    LocalVolumeSource,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    ObjectFieldSelector,
    ObjectReference,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource,
    PersistentVolumeSpec,
    Pod,
    ProjectedVolumeSource,
    ResourceRequirements,
    Secret,
    SecretVolumeSource,
    ServiceAccount,
    ServiceAccountTokenProjection,
    Volume,
    VolumeMount,
    VolumeNodeAffinity,
    VolumeProjection,
    VolumeResourceRequirements,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import _service_account_tokens

Cluster = Any
MOUNTED = [VolumeMount(name="v", mount_path="/v")]


def main(pod: Pod) -> Any:
    return pod.status.container_statuses[0]


async def test_a_changed_config_map_and_secret_appear_in_a_running_guest(node: Cluster) -> None:
    config_maps = Api(node.client, ConfigMap, namespace="default")
    secrets = Api(node.client, Secret, namespace="default")
    await config_maps.create(ConfigMap(metadata=ObjectMeta(name="m"), data={"a": "old"}))
    await secrets.create(Secret(metadata=ObjectMeta(name="s"), data={"b": b"old"}))
    volumes = [
        Volume(name="v", config_map=ConfigMapVolumeSource(name="m")),
        Volume(name="w", secret=SecretVolumeSource(secret_name="s")),
    ]
    mounts = [*MOUNTED, VolumeMount(name="w", mount_path="/w")]
    await node.run("until", "/v/a=new", "until", "/w/b=new", volumes=volumes, volume_mounts=mounts)
    await node.until_phase("Running")
    await config_maps.patch("m", Merge({"data": {"a": "new"}}))
    await secrets.patch("s", Merge({"stringData": {"b": "new"}, "data": {"b": "bmV3"}}))
    await node.until_phase("Succeeded")


async def test_a_changed_label_appears_in_a_running_guest(node: Cluster) -> None:
    item = DownwardAPIVolumeFile(path="l", field_ref=ObjectFieldSelector(field_path="metadata.labels['l']"))
    volumes = [Volume(name="v", downward_api=DownwardAPIVolumeSource(items=[item]))]
    await node.run("until", "/v/l=new", volumes=volumes, volume_mounts=MOUNTED)
    await node.until_phase("Running")
    await node.pods.patch("pod", Merge({"metadata": {"labels": {"l": "new"}}}))
    await node.until_phase("Succeeded")


async def test_what_is_deleted_stays_as_it_was_and_comes_back_new(node: Cluster) -> None:
    config_maps = Api(node.client, ConfigMap, namespace="default")
    await config_maps.create(ConfigMap(metadata=ObjectMeta(name="m"), data={"a": "old"}))
    volumes = [Volume(name="v", config_map=ConfigMapVolumeSource(name="m"))]
    await node.run("until", "/v/a=new", volumes=volumes, volume_mounts=MOUNTED)
    await node.until_phase("Running")
    await config_maps.delete("m")
    await node.until_event("FailedMount", having='configmap "m" not found')
    await config_maps.create(ConfigMap(metadata=ObjectMeta(name="m"), data={"a": "new"}))
    await node.until_phase("Succeeded")


async def test_tokens_are_renewed_before_they_end(node: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_service_account_tokens, "renewal", lambda begin, _end: begin + timedelta(seconds=1))
    account = ServiceAccount(metadata=ObjectMeta(name="default"))
    await Api(node.client, ServiceAccount, namespace="default").create(account)
    source = VolumeProjection(service_account_token=ServiceAccountTokenProjection(path="token"))
    volumes = [Volume(name="v", projected=ProjectedVolumeSource(sources=[source]))]
    await node.run("forever", "", volumes=volumes, volume_mounts=MOUNTED, service_account_name="default")
    pod = await node.until_phase("Running")
    folder = node.directory / "kubelet" / "pods" / f"default_pod_{pod.metadata.uid}"
    token = folder / "volumes" / "v" / "token"
    first = token.read_text()
    await node.eventually(lambda: token.read_text() != first)


async def test_a_volume_that_grows_beyond_its_limit_evicts_the_pod(node: Cluster) -> None:
    volumes = [Volume(name="v", empty_dir=EmptyDirVolumeSource(size_limit=Quantity("1Mi")))]
    await node.run("fill", "/v/big", "forever", "", volumes=volumes, volume_mounts=MOUNTED)
    pod = await node.until_phase("Failed")
    assert (pod.status.reason, main(pod).state.terminated.exit_code) == ("Evicted", 137)
    assert 'EmptyDir volume "v" exceeds the limit "1Mi"' in pod.status.message


async def test_a_volume_in_memory_is_written_bounded_and_removed_with_its_pod(node: Cluster) -> None:
    source = EmptyDirVolumeSource(medium="Memory", size_limit=Quantity("1Mi"))
    fields: dict[str, Any] = {
        "volumes": [Volume(name="v", empty_dir=source)],
        "volume_mounts": [VolumeMount(name="v", mount_path="/v")],
    }
    await node.run("write", "/v/file", "cat", "/v/file", "forever", "", name="small", **fields)
    await node.until_phase("Running", "small")
    await node.run("fill", "/v/file", "forever", "", name="large", **fields)
    evicted = await node.until_phase("Failed", "large")
    assert evicted.status.reason == "Evicted"
    (link,) = (path for path in node.directory.rglob("volumes/v") if "small" in str(path))
    place = link.resolve()
    assert place.is_relative_to("/dev/shm") or place == link
    await node.pods.delete("small")
    await node.until_gone("small")
    await node.eventually(lambda: not place.exists())


async def test_a_log_beyond_the_ephemeral_storage_limit_evicts_the_pod(node: Cluster) -> None:
    resources = ResourceRequirements(limits={"ephemeral-storage": Quantity("100Ki")})
    await node.run("count", "50000", "forever", "", resources=resources)
    pod = await node.until_phase("Failed")
    assert pod.status.reason == "Evicted"
    assert "Container main exceeded its local ephemeral storage limit" in pod.status.message


async def test_a_claim_that_is_bound_to_a_directory_of_the_node_is_mounted(
    node: Cluster, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    claims = Api(node.client, PersistentVolumeClaim, namespace="default")
    one = Quantity("1Gi")
    claim = await claims.create(
        PersistentVolumeClaim(
            metadata=ObjectMeta(name="claim"),
            spec=PersistentVolumeClaimSpec(
                volume_name="pv",
                access_modes=["ReadWriteOnce"],
                resources=VolumeResourceRequirements(requests={"storage": one}),
            ),
        )
    )
    await Api(node.client, PersistentVolume).create(
        PersistentVolume(
            metadata=ObjectMeta(name="pv"),
            spec=PersistentVolumeSpec(
                access_modes=["ReadWriteOnce"],
                capacity={"storage": one},
                local=LocalVolumeSource(path=str(data)),
                node_affinity=VolumeNodeAffinity(
                    required=NodeSelector(
                        node_selector_terms=[
                            NodeSelectorTerm(
                                match_expressions=[
                                    NodeSelectorRequirement(
                                        key="kubernetes.io/hostname", operator="In", values=["node-1"]
                                    )
                                ]
                            )
                        ]
                    )
                ),
                claim_ref=ObjectReference(name="claim", namespace="default", uid=claim.metadata.uid),
            ),
        )
    )
    source = PersistentVolumeClaimVolumeSource(claim_name="claim")
    volumes = [Volume(name="v", persistent_volume_claim=source)]
    await node.run("write", "/v/out", volumes=volumes, volume_mounts=MOUNTED)
    await node.until_event("FailedMount", having="is not bound to a volume yet")
    await claims.patch_status("claim", Merge({"status": {"phase": "Bound"}}))
    await node.until_phase("Succeeded")
    assert (data / "out").read_text() == "written\n"


async def test_host_paths_are_written_where_the_host_allows(node: Cluster, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    volumes = [Volume(name="v", host_path=HostPathVolumeSource(path=str(shared)))]
    await node.run("write", "/v/out", volumes=volumes, volume_mounts=MOUNTED)
    await node.until_phase("Succeeded")
    assert (shared / "out").read_text() == "written\n"
