"""Lifecycle hooks, and the order in which a pod's containers end."""

import asyncio
from typing import Any

from proa.kube.models.core_v1 import (
    Container,
    HTTPGetAction,
    Lifecycle,
    LifecycleHandler,
    Pod,
    SleepAction,
)

Cluster = Any


def main(pod: Pod) -> Any:
    return pod.status.container_statuses[0]


NOBODY = LifecycleHandler(http_get=HTTPGetAction(host="127.0.0.1", port=9))
SLEEP = LifecycleHandler(sleep=SleepAction(seconds=1))


async def test_a_container_has_started_once_its_post_start_hook_has_ended(node: Cluster) -> None:
    await node.run("forever", "", lifecycle=Lifecycle(post_start=SLEEP))
    running = await node.until(lambda pod: main(pod).state.running is not None)
    assert (main(running).started, main(running).ready) == (False, False)
    started = await node.until(lambda pod: bool(main(pod).started))
    assert main(started).ready


async def test_a_post_start_hook_that_fails_ends_the_container(node: Cluster) -> None:
    await node.run("forever", "", lifecycle=Lifecycle(post_start=NOBODY))
    failed = await node.until_phase("Failed")
    assert main(failed).state.terminated.exit_code == 137
    assert "PostStartHook failed: Get" in await node.until_event("FailedPostStartHook")


async def test_a_pre_stop_hook_is_waited_for(node: Cluster) -> None:
    await node.run("tick", "100", lifecycle=Lifecycle(pre_stop=SLEEP))
    await node.until_phase("Running")
    began = asyncio.get_running_loop().time()
    await node.pods.delete("pod")
    await node.until_gone()
    assert asyncio.get_running_loop().time() - began >= 1


async def test_a_pre_stop_hook_has_the_grace_period_and_no_longer(node: Cluster) -> None:
    endless = LifecycleHandler(sleep=SleepAction(seconds=600))
    await node.run("forever", "", lifecycle=Lifecycle(pre_stop=endless), termination_grace_period_seconds=900)
    await node.until_phase("Running")
    await node.pods.delete("pod", grace_period=1)
    await node.until_gone()
    assert "grace period of 1 s" in await node.until_event("FailedPreStopHook")


async def test_another_deletion_with_less_time_cuts_a_hook_short(node: Cluster) -> None:
    endless = LifecycleHandler(sleep=SleepAction(seconds=600))
    await node.run("forever", "", lifecycle=Lifecycle(pre_stop=endless), termination_grace_period_seconds=900)
    await node.until_phase("Running")
    await node.pods.delete("pod")
    await node.until_event("Killing", "Stopping container main")
    await node.pods.delete("pod", grace_period=1)
    await node.until_gone()


async def test_a_forced_deletion_does_not_wait_for_hooks(node: Cluster) -> None:
    endless = LifecycleHandler(sleep=SleepAction(seconds=29))
    await node.run("forever", "", lifecycle=Lifecycle(pre_stop=endless))
    pod = await node.until_phase("Running")
    directory = node.directory / "kubelet" / "pods" / f"default_pod_{pod.metadata.uid}"
    await node.pods.delete("pod")
    await node.until_event("Killing")
    await node.pods.delete("pod", grace_period=0)
    await node.eventually(lambda: not directory.exists())


async def test_a_pre_stop_hook_that_fails_changes_nothing(node: Cluster) -> None:
    await node.run("forever", "", lifecycle=Lifecycle(pre_stop=NOBODY))
    await node.until_phase("Running")
    await node.pods.delete("pod")
    await node.until_gone()
    assert "PreStopHook failed: Get" in await node.until_event("FailedPreStopHook")


# Sidecars


def sidecar(node: Cluster, name: str, *args: str, **fields: Any) -> Container:
    return Container(name=name, image=node.image, args=[*args], restart_policy="Always", **fields)


async def test_a_sidecar_starts_before_the_others_and_ends_after_them(node: Cluster) -> None:
    pod = node.pod("sleep", "300", "say", "done")
    pod.spec.init_containers = [
        sidecar(node, "proxy", "forever", "", lifecycle=Lifecycle(post_start=SLEEP)),
        Container(name="init", image=node.image, args=["say", "after the proxy"]),
    ]
    await node.pods.create(pod)
    done = await node.until_phase("Succeeded")
    proxy, init = done.status.init_container_statuses
    assert init.state.terminated.started_at > proxy.state.terminated.started_at
    assert main(done).state.terminated.exit_code == 0
    assert proxy.state.terminated.exit_code == 137
    assert proxy.state.terminated.finished_at >= main(done).state.terminated.finished_at


async def test_a_sidecar_that_ends_is_restarted_whatever_the_pods_policy(node: Cluster) -> None:
    pod = node.pod("forever", "")
    pod.spec.init_containers = [sidecar(node, "proxy", "sleep", "100", "exit", "0")]
    await node.pods.create(pod)
    seen = await node.until(lambda pod: pod.status.init_container_statuses[0].restart_count >= 2)
    assert seen.status.phase == "Running"
    assert main(seen).restart_count == 0


async def test_an_unready_sidecar_makes_the_pod_unready(node: Cluster) -> None:
    pod = node.pod("forever", "")
    pod.spec.init_containers = [sidecar(node, "proxy", "sleep", "500", "trap", "")]
    await node.pods.create(pod)
    ready = await node.until(lambda pod: _ready(pod) == "True")
    assert ready.status.phase == "Running"
    await node.until(lambda pod: _ready(pod) == "False")


async def test_deleting_a_pod_ends_its_sidecars_last(node: Cluster) -> None:
    pod = node.pod("forever", "", lifecycle=Lifecycle(pre_stop=SLEEP))
    pod.spec.init_containers = [sidecar(node, "one", "forever", ""), sidecar(node, "two", "forever", "")]
    await node.pods.create(pod)
    await node.until(lambda pod: bool(main(pod).ready))
    await node.pods.delete("pod")
    ended = await node.until(
        lambda pod: all(one.state.terminated for one in pod.status.init_container_statuses)
    )
    one, two = (status.state.terminated for status in ended.status.init_container_statuses)
    assert main(ended).state.terminated.finished_at <= two.finished_at <= one.finished_at


async def test_a_restarted_kubelet_takes_sidecars_over(cluster: Cluster) -> None:
    pod = cluster.pod("forever", "")
    pod.spec.init_containers = [sidecar(cluster, "proxy", "forever", "")]
    async with cluster.kubelet():
        await cluster.pods.create(pod)
        before = await cluster.until(lambda pod: bool(main(pod).ready))
    async with cluster.kubelet():
        await cluster.run("say", "x", name="second")
        await cluster.until_phase("Succeeded", "second")
        after = await cluster.pods.get("pod")
        await cluster.pods.delete("pod")
        await cluster.until_gone()
    assert after.status.init_container_statuses == before.status.init_container_statuses
    assert after.status.phase == "Running"


def _ready(pod: Pod) -> str:
    return next((one.status for one in pod.status.conditions if one.type == "Ready"), "")
