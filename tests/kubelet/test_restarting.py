"""What becomes of pods when the kubelet, the zygote or the API server goes away under them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proa.controlplane import ApiServer, ApiServerSettings
from proa.kube import Api, Client, Config, Strategic, WatchEvent
from proa.kube.models.core_v1 import Node, Pod
from proa.kubelet import _container_states, _node_agent
from proa.wasm import Sandboxes, ZygoteLostError

Cluster = Any

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from proa.kube import Config
from proa.kubelet import Kubelet, KubeletSettings

async def main(kubeconfig, data_dir, name):
    settings = KubeletSettings(node_name=name, data_dir=Path(data_dir), port=0)
    async with Kubelet(settings, Config.from_kubeconfig(kubeconfig)):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def kubelet_process(cluster: Cluster) -> AsyncIterator[asyncio.subprocess.Process]:
    """A kubelet in a process of its own, killed hard in the end."""
    kubeconfig = cluster.server.kubeconfig_for("system:node:node-1", ("system:nodes",))
    arguments = [str(kubeconfig), str(cluster.directory / "kubelet"), "node-1"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


def sandboxes_of(cluster: Cluster) -> AbstractAsyncContextManager[Sandboxes]:
    data_dir = cluster.directory / "kubelet"
    return Sandboxes.open(data_dir / "sandboxes", data_dir / "modules")


def main(pod: Pod) -> Any:
    return pod.status.container_statuses[0]


async def test_a_killed_kubelet_leaves_guests_running_and_the_next_one_adopts_them(cluster: Cluster) -> None:
    async with kubelet_process(cluster):
        await cluster.run("tick", "2", restart_policy="Always")
        before = await cluster.until_phase("Running")
        async for line in cluster.pods.logs("pod", follow=True):
            if line == b"tick 20":
                break
    async with cluster.kubelet():
        after = await cluster.pods.get("pod")
        assert main(after).container_id == main(before).container_id
        assert main(after).restart_count == 0
        assert main(after).state.running.started_at == main(before).state.running.started_at
        async with asyncio.timeout(20):
            count = 0
            async for line in cluster.pods.logs("pod", follow=True):
                assert line == b"tick %d" % count
                count += 1
                if count == 300:
                    break
        assert (await cluster.pods.get("pod")).status.phase == "Running"


async def test_the_end_of_a_guest_is_learnt_by_the_next_kubelet(cluster: Cluster) -> None:
    async with kubelet_process(cluster):
        await cluster.run("say", "one", "sleep", "500", "say", "two", "exit", "7")
        before = await cluster.until_phase("Running")
    async with Sandboxes.open(
        cluster.directory / "kubelet" / "sandboxes", cluster.directory / "kubelet" / "modules"
    ) as sandboxes:
        (sandbox,) = sandboxes.list()
        await sandbox.wait()
    async with cluster.kubelet():
        pod = await cluster.until_phase("Failed")
        assert main(pod).state.terminated.exit_code == 7
        assert main(pod).container_id == main(before).container_id
        assert main(pod).restart_count == 0
        assert await cluster.logs() == b"one\ntwo"


async def test_pods_deleted_while_no_kubelet_ran_are_cleaned_up(cluster: Cluster) -> None:
    async with cluster.kubelet():
        await cluster.run("forever", "")
        await cluster.until_phase("Running")
    await cluster.pods.delete("pod", grace_period=0)
    async with cluster.kubelet() as kubelet:
        await cluster.eventually(lambda: not list((kubelet.settings.data_dir / "pods").iterdir()))
    async with Sandboxes.open(
        cluster.directory / "kubelet" / "sandboxes", cluster.directory / "kubelet" / "modules"
    ) as sandboxes:
        assert sandboxes.list() == []


async def test_what_has_ended_is_never_run_again(cluster: Cluster) -> None:
    async with cluster.kubelet():
        await cluster.run("say", "x")
        before = await cluster.until_phase("Succeeded")
    async with cluster.kubelet():
        await cluster.run("say", "y", name="marker")
        await cluster.until_phase("Succeeded", "marker")
        after = await cluster.pods.get("pod")
        assert after.status.container_statuses == before.status.container_statuses
        assert await cluster.logs() == b"x"


async def test_a_container_without_a_sandbox_counts_as_dead_and_is_restarted_by_its_policy(
    cluster: Cluster,
) -> None:
    async with cluster.kubelet(stop_pods_on_exit=True):
        await cluster.run("forever", "", name="again", restart_policy="Always")
        await cluster.run("forever", "", name="never", restart_policy="Never")
        await cluster.until_phase("Running", "again")
        await cluster.until_phase("Running", "never")
    async with cluster.kubelet():
        again = await cluster.until(lambda pod: main(pod).restart_count == 1, "again")
        end = main(again).last_state.terminated
        assert (end.exit_code, end.reason) == (137, "ContainerStatusUnknown")
        never = await cluster.until_phase("Failed", "never")
        assert main(never).state.terminated.reason == "ContainerStatusUnknown"


async def test_stopping_pods_on_exit_leaves_no_process(cluster: Cluster) -> None:
    async with cluster.kubelet(stop_pods_on_exit=True):
        await cluster.run("forever", "")
        await cluster.until_phase("Running")
        (zygote,) = zygotes(cluster.directory / "kubelet" / "sandboxes")
    await cluster.eventually(lambda: not alive(zygote))
    assert (await cluster.pods.get("pod")).status.phase == "Running"


async def test_a_lost_zygote_is_replaced_and_containers_are_restarted(node: Cluster) -> None:
    await node.run("forever", "", restart_policy="Always")
    await node.until_phase("Running")
    (zygote,) = zygotes(node.directory / "kubelet" / "sandboxes")
    os.kill(zygote, signal.SIGKILL)
    pod = await node.until(lambda pod: main(pod).restart_count == 1 and main(pod).state.running is not None)
    assert main(pod).last_state.terminated.exit_code == 137


async def test_the_api_server_may_go_and_come_back(cluster: Cluster) -> None:
    settings = ApiServerSettings(data_dir=cluster.directory / "other", port=0)
    first = ApiServer(settings)
    async with first:
        kubeconfig = first.kubeconfig
        port = first.port
        config = Config.from_kubeconfig(kubeconfig)
        kubelet = cluster.kubelet_of(config)
        await kubelet.__aenter__()
        async with Client(config) as client:
            await Api(client, Pod, namespace="default").create(
                cluster.pod("sleep", "300", "say", "x", "exit", "4")
            )
            other = cluster.seen_by(client)
            await other.until_phase("Running")
    await asyncio.sleep(0.5)  # the guest ends while there is no API server
    try:
        async with (
            ApiServer(ApiServerSettings(data_dir=settings.data_dir, port=port)),
            Client(config) as client,
        ):
            pod = await cluster.seen_by(client).until_phase("Failed")
            assert main(pod).state.terminated.exit_code == 4
    finally:
        await kubelet.__aexit__(None, None, None)


async def test_what_guests_print_is_read_while_a_new_kubelet_waits_for_the_api_server(
    cluster: Cluster,
) -> None:
    async with ApiServer(ApiServerSettings(data_dir=cluster.directory / "other", port=0)) as server:
        config = Config.from_kubeconfig(server.kubeconfig)
        async with cluster.kubelet_of(config), Client(config) as client:
            await Api(client, Pod, namespace="default").create(cluster.pod("tick", "20"))
            await cluster.seen_by(client).until_phase("Running")
    (log,) = (cluster.directory / "kubelet" / "pods").rglob("0.log")
    size = log.stat().st_size
    entering = asyncio.create_task(cluster.kubelet_of(config).__aenter__())
    await cluster.eventually(lambda: log.stat().st_size > size)
    assert not entering.done()
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)


async def test_a_data_directory_is_for_one_kubelet_only(node: Cluster) -> None:
    with pytest.raises(ZygoteLostError, match="cannot be used"):
        async with node.kubelet():
            pass


async def test_a_kubelet_waits_for_an_api_server_that_is_not_there_yet(cluster: Cluster) -> None:
    settings = ApiServerSettings(data_dir=cluster.directory / "other", port=0)
    async with ApiServer(settings) as first:
        config, port = Config.from_kubeconfig(first.kubeconfig), first.port
    async with asyncio.TaskGroup() as group:
        kubelet = cluster.kubelet_of(config)
        entering = group.create_task(kubelet.__aenter__())
        await asyncio.sleep(0.3)
        assert not entering.done()
        async with (
            ApiServer(ApiServerSettings(data_dir=settings.data_dir, port=port)),
            Client(config) as client,
        ):
            await entering
            assert await Api(client, Node).get_opt("node-1") is not None
            await kubelet.__aexit__(None, None, None)


async def test_a_bug_in_one_pods_worker_is_that_pods_trouble_only(
    node: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, bugs = _container_states.Pulling.next, ["a bug"]

    async def buggy(self: Any, container: Any, pod: Any) -> Any:
        if bugs and container.context.pod.metadata.name == "unlucky":
            raise RuntimeError(bugs.pop())
        return await real(self, container, pod)

    monkeypatch.setattr(_container_states.Pulling, "next", buggy)
    await node.run("say", "x", name="unlucky")
    await node.run("say", "y", name="lucky")
    await node.until_phase("Succeeded", "lucky")
    await node.until_phase("Succeeded", "unlucky")
    assert not bugs


async def test_a_node_that_was_deleted_registers_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_node_agent, "LOOK_EVERY", 0.1)
    async with cluster.kubelet():
        await _delete_and_wait(Api(cluster.client, Node))


async def _delete_and_wait(nodes: Api[Node]) -> None:
    old = await nodes.get("node-1")
    await nodes.delete("node-1")
    async with asyncio.timeout(30):
        async for event in nodes.watch(old.metadata.resource_version or ""):
            if isinstance(event, WatchEvent) and event.type == "ADDED":
                assert event.object.metadata.uid != old.metadata.uid
                break


async def test_a_status_that_somebody_else_changed_is_put_right(node: Cluster) -> None:
    await node.run("forever", "")
    await node.until_phase("Running")
    wrong = {"status": {"conditions": [{"type": "Ready", "status": "False"}], "podIP": "1.2.3.4"}}
    await node.pods.patch_status("pod", Strategic(wrong))
    await node.until(lambda pod: {c.type: c.status for c in pod.status.conditions}["Ready"] == "True")


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be noticed by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def zygotes(state_dir: Path) -> list[int]:
    """The processes that run the zygote of a state directory and are no sandboxes."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"proa.wasm.zygote" in command and str(state_dir).encode() in b" ".join(command):
                found.append((int(process.name), parent))
    pids = {pid for pid, _ in found}
    return [pid for pid, parent in found if parent not in pids]
