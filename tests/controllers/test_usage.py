"""What nodes and pods use: read from kubelets, shown by kubectl, and autoscaled by."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from proa.app import http
from proa.controlplane import ApiServer
from proa.controlplane.metrics._scrape import Container, Figures, read
from proa.controlplane.metrics._usage import node_metrics, pod_metrics
from proa.controlplane.testing import eventually, fake_kubelet
from proa.kube import Api, Client
from proa.kube.models import Quantity
from proa.kube.models.apps_v1 import Deployment
from proa.kube.models.core_v1 import (
    DaemonEndpoint,
    Event,
    Node,
    NodeAddress,
    NodeDaemonEndpoints,
    NodeStatus,
    Pod,
)
from proa.kube.models.meta_v1 import ObjectMeta

Kubectl = Callable[..., Awaitable[str]]

SAID = """
# HELP container_cpu_usage_seconds_total x
container_cpu_usage_seconds_total{container="c",namespace="ns",pod="p"} 10.5 1700000000000
container_memory_working_set_bytes{container="c",namespace="ns",pod="p"} 2.097152e+06
container_start_time_seconds{container="c",namespace="ns",pod="p"} 50
node_cpu_usage_seconds_total 100
node_memory_working_set_bytes 1024
container_cpu_usage_seconds_total{namespace="ns"} 9
container_memory_working_set_bytes{container="bad",namespace="ns",pod="p"} NaN
something nobody understands {{{
"""


def test_a_kubelets_answer_is_read_and_nonsense_passed_over() -> None:
    reading = read(SAID, 7.0)
    assert reading.node == Figures(100.0, 1024.0)
    assert reading.containers == {Container("ns", "p", "c"): Figures(10.5, 2097152.0, 50.0)}


def test_two_readings_make_a_rate() -> None:
    before, now = (
        read(SAID, 100.0),
        read(SAID.replace("10.5", "15.5").replace("total 100", "total 120"), 110.0),
    )
    pod = pod_metrics("ns", "p", {"app": "x"}, before, now)
    assert pod is not None
    assert pod["containers"] == [{"name": "c", "usage": {"cpu": "500000000n", "memory": "2048Ki"}}]
    assert (pod["window"], pod["metadata"]["labels"]) == ("10.000s", {"app": "x"})
    node = node_metrics("n", {}, before, now)
    assert node is not None
    assert node["usage"] == {"cpu": "2000000000n", "memory": "1Ki"}


def test_a_container_that_started_anew_is_measured_from_its_start() -> None:
    before = read(SAID, 100.0)
    now = read(SAID.replace(" 50\n", " 106\n").replace("10.5", "2"), 110.0)
    pod = pod_metrics("ns", "p", {}, before, now)
    assert pod is not None
    assert pod["containers"][0]["usage"]["cpu"] == "500000000n"


def test_a_pod_of_which_not_all_is_known_is_left_out() -> None:
    before, now = read("", 100.0), read(SAID, 110.0)
    assert pod_metrics("ns", "p", {}, before, now) is None
    assert pod_metrics("ns", "other", {}, before, now) is None
    assert node_metrics("n", {}, now, read("", 120.0)) is None


MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeName: node-1
      containers: [{name: main, image: "hello:1", resources: {requests: {cpu: 100m}}}]
"""


@pytest.fixture
async def node(server: ApiServer, client: Client) -> AsyncIterator[None]:
    """A node on which each pod uses a fifth of a processor and 3 MiB; it counts from 1970 on."""

    async def said(_: web.Request) -> web.Response:
        lines = [f"node_cpu_usage_seconds_total {time.time() / 2}", "node_memory_working_set_bytes 1e9"]
        async for pod in Api(client, Pod, namespace="default").list():
            labels = f'{{container="main",namespace="default",pod="{pod.metadata.name}"}}'
            lines += [
                f"container_cpu_usage_seconds_total{labels} {time.time() / 5}",
                f"container_memory_working_set_bytes{labels} {3 * 2**20}",
                f"container_start_time_seconds{labels} 1",
            ]
        return web.Response(text="\n".join(lines))

    application = web.Application()
    application.router.add_get("/metrics/resource", said)
    pki = server.settings.data_dir / "pki"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
    async with http.listen(application, ssl_context=context) as running:
        nodes = Api(client, Node)
        made = await nodes.create(Node(metadata=ObjectMeta(name="node-1")))
        made.status = NodeStatus(
            addresses=[NodeAddress(type="InternalIP", address="127.0.0.1")],
            daemon_endpoints=NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=running.port)),
            allocatable={"cpu": Quantity("2"), "memory": Quantity("4Gi"), "pods": Quantity("9")},
        )
        await nodes.replace_status(made)
        yield


async def test_kubectl_top_and_autoscale(client: Client, kubectl: Kubectl, node: None) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    deployments = Api(client, Deployment, namespace="default")
    async with fake_kubelet(client):
        await eventually(lambda: deployments.get("web"), lambda one: one.status.ready_replicas == 2)
        pods = (await kubectl("top", "pods", "-l", "app=web", "--no-headers")).splitlines()
        for line in pods:
            _, cpu, memory = line.split()
            assert 100 < int(cpu.removesuffix("m")) < 400, "about 200m: it is measured over a second"
            assert memory == "3Mi"
        assert len(pods) == 2
        (top,) = (await kubectl("top", "nodes", "--no-headers")).splitlines()
        name, cpu, _, memory, percent = top.split()
        assert (name, memory, percent) == ("node-1", "953Mi", "23%")
        assert 250 < int(cpu.removesuffix("m")) < 1000

        await kubectl("autoscale", "deployment/web", "--min=1", "--max=5", "--cpu=50%")
        await eventually(lambda: deployments.get("web"), lambda one: one.spec.replicas == 5)
        scaler = (await kubectl("get", "hpa", "web", "--no-headers")).split()
        assert scaler[:3] == ["web", "Deployment/web", "cpu:"]
        assert scaler[3].endswith("%/50%")

        async def told() -> list[str | None]:
            events = Api(client, Event, namespace="default").list()
            return [event.message async for event in events if event.reason == "SuccessfulRescale"]

        message = "New size: 5; reason: cpu resource utilization (percentage of request) above target"
        assert await eventually(told, bool) == [message]
        described = await kubectl("describe", "hpa", "web")
        assert "resource cpu on pods  (as a percentage of request):" in described
        assert "ScalingLimited  True    TooManyReplicas" in described

        pods_metric = {"metric": {"name": "qps"}, "target": {"type": "AverageValue", "averageValue": "10"}}
        more = [{"op": "add", "path": "/spec/metrics/0", "value": {"type": "Pods", "pods": pods_metric}}]
        await kubectl("patch", "hpa", "web", "--type=json", "-p", json.dumps(more))

        async def shown() -> str:
            return " ".join((await kubectl("get", "hpa", "web", "--no-headers")).split())

        row = await eventually(shown, lambda one: "<unknown>/10, cpu: " in one and "%/50%" in one)
        assert "cpu: <unknown>" not in row


async def test_an_autoscaler_without_a_target_says_so(client: Client, kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    await kubectl("autoscale", "deployment/web", "--max=5", "--cpu=50%")
    await kubectl("delete", "deployment", "web")

    async def conditions() -> str:
        return await kubectl("get", "hpa", "web", "-o", "jsonpath={.status.conditions[*].reason}")

    await kubectl("patch", "hpa", "web", "-p", '{"spec": {"maxReplicas": 6}}')
    assert "FailedGetScale" in await eventually(conditions, lambda said: "FailedGetScale" in said)
