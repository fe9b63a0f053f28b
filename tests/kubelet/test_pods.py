"""Pods from creation to their end, against a real API server and registry."""

import asyncio
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from proa.kube import Api, Client, Config, Merge, Strategic, WatchEvent
from proa.kube.models import Quantity
from proa.kube.models.authentication_v1 import SelfSubjectReview
from proa.kube.models.coordination_v1 import Lease
from proa.kube.models.core_v1 import (
    ConfigMap,
    ConfigMapEnvSource,
    ConfigMapVolumeSource,
    Container,
    EmptyDirVolumeSource,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    NFSVolumeSource,
    Node,
    ObjectFieldSelector,
    Pod,
    ProjectedVolumeSource,
    ResourceRequirements,
    Secret,
    SecretVolumeSource,
    ServiceAccount,
    ServiceAccountTokenProjection,
    Volume,
    VolumeMount,
    VolumeProjection,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.oci import RegistryClient, push_module
from proa.oci.manifest import IMAGE_MANIFEST, ImageManifest
from proa.oci.testing import EMPTY_MODULE

Cluster = Any


def main(pod: Pod) -> Any:
    return pod.status.container_statuses[0]


async def test_the_node_registers_with_its_real_capacity(node: Cluster) -> None:
    found = await Api(node.client, Node).get("node-1")
    assert found.metadata.labels["kubernetes.io/arch"] == "wasm32-wasi"
    assert found.status.capacity["memory"] > Quantity("64Mi")
    assert {one.type: one.status for one in found.status.conditions}["Ready"] == "True"
    assert found.status.daemon_endpoints.kubelet_endpoint is not None
    leases = Api(node.client, Lease, namespace="kube-node-lease")
    async with asyncio.timeout(20):
        async for event in leases.watch(""):
            if isinstance(event, WatchEvent):
                assert event.object.metadata.owner_references[0].uid == found.metadata.uid
                assert event.object.spec.lease_duration_seconds == 40
                break


async def test_a_pod_that_ends_well_succeeds_with_its_log_and_events(node: Cluster) -> None:
    await node.run("say", "hello")
    pod = await node.until_phase("Succeeded")
    end = main(pod).state.terminated
    assert (end.exit_code, end.reason) == (0, "Completed")
    assert end.started_at <= end.finished_at
    assert main(pod).container_id == f"wasmtime://{pod.metadata.uid}/main/0"
    assert "@sha256:" in main(pod).image_id
    assert pod.status.pod_ip.startswith("127.66.")
    assert await node.logs() == b"hello"
    await node.until_event("Started")
    assert {"Pulling", "Pulled", "Created", "Started"} <= (await node.events()).keys()


async def test_the_guests_own_exit_code_is_reported(node: Cluster) -> None:
    await node.run("exit", "42")
    pod = await node.until_phase("Failed")
    assert (main(pod).state.terminated.exit_code, main(pod).state.terminated.reason) == (42, "Error")


async def test_a_trap_is_an_error_that_says_what_happened(node: Cluster) -> None:
    await node.run("trap", "")
    end = main(await node.until_phase("Failed")).state.terminated
    assert end.exit_code == 134
    assert "unreachable" in end.message


async def test_a_guest_beyond_its_memory_limit_is_oom_killed(node: Cluster) -> None:
    resources = ResourceRequirements(limits={"memory": Quantity("32Mi")})
    await node.run("eat", "64", resources=resources)
    end = main(await node.until_phase("Failed")).state.terminated
    assert end.exit_code in {9, 137}
    if end.exit_code == 137:
        assert end.reason == "OOMKilled"


async def test_always_restarts_at_once_and_then_backs_off_with_the_last_state_kept(node: Cluster) -> None:
    await node.run("say", "x", "exit", "3", restart_policy="Always")
    message = await node.until_waiting("CrashLoopBackOff")
    assert "restarting failed container main in pod pod_default(" in message
    pod = await node.until(lambda pod: main(pod).restart_count >= 2)
    assert main(pod).last_state.terminated.exit_code == 3
    assert pod.status.phase == "Running"
    assert "Back-off restarting" in await node.until_event("BackOff")


async def test_on_failure_restarts_until_it_ends_well(node: Cluster) -> None:
    volumes = [Volume(name="v", empty_dir=EmptyDirVolumeSource())]
    mounts = [VolumeMount(name="v", mount_path="/v")]
    script = ["cat", "/v/done", "exit", "0"]
    first = Container(
        name="first", image=node.image, args=["sleep", "300", "write", "/v/done"], volume_mounts=mounts
    )
    pod = node.pod(*script, restart_policy="OnFailure", volumes=volumes, volume_mounts=mounts)
    pod.spec.containers.append(first)
    await node.pods.create(pod)
    done = await node.until_phase("Succeeded")
    assert main(done).restart_count >= 1
    assert main(done).last_state.terminated.exit_code == 7


async def test_two_containers_run_side_by_side_with_logs_of_their_own(node: Cluster) -> None:
    pod = node.pod("say", "one")
    pod.spec.containers.append(
        Container(name="other", image=node.image, args=["say", "two", "complain", "three"])
    )
    await node.pods.create(pod)
    await node.until_phase("Succeeded")
    assert await node.logs(container="main") == b"one"
    assert sorted((await node.logs(container="other")).split()) == [b"three", b"two"]


async def test_init_containers_run_in_order_before_the_others(node: Cluster) -> None:
    mounts = [VolumeMount(name="v", mount_path="/v")]
    pod = node.pod("cat", "/v/second", volumes=[Volume(name="v")], volume_mounts=mounts)
    pod.spec.init_containers = [
        Container(
            name="a", image=node.image, args=["sleep", "50", "write", "/v/first"], volume_mounts=mounts
        ),
        Container(
            name="b", image=node.image, args=["cat", "/v/first", "write", "/v/second"], volume_mounts=mounts
        ),
    ]
    await node.pods.create(pod)
    done = await node.until_phase("Succeeded")
    assert [status.state.terminated.exit_code for status in done.status.init_container_statuses] == [0, 0]
    assert await node.logs(container="main") == b"written"


async def test_a_failing_init_container_fails_the_pod_and_its_log_is_there(node: Cluster) -> None:
    pod = node.pod("say", "never")
    pod.spec.init_containers = [Container(name="a", image=node.image, args=["say", "why", "exit", "5"])]
    await node.pods.create(pod)
    failed = await node.until_phase("Failed")
    assert failed.status.init_container_statuses[0].state.terminated.exit_code == 5
    assert main(failed).state.waiting is not None
    assert await node.logs(container="a") == b"why"


async def test_environment_and_arguments_come_from_everywhere(node: Cluster) -> None:
    settings = ConfigMap(metadata=ObjectMeta(name="settings"), data={"COLOUR": "blue"})
    await Api(node.client, ConfigMap, namespace="default").create(settings)
    own_name = EnvVarSource(field_ref=ObjectFieldSelector(field_path="metadata.name"))
    await node.run(
        "$(GREETING)", "$(NAME)", "env", "COLOUR", "name", "",
        command=["/bin/guest", "env", "HOSTNAME"],
        env=[EnvVar(name="NAME", value_from=own_name), EnvVar(name="GREETING", value="say")],
        env_from=[EnvFromSource(config_map_ref=ConfigMapEnvSource(name="settings"))],
    )  # fmt: skip
    await node.until_phase("Succeeded")
    assert (await node.logs()).split() == [b"HOSTNAME=pod", b"pod", b"COLOUR=blue", b"/bin/guest"]


async def test_config_maps_and_secrets_are_files_that_cannot_be_changed(node: Cluster) -> None:
    await Api(node.client, ConfigMap, namespace="default").create(
        ConfigMap(metadata=ObjectMeta(name="m"), data={"a.txt": "from a map\n"})
    )
    await Api(node.client, Secret, namespace="default").create(
        Secret(metadata=ObjectMeta(name="s"), data={"key": b"from a secret\n"})
    )
    volumes = [
        Volume(name="m", config_map=ConfigMapVolumeSource(name="m")),
        Volume(name="s", secret=SecretVolumeSource(secret_name="s")),
    ]
    mounts = [VolumeMount(name="m", mount_path="/m"), VolumeMount(name="s", mount_path="/s")]
    args = ["cat", "/m/a.txt", "cat", "/s/key", "write", "/m/new"]
    await node.run(*args, volumes=volumes, volume_mounts=mounts)
    pod = await node.until_phase("Failed")
    assert main(pod).state.terminated.exit_code == 8
    lines = set((await node.logs()).splitlines())
    assert {b"from a map", b"from a secret", b"/m/new: Operation not permitted"} == lines


async def test_a_pod_can_be_given_a_token_of_its_service_account(node: Cluster) -> None:
    account = ServiceAccount(metadata=ObjectMeta(name="default"))
    await Api(node.client, ServiceAccount, namespace="default").create(account)
    token = VolumeProjection(service_account_token=ServiceAccountTokenProjection(path="token"))
    volumes = [Volume(name="t", projected=ProjectedVolumeSource(sources=[token]))]
    mounts = [VolumeMount(name="t", mount_path="/var/run/secrets")]
    await node.run(
        "cat", "/var/run/secrets/token",
        volumes=volumes, volume_mounts=mounts, service_account_name="default",
    )  # fmt: skip
    await node.until_phase("Succeeded")
    config = Config(
        server=node.config.server, ca_data=node.config.ca_data, token=(await node.logs()).decode()
    )
    async with Client(config) as client:
        review = await Api(client, SelfSubjectReview).create(
            SelfSubjectReview(metadata=ObjectMeta(name="me"))
        )
    assert review.status.user_info.username == "system:serviceaccount:default:default"


async def test_a_missing_config_map_is_waited_for(node: Cluster) -> None:
    await node.run("env", "COLOUR", env_from=[EnvFromSource(config_map_ref=ConfigMapEnvSource(name="late"))])
    assert (
        await node.until_waiting("CreateContainerConfigError")
        == 'configmap "late" not found in namespace "default"'
    )
    late = ConfigMap(metadata=ObjectMeta(name="late"), data={"COLOUR": "red"})
    await Api(node.client, ConfigMap, namespace="default").create(late)
    await node.until_phase("Succeeded")
    assert await node.logs() == b"COLOUR=red"


async def test_a_volume_that_cannot_be_had_is_told_by_an_event(node: Cluster) -> None:
    await node.run("say", "x", volumes=[Volume(name="v", nfs=NFSVolumeSource(path="/", server="s"))])
    assert "does not support volumes of kind nfs" in await node.until_event("FailedMount")
    assert "nfs" in await node.until_waiting("ContainerCreating")


async def test_an_image_that_is_not_there(node: Cluster) -> None:
    await node.run("say", "x", image=str(node.registry.reference("none:1")))
    message = await node.until_waiting("ImagePullBackOff")
    assert "Back-off pulling image" in message
    assert "none" in message
    await node.until_event("Failed", having="failed to pull image")


async def test_an_image_name_that_is_none(node: Cluster) -> None:
    await node.run("say", "x", image="NOT an image")
    assert "NOT an image" in await node.until_waiting("InvalidImageName")


async def test_an_image_that_must_not_be_pulled(node: Cluster) -> None:
    await node.run("say", "x", image_pull_policy="Never")
    assert "pull policy of Never" in await node.until_waiting("ErrImageNeverPull")


async def test_a_registry_that_is_down_is_tried_until_it_is_up_again(node: Cluster) -> None:
    node.registry.faults.answer(503, times=3)
    await node.run("say", "hello")
    await node.until_waiting("ImagePullBackOff")
    await node.until_phase("Succeeded")


async def test_a_module_that_is_no_command_is_explained_in_one_line(node: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "empty.wasm"
    path.write_bytes(EMPTY_MODULE)
    reference = node.registry.reference("empty:1")
    async with RegistryClient() as registries:
        await push_module(registries, path, reference)
    await node.run("say", "x", image=str(reference))
    message = await node.until_waiting("CreateContainerError")
    assert "_start" in message
    assert "\n" not in message
    await node.until_event("Failed", having=message)


async def test_an_image_that_is_not_wasm_is_explained_in_one_line(node: Cluster) -> None:
    reference = node.registry.reference("text:1")
    async with RegistryClient() as registries:
        layer = replace(
            await registries.push_blob(reference, b"not wasm at all"), media_type="application/wasm"
        )
        config = replace(await registries.push_blob(reference, b"{}"), media_type="application/json")
        manifest = ImageManifest(schema_version=2, media_type=IMAGE_MANIFEST, config=config, layers=[layer])
        await registries.put_manifest(reference, manifest)
    await node.run("say", "x", image=str(reference))
    message = await node.until_waiting("CreateContainerError")
    assert "\n" not in message
    assert "is not WebAssembly" in message
    await node.until_event("Failed", having=message)


async def test_an_image_in_the_cache_is_used_without_asking_the_registry(node: Cluster) -> None:
    await node.run("say", "one", name="first")
    await node.until_phase("Succeeded", "first")
    node.registry.faults.answer(503, times=100)
    await node.run("say", "two", name="second")
    await node.until_phase("Succeeded", "second")
    assert "already present on machine" in (await node.events("second"))["Pulled"]


async def test_a_sleeping_pod_is_deleted_at_once_and_leaves_nothing(node: Cluster) -> None:
    await node.run("say", "x", "forever", "", restart_policy="Always")
    pod = await node.until_phase("Running")
    directory = node.directory / "kubelet" / "pods" / f"default_pod_{pod.metadata.uid}"
    assert directory.is_dir()
    began = asyncio.get_running_loop().time()
    await node.pods.delete("pod")
    await node.until_gone()
    assert asyncio.get_running_loop().time() - began < 5
    assert "Stopping container main" in await node.until_event("Killing")
    await node.eventually(lambda: not directory.exists())


async def test_a_forced_deletion_ends_the_guest_too(node: Cluster) -> None:
    await node.run("forever", "")
    pod = await node.until_phase("Running")
    directory = node.directory / "kubelet" / "pods" / f"default_pod_{pod.metadata.uid}"
    await node.pods.delete("pod", grace_period=0)
    await node.eventually(lambda: not directory.exists())


async def test_a_pod_that_waits_for_its_image_can_be_deleted(node: Cluster) -> None:
    await node.run("say", "x", image=str(node.registry.reference("none:1")))
    await node.until_waiting("ImagePullBackOff")
    await node.pods.delete("pod")
    await node.until_gone()


async def test_the_deadline_ends_a_pod_that_is_active_for_too_long(node: Cluster) -> None:
    await node.run("forever", "", active_deadline_seconds=1)
    pod = await node.until_phase("Failed")
    assert pod.status.reason == "DeadlineExceeded"


async def test_the_image_of_a_running_pod_can_be_mended(node: Cluster) -> None:
    await node.run("say", "x", image=str(node.registry.reference("typo:1")))
    await node.until_waiting("ImagePullBackOff")
    image = {"spec": {"containers": [{"name": "main", "image": node.image, "args": ["say", "x"]}]}}
    await node.pods.patch("pod", Merge(image))
    await node.until_phase("Succeeded")


async def test_another_image_restarts_a_running_container_whatever_its_policy(node: Cluster) -> None:
    await node.run("forever", "")
    running = await node.until_phase("Running")
    image = f"{node.image}@{running.status.container_statuses[0].image_id.rpartition('@')[2]}"
    await node.pods.patch("pod", Strategic({"spec": {"containers": [{"name": "main", "image": image}]}}))
    again = await node.until(lambda pod: pod.status.container_statuses[0].restart_count == 1)
    (status,) = again.status.container_statuses
    assert (status.image, status.state.running is not None) == (image, True)
    assert status.last_state.terminated.exit_code == 137
    assert "definition changed, will be restarted" in await node.until_event("Killing")


async def test_a_deadline_may_be_brought_forward(node: Cluster) -> None:
    await node.run("forever", "", active_deadline_seconds=3600)
    await node.until_phase("Running")
    await node.pods.patch("pod", Merge({"spec": {"activeDeadlineSeconds": 1}}))
    failed = await node.until_phase("Failed")
    assert failed.status.reason == "DeadlineExceeded"


async def test_what_is_ignored_is_said(node: Cluster) -> None:
    await node.run("say", "x", tty=True)
    await node.until_phase("Succeeded")
    await node.until_event("Unsupported", having="tty of main")
    debugger = {"spec": {"ephemeralContainers": [{"name": "debugger", "image": node.image}]}}
    await node.pods.patch("pod", Strategic(debugger), subresource="ephemeralcontainers")
    await node.until_event("Unsupported", having="no ephemeral containers: debugger")


async def test_pods_beyond_the_limit_are_refused(cluster: Cluster) -> None:
    async with cluster.kubelet(max_pods=1):
        await cluster.run("forever", "", name="one")
        await cluster.until_phase("Running", "one")
        await cluster.run("say", "x", name="two")
        refused = await cluster.until_phase("Failed", "two")
        assert refused.status.reason == "OutOfpods"
        assert "requested: 1, used: 1, capacity: 1" in refused.status.message


async def test_a_pod_that_asks_for_too_much_is_refused_and_takes_nothing(node: Cluster) -> None:
    for name, amount in (("big", "100000"), ("small", "1m")):
        asked = ResourceRequirements(requests={"cpu": Quantity(amount)})
        await node.run("say", "x", name=name, resources=asked)
    refused = await node.until_phase("Failed", "big")
    assert (refused.status.reason, refused.status.container_statuses) == ("OutOfcpu", [])
    await node.until_phase("Succeeded", "small")
    assert (await node.pods.get("big")).status == refused.status
