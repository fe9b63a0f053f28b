"""A server in the test's own event loop, and a made-up kubelet."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from proa.controlplane.server import ApiServer, ApiServerSettings

if TYPE_CHECKING:
    from proa.kube import Api, Client
    from proa.kube.models.core_v1 import Pod
    from proa.runtime import Reflector

__all__ = ["api_server", "eventually", "fake_kubelet"]

T = TypeVar("T")


@asynccontextmanager
async def api_server(data_dir: Path, *, token_auth_file: Path | None = None) -> AsyncIterator[ApiServer]:
    """An API server on a free port of the loopback interface, ready; its `kubeconfig` is an administrator's.

    Starting takes some 100 ms. Give it a directory of the test's own (`tmp_path`).
    """
    settings = ApiServerSettings(data_dir=data_dir / "apiserver", port=0, token_auth_file=token_auth_file)
    async with ApiServer(settings) as server:
        yield server


async def eventually(
    look: Callable[[], Awaitable[T]], holds: Callable[[T], bool], timeout: float = 15.0
) -> T:
    """Look again and again until what is seen holds, and return it.

    Raises:
        AssertionError: It did not within `timeout` seconds; the message has what was seen last.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        if holds(seen := await look()):
            return seen
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"still {seen}")
        await asyncio.sleep(0.02)  # others act meanwhile, and say nothing of it


@asynccontextmanager
async def fake_kubelet(
    client: Client, exit_code: Callable[[Pod], int | None] = lambda _: None
) -> AsyncIterator[None]:
    """Live every pod's life in its status, whether it is bound to a node or not.

    Args:
        client: The API server.
        exit_code: With what a pod's containers end as soon as they have started; None if they run on, ready.
    """
    from proa.kube import Api
    from proa.kube.models.core_v1 import Pod
    from proa.runtime import Reflector, background

    api = Api(client, Pod)
    async with Reflector(api) as pods, background(_live(pods, api, exit_code), "fake kubelet"):
        yield


async def _live(pods: Reflector[Pod], api: Api[Pod], exit_code: Callable[[Pod], int | None]) -> None:
    from proa.kube import ConflictError, NotFoundError, Strategic
    from proa.runtime import Apply, InitApply

    async for event in pods.subscribe():
        match event:
            case InitApply(pod) | Apply(pod):
                name, namespace = pod.metadata.name or "", pod.metadata.namespace
                going = pod.metadata.deletion_timestamp is not None
                with suppress(NotFoundError, ConflictError):
                    if going and not pod.metadata.finalizers:
                        await api.delete(name, grace_period=0, uid=pod.metadata.uid, namespace=namespace)
                    elif not going and pod.status.phase == "Pending":
                        change = Strategic({"status": _status(pod, exit_code(pod))})
                        await api.patch_status(name, change, namespace=namespace)


def _status(pod: Pod, code: int | None) -> dict[str, object]:
    from proa.kube.models import now

    at, uid = now(), pod.metadata.uid or ""
    ready = {"type": "Ready", "status": "True" if code is None else "False", "lastTransitionTime": at}
    ended = {"terminated": {"exitCode": code, "startedAt": at, "finishedAt": at}}
    state = {"running": {"startedAt": at}} if code is None else ended
    containers = [
        {
            "name": one.name,
            "image": one.image,
            "imageID": "",
            "ready": code is None,
            "restartCount": 0,
            "state": state,
        }
        for one in pod.spec.containers
    ]
    phase = {None: "Running", 0: "Succeeded"}.get(code, "Failed")
    address = ".".join(["127", "66", *(str(byte) for byte in hashlib.sha256(uid.encode()).digest()[:2])])
    return {
        "phase": phase,
        "startTime": at,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [ready],
        "containerStatuses": containers,
    }
