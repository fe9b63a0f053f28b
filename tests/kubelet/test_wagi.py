"""Pods of the RuntimeClass wagi: their modules answer HTTP requests at the pod's own address."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from proa.kube import Api
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import (
    ContainerPort,
    EnvVar,
    HostPathVolumeSource,
    HTTPGetAction,
    Pod,
    Probe,
    ResourceRequirements,
    Volume,
    VolumeMount,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.models.node_v1 import RuntimeClass
from proa.kubelet import _wagi
from proa.kubelet.errors import ContainerConfigError
from proa.oci import RegistryClient, push_module
from proa.wasm.testing import compile_c

Cluster = Any
PORT = 8080

HANDLER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    const char *query = getenv("QUERY_STRING");
    static int requests = 0;
    if (!strcmp(query, "trap")) __builtin_trap();
    if (!strcmp(query, "eat")) { volatile char *room = malloc(60 << 20); room[59 << 20] = 1; }
    if (!strcmp(query, "wait")) {
        fopen("/data/waiting", "w");
        while (access("/data/go", F_OK)) usleep(10000);
    }
    if (!strcmp(query, "complain")) fputs("this is not right\n", stderr);
    if (!strcmp(query, "write")) puts(fopen("/data/new", "w") ? "Status: 200\n" : "Status: 403\n");
    else {
        puts("Content-Type: text/plain\n");
        printf("%s %s %d\n", getenv("GREETING"), getenv("PATH_INFO"), ++requests);
    }
    return 0;
}
"""


@pytest.fixture(scope="session")
def handler() -> Path:
    return compile_c(HANDLER)


@pytest.fixture
async def image(cluster: Cluster, handler: Path) -> str:
    """The image of a handler, in a cluster whose RuntimeClass for it has a name of its own."""
    runtime = RuntimeClass(metadata=ObjectMeta(name="handlers"), handler="wagi")
    await Api(cluster.client, RuntimeClass).create(runtime)
    reference = cluster.registry.reference("handler:1")
    async with RegistryClient() as registries:
        await push_module(registries, handler, reference)
    return str(reference)


async def _serve(node: Cluster, image: str, **fields: object) -> Pod:
    """Run a pod that answers requests; it is ready on return."""
    await node.run(
        image=image,
        runtime_class_name="handlers",
        ports=[ContainerPort(container_port=PORT)],
        env=[EnvVar(name="GREETING", value="hi")],
        **fields,
    )
    served: Pod = await node.until(lambda pod: pod.status.container_statuses[0].ready)
    return served


def _data(directory: Path) -> Volume:
    """A directory that a guest, who is nobody, may write to."""
    data = directory / "data"
    data.mkdir(0o777)
    data.chmod(0o777)
    return Volume(name="data", host_path=HostPathVolumeSource(path=str(data)))


def _url(pod: Pod) -> str:
    return f"http://{pod.status.pod_ip}:{PORT}"


async def test_each_request_gets_an_instance_of_its_own(node: Cluster, image: str) -> None:
    pod = await _serve(node, image)
    async with ClientSession() as client:
        for path in ("/a", "/b"):
            async with client.get(_url(pod) + path) as response:
                assert (response.status, await response.text()) == (200, f"hi {path} 1\n")


async def test_what_goes_wrong_is_in_the_log_under_the_requests_id(node: Cluster, image: str) -> None:
    limits = ResourceRequirements(limits={"memory": Quantity("32Mi")})
    pod = await _serve(node, image, resources=limits)
    identifiers = []
    async with ClientSession() as client:
        for query, status in (("complain", 200), ("trap", 500), ("eat", 503)):
            async with client.get(f"{_url(pod)}/?{query}") as response:
                assert response.status == status, query
                identifiers.append(response.headers["X-Request-Id"])
        async with client.get(_url(pod), headers={"X-Request-Id": "mine"}) as response:
            assert response.headers["X-Request-Id"] == "mine"
    lines = (await node.logs()).decode().splitlines()
    complaint, trap, memory = ([line for line in lines if line.startswith(each)] for each in identifiers)
    assert complaint == [f"{identifiers[0]} this is not right"]
    assert "unreachable" in trap[0]
    assert any("wasm backtrace" in line for line in trap)
    assert "bytes of memory" in memory[0]


