"""HTTP requests of guests: to the hosts that the pod's annotation names, and to no other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

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
    uint16_t status = 0;
    uint32_t handle = 0;
    uint32_t error = request(argv[1], strlen(argv[1]), "GET", 3, "", 0, "", 0, &status, &handle);
    if (error) printf("error %u\n", error);
    else printf("%u OK\n", status);
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


def test_annotations_that_make_no_sense_are_explained() -> None:
    assert outbound({}) is None
    for annotations in (
        {"proa.dev/allowed-hosts": "example.com"},
        {"proa.dev/allowed-hosts": "https://example.com", "proa.dev/max-concurrent-requests": "0"},
    ):
        with pytest.raises(ContainerConfigError, match=r"annotation proa\.dev/"):
            outbound(annotations)
