"""Containers of pods whose RuntimeClass has the handler `wagi`: their modules answer HTTP requests.

Such a container is a sandbox as any other, with its log, limits, mounts and end. It is only given a socket
that listens on its first TCP port at the pod's address, and a server that runs the module once for each
request (`proa.wagi.pods`). Init containers run to their end, as they always do.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from proa.app.settings import parse_duration
from proa.kube import Api, KubeError
from proa.kube.models.core_v1 import Container as ContainerSpec
from proa.kube.models.node_v1 import RuntimeClass
from proa.kubelet.errors import ContainerConfigError
from proa.wasm import Sandbox, SandboxSpec, WasmError

if TYPE_CHECKING:
    from proa.kubelet._container import Container

HANDLER: Final = "wagi"
REQUEST_TIMEOUT: Final = "proa.dev/request-timeout"
REQUEST_SECONDS: Final = 60.0

_SERVER: Final = "proa.wagi.pods:main"
_BACKLOG: Final = 1024


async def is_server(container: "Container") -> bool:
    """Whether it answers requests rather than runs to its end.

    Raises:
        proa.kube.KubeError: The API server, asked for the RuntimeClass, is away or refuses.
    """
    name = container.context.pod.spec.runtime_class_name
    if container.init or name is None:
        return False
    runtime = await Api(container.context.services.client, RuntimeClass).get_opt(name)
    return runtime is not None and runtime.handler == HANDLER


async def start(container: "Container", spec: SandboxSpec) -> Sandbox:
    """Start a sandbox that answers requests.

    Raises:
        ContainerConfigError: It has no port, or that is taken; or its annotation makes no sense.
        proa.wasm.WasmError: As of `Sandboxes.start`.
    """
    seconds = request_seconds(container.context.pod.metadata.annotations)
    own = replace(spec, server=_SERVER, request_seconds=seconds)
    with _listening(container.spec, container.context.ip) as listener:
        return await container.context.services.sandboxes.start(own, listener.fileno())


def request_seconds(annotations: Mapping[str, str]) -> float | None:
    """The time that a pod's servers have for each request: what its annotation says; 0 is no limit. Pure.

    Raises:
        ContainerConfigError: The annotation makes no sense.
    """
    text = annotations.get(REQUEST_TIMEOUT)
    if text is None:
        return REQUEST_SECONDS
    try:
        return parse_duration(text).total_seconds() or None
    except ValueError as error:
        raise ContainerConfigError(f"annotation {REQUEST_TIMEOUT}: {text!r} is not {error}") from None


async def finish(container: "Container", seconds: float) -> None:
    """Let a server answer the requests that are under way, for at most so long; others are left alone."""
    with contextlib.suppress(KubeError, WasmError, TimeoutError):
        async with asyncio.timeout(seconds):
            if await is_server(container):
                for sandbox in container.sandboxes():
                    sandbox.terminate()
                    await sandbox.wait()


@contextlib.contextmanager
def _listening(spec: ContainerSpec, address: str) -> Iterator[socket.socket]:
    ports = [port.container_port for port in spec.ports if port.protocol in {None, "TCP"}]
    if not ports:
        raise ContainerConfigError(f"container {spec.name} answers requests and needs a containerPort")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, ports[0]))
            listener.listen(_BACKLOG)
        except OSError as error:
            where = f"{address} port {ports[0]}"
            raise ContainerConfigError(f"cannot listen on {where}: {error.strerror}") from None
        yield listener