async def test_probes_reach_the_module(node: Cluster, image: str) -> None:
    def probe(path: str) -> Probe:
        return Probe(http_get=HTTPGetAction(path=path, port=PORT), period_seconds=1)

    pod = await _serve(node, image, readiness_probe=probe("/ready"), liveness_probe=probe("/"))
    assert pod.status.container_statuses[0].started


async def test_requests_under_way_are_answered_before_the_pod_ends(
    node: Cluster, image: str, tmp_path: Path
) -> None:
    volume = await asyncio.to_thread(_data, tmp_path)
    pod = await _serve(
        node, image, volumes=[volume], volume_mounts=[VolumeMount(name="data", mount_path="/data")]
    )
    async with ClientSession() as client:
        asking = asyncio.create_task(client.get(f"{_url(pod)}/?wait"))
        await node.eventually((tmp_path / "data" / "waiting").exists)
        await node.pods.delete("pod", grace_period=20)
        await node.until_event("Killing")
        await asyncio.to_thread((tmp_path / "data" / "go").touch)
        async with await asking as response:
            assert response.status == 200
    await node.until_gone()
    async with asyncio.timeout(30):
        # An executor that was being forked just then may hold the socket for a moment.
        while await _listens(pod):
            pass


async def _listens(pod: Pod) -> bool:
    try:
        _, writer = await asyncio.open_connection(pod.status.pod_ip, PORT)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_a_module_cannot_write_to_what_is_mounted_for_reading(
    node: Cluster, image: str, tmp_path: Path
) -> None:
    volume = await asyncio.to_thread(_data, tmp_path)
    mount = VolumeMount(name="data", mount_path="/data", read_only=True)
    pod = await _serve(node, image, volumes=[volume], volume_mounts=[mount])
    async with ClientSession() as client, client.get(f"{_url(pod)}/?write") as response:
        assert response.status == 403


async def test_a_request_has_the_time_that_the_annotation_grants(node: Cluster, image: str) -> None:
    made = node.pod(
        image=image, runtime_class_name="handlers", ports=[ContainerPort(container_port=PORT)],
        volumes=[Volume(name="data")],
        volume_mounts=[VolumeMount(name="data", mount_path="/data")],
    )  # fmt: skip
    made.metadata.annotations = {"proa.dev/request-timeout": "500ms"}
    await node.pods.create(made)
    pod = await node.until(lambda pod: pod.status.container_statuses[0].ready)
    async with ClientSession() as client, client.get(f"{_url(pod)}/?wait") as response:
        assert response.status == 504


def test_the_time_for_a_request_is_a_duration() -> None:
    assert _wagi.request_seconds({}) == 60
    assert _wagi.request_seconds({"proa.dev/request-timeout": "1m30s"}) == 90
    assert _wagi.request_seconds({"proa.dev/request-timeout": "0"}) is None
    with pytest.raises(ContainerConfigError, match="'soon' is not a duration"):
        _wagi.request_seconds({"proa.dev/request-timeout": "soon"})


async def test_it_goes_on_serving_while_the_kubelet_is_away(cluster: Cluster, image: str) -> None:
    async with ClientSession() as client:
        async with cluster.kubelet():
            pod = await _serve(cluster, image)
        async with client.get(_url(pod)) as response:
            assert response.status == 200
        async with cluster.kubelet():
            async with client.get(_url(pod)) as response:
                assert response.status == 200
            await cluster.pods.delete("pod")
            await cluster.until_gone()


async def test_a_container_without_a_port_is_told(node: Cluster, image: str) -> None:
    await node.run(image=image, runtime_class_name="handlers")
    message = await node.until_waiting("CreateContainerConfigError")
    assert "needs a containerPort" in message
