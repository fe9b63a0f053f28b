"""Server guests behind a Service, on a cluster as a person has it."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from proa.cli.testing import Up, proa
from proa.wasm.testing import compile_c

pytestmark = pytest.mark.xdist_group("cli")

PORT = 18282
HOST = {"Host": "web.default.localhost"}
HANDLER = r"""
#include <stdio.h>
int main(void) {
    puts("Content-Type: text/plain\n");
    puts("VERSION");
    return 0;
}
"""
WEB = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: default}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      runtimeClassName: wagi
      containers:
      - name: main
        image: IMAGE
        ports: [{{containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: default}}
spec:
  selector: {{app: web}}
  ports: [{{port: {PORT}, targetPort: 8080}}]
"""

ASKING = r"""
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#define HTTP(name) __attribute__((import_module("wasi_experimental_http"), import_name(name)))
HTTP("req") uint32_t request(const char *, uint32_t, const char *, uint32_t, const char *, uint32_t,
                             const char *, uint32_t, uint16_t *, uint32_t *);
int main(int argc, char **argv) {
    uint16_t status = 0;
    uint32_t handle = 0, error = 1;
    for (int i = 0; error && i < 300; i++) { /* until the network knows the Service */
        error = request(argv[1], strlen(argv[1]), "GET", 3, "", 0, "", 0, &status, &handle);
        if (error) usleep(100000);
    }
    printf("%u\n", error ? error : status);
    return 0;
}
"""


@pytest.fixture(scope="session")
def versions() -> dict[str, Path]:
    return {version: compile_c(HANDLER.replace("VERSION", version)) for version in ("one", "two")}


def pushed(cluster: Up, guest: Path, name: str) -> str:
    image = f"{cluster.registry}/{name}"
    result = proa("push", guest, image, KUBECONFIG=str(cluster.kubeconfig))
    assert result.returncode == 0, result.stderr
    return image


class Load:
    """Clients that ask without a pause, each once a connection or all on one, and what they are answered."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def on(self, *urls: str, clients: int = 3) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for url in urls:
                for number in range(clients):
                    group.create_task(self._ask(url, close=number > 0))
            try:
                yield
            finally:
                self._stop.set()

    async def _ask(self, url: str, *, close: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=close)
        async with aiohttp.ClientSession(connector=connector, headers=HOST) as session:
            while not self._stop.is_set():
                try:
                    async with session.get(url) as answer:
                        self.answers[f"{answer.status} {(await answer.text()).strip()}"] += 1
                except aiohttp.ClientError as error:
                    self.answers[repr(error)] += 1

    async def until(self, holds: Callable[[Counter[str]], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds(self.answers):  # noqa: ASYNC110 - what is counted has no events
                await asyncio.sleep(0.01)


async def test_a_deployment_is_rolled_to_another_version_without_a_failed_request(
    cluster: Up, versions: dict[str, Path]
) -> None:
    kubectl = cluster.kubectl
    image = await asyncio.to_thread(pushed, cluster, versions["one"], "web:one")
    newer = await asyncio.to_thread(pushed, cluster, versions["two"], "web:two")
    await asyncio.to_thread(kubectl, "apply", "-f", "-", stdin=WEB.replace("IMAGE", image))
    rolled_out = ("rollout", "status", "deployment/web", "--timeout=45s")
    await asyncio.to_thread(kubectl, *rolled_out)
    address = kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    found = re.search(r"localhost:(\d+)/\n  names", cluster.log.read_text())
    assert found, cluster.log.read_text()
    direct, ingress = f"http://{address}:{PORT}/", f"http://127.0.0.1:{found[1]}/"
    await serves(direct, ingress)

    load = Load()
    async with load.on(direct, ingress):
        await load.until(lambda answers: answers["200 one"] > 50)
        await asyncio.to_thread(kubectl, "set", "image", "deployment/web", f"main={newer}")
        await asyncio.to_thread(kubectl, *rolled_out)
        before = load.answers["200 two"]
        await load.until(lambda answers: answers["200 two"] > before + 50)
    assert set(load.answers) == {"200 one", "200 two"}, load.answers


async def serves(*urls: str) -> None:
    """Wait until the network has seen the Service and its endpoints."""
    async with asyncio.timeout(30), aiohttp.ClientSession(headers=HOST) as session:
        for url in urls:
            while True:
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.01)


def test_a_guest_asks_a_service_by_its_name(cluster: Up, versions: dict[str, Path]) -> None:
    web = pushed(cluster, versions["one"], "web:one")
    cluster.kubectl("apply", "-f", "-", stdin=WEB.replace("IMAGE", web))
    url = f"http://web.default:{PORT}/"
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "asking",
            "namespace": "default",
            "annotations": {"proa.dev/allowed-hosts": url},
        },
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {"name": "main", "image": pushed(cluster, compile_c(ASKING), "asking:1"), "args": [url]}
            ],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/asking", "--timeout=45s")
    assert cluster.kubectl("logs", "asking") == "200\n"
