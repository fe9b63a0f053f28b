"""HTTP requests of guests: to the hosts that the pod's annotation names, and to no other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientError, ClientSession, web
from aiohttp.test_utils import TestServer

from proa.controlplane import Network
from proa.controlplane.testing import eventually
from proa.kube import Api
from proa.kube.models.core_v1 import (
    Pod,
    PodDNSConfig,
    PodDNSConfigOption,
    PodSpec,
    Service,
    ServicePort,
    ServiceSpec,
)
from proa.kube.models.discovery_v1 import Endpoint, EndpointPort, EndpointSlice
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet._cluster_dns import ClusterDns, parse_server
from proa.kubelet._outbound import outbound
from proa.kubelet.errors import ContainerConfigError
from proa.oci import RegistryClient, push_module
from proa.wasm.testing import compile_c

Cluster = Any

ASKING = r"""
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define HTTP(name) __attribute__((import_module("wasi_experimental_http"), import_name(name)))
HTTP("req") uint32_t request(const char *, uint32_t, const char *, uint32_t, const char *, uint32_t,
                             const char *, uint32_t, uint16_t *, uint32_t *);
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        uint16_t status = 0;
        uint32_t handle = 0;
        uint32_t error = request(argv[i], strlen(argv[i]), "GET", 3, "", 0, "", 0, &status, &handle);
        if (error) printf("error %u\n", error);
        else printf("%u OK\n", status);
    }
    return 0;
}
"""


@asynccontextmanager
async def answering() -> AsyncIterator[str]:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    site = web.Application()
    site.router.add_get("/", hello)
    async with TestServer(site) as server:
        yield str(server.make_url("/"))


async def test_a_guest_reaches_what_its_pod_allows_only(node: Cluster) -> None:
    image = node.registry.reference("asking:1")
    async with RegistryClient() as client:
        await push_module(client, compile_c(ASKING), image)
    async with answering() as url:
        for name, allowed in (("allowed", url), ("elsewhere", "http://192.0.2.1")):
            pod = node.pod(url, name=name, image=str(image))
            pod.metadata.annotations = {"proa.dev/allowed-hosts": f"https://example.com, {allowed}"}
            await node.pods.create(pod)
        await node.until_phase("Succeeded", "allowed")
        assert await node.logs("allowed") == b"200 OK"
        await node.until_phase("Succeeded", "elsewhere")
        assert (await node.logs("elsewhere")).startswith(b"error")
    await node.run("http://localhost", image=str(image), name="none")
    assert "wasi_experimental_http" in await node.until_waiting("CreateContainerError", "none")


async def test_a_guest_finds_services_by_their_names(cluster: Cluster) -> None:
    image = cluster.registry.reference("asking:1")
    async with RegistryClient() as registries:
        await push_module(registries, compile_c(ASKING), image)
    async with (
        answering() as url,
        Network(cluster.client, ingress_port=0, dns_port=0) as network,
        cluster.kubelet(cluster_dns=(f"127.0.0.1:{network.dns.port}",)),
    ):
        port = urlsplit(url).port or 0
        await make_service(cluster, port)
        names = ("hello", "hello.default", "hello.default.svc", "hello.default.svc.cluster.local")
        urls = [f"http://{name}:{port}/" for name in (*names, "hello.elsewhere")]
        pod = cluster.pod(*urls, image=str(image))
        pod.metadata.annotations = {"proa.dev/allowed-hosts": " ".join(urls)}
        await cluster.pods.create(pod)
        await cluster.until_phase("Succeeded")
        assert (await cluster.logs()).splitlines() == [b"200 OK"] * len(names) + [b"error 11"]


async def make_service(cluster: Cluster, port: int) -> None:
    """A Service whose endpoint is a server of this process; it is served on return."""
    spec = ServiceSpec(ports=[ServicePort(port=port)])
    service = Service(metadata=ObjectMeta(name="hello"), spec=spec)
    made = await Api(cluster.client, Service, namespace="default").create(service)
    slice_ = EndpointSlice(
        metadata=ObjectMeta(name="hello-1", labels={"kubernetes.io/service-name": "hello"}),
        address_type="IPv4",
        endpoints=[Endpoint(addresses=["127.0.0.1"])],
        ports=[EndpointPort(port=port)],
    )
    await Api(cluster.client, EndpointSlice, namespace="default").create(slice_)

    async def served() -> bool:
        try:
            async with ClientSession() as session, session.get(f"http://{made.spec.cluster_ip}:{port}/"):
                return True
        except ClientError:
            return False

    await eventually(served, bool)


SERVERS = ClusterDns(servers=("127.0.0.1:10053",), domain="cluster.test")


@pytest.mark.parametrize(
    ("policy", "config", "expected"),
    [
        (None, None, ("127.0.0.1", 10053, ("ns.svc.cluster.test", "svc.cluster.test", "cluster.test"), 5)),
        ("Default", None, None),
        ("None", PodDNSConfig(nameservers=["9.9.9.9"], searches=["a.b"]), ("9.9.9.9", 53, ("a.b",), 1)),
        (
            "ClusterFirst",
            PodDNSConfig(searches=["a.b"], options=[PodDNSConfigOption(name="ndots", value="2")]),
            ("127.0.0.1", 10053, ("ns.svc.cluster.test", "svc.cluster.test", "cluster.test", "a.b"), 2),
        ),
    ],
)
def test_the_pod_s_policy_says_whom_its_guests_ask(
    policy: str | None, config: PodDNSConfig | None, expected: tuple[object, ...] | None
) -> None:
    pod = Pod(metadata=ObjectMeta(namespace="ns"), spec=PodSpec(dns_policy=policy, dns_config=config))
    found = SERVERS.of(pod)
    assert (found and (found.host, found.port, found.search, found.dots)) == expected


def test_nobody_is_asked_where_the_node_knows_no_name_server() -> None:
    assert ClusterDns().of(Pod()) is None
    with pytest.raises(ValueError, match="ADDRESS:PORT"):
        parse_server("dns.example")


def test_annotations_that_make_no_sense_are_explained() -> None:
    assert outbound(Pod(), ClusterDns()) is None
    for annotations in (
        {"proa.dev/allowed-hosts": "example.com"},
        {"proa.dev/allowed-hosts": "https://example.com", "proa.dev/max-concurrent-requests": "0"},
    ):
        with pytest.raises(ContainerConfigError, match=r"annotation proa\.dev/"):
            outbound(Pod(metadata=ObjectMeta(annotations=annotations)), ClusterDns())
