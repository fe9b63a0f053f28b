"""`proa run FILE [--env K=V] [-- ARGS]`: a WebAssembly file as a pod, as if it ran here."""

import argparse
import asyncio
import re
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from proa.app import App, ProaError, run, settings
from proa.app.settings import setting
from proa.cli._cluster import cluster_client, local_registry
from proa.kube import Api, Client, NotFoundError
from proa.kube.models.core_v1 import Container, EnvVar, Pod, PodSpec
from proa.kube.models.meta_v1 import ObjectMeta
from proa.oci import Reference, RegistryClient, push_module
from proa.runtime import Apply, Delete, InitApply, watcher

# Reasons of a waiting container from which it does not come back without another image or another manifest.
HOPELESS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}


# What fits into a pod's name with a suffix.
NAME_LENGTH = 50


class RunFailedError(ProaError):
    """The pod could not run; the message says why."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of `proa run`."""

    env: dict[str, str] = setting({}, help="a variable of the guest, K=V; may be given many times", env=None)
    kubeconfig: Path | None = setting(None, help="the cluster (default: as kubectl, or .proa/kubeconfig)")
    namespace: str = setting("default", help="the pod's namespace")
    registry: str | None = setting(None, help="where to push (default: the cluster's own registry)")
    keep: bool = setting(False, help="leave the pod and its log when it has ended")


def main(arguments: Sequence[str]) -> int:
    """Push a file, run it as a pod, stream its log; returns the guest's exit code."""
    words, guest_arguments = _split(list(arguments))
    parser = argparse.ArgumentParser(
        prog="proa run",
        usage="proa run FILE [--env K=V] [OPTIONS] [-- ARGS]",
        description="Run a WebAssembly file as a pod, stream its log, return its exit code.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a WebAssembly module")
    settings.add_arguments(parser, RunSettings)
    parsed = parser.parse_args(words)
    chosen = settings.resolve(RunSettings, parsed)
    if not parsed.file.is_file():
        raise RunFailedError(f"there is no file {parsed.file}")

    async def pod(app: App) -> int:
        async with cluster_client(chosen.kubeconfig) as client:
            image = await _push(client, chosen, parsed.file)
            wanted = _pod(parsed.file, image, chosen, guest_arguments)
            return await _run_to_end(
                app, Api(client, Pod, namespace=chosen.namespace), wanted, keep=chosen.keep
            )

    return run(pod)


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Part Proa's own words from the guest's, which come after `--`."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


async def _push(client: Client, chosen: RunSettings, file: Path) -> str:
    """Push the file under a name made from its own, so that the same file is pushed and pulled only once."""
    registry = chosen.registry or await local_registry(client)
    name = re.sub(r"[^a-z0-9]+", "-", file.stem.lower())[:NAME_LENGTH].strip("-") or "module"
    async with RegistryClient() as registry_client:
        digest = await push_module(registry_client, file, Reference.parse(f"{registry}/run/{name}:latest"))
    return f"{registry}/run/{name}@{digest}"


def _pod(file: Path, image: str, chosen: RunSettings, guest_arguments: list[str]) -> Pod:
    name = image.partition("@")[0].rpartition("/")[2]
    container = Container(
        name=name,
        image=image,
        image_pull_policy="IfNotPresent",
        command=[file.name],
        args=guest_arguments,
        env=[EnvVar(name=key, value=value) for key, value in chosen.env.items()],
    )
    return Pod(
        metadata=ObjectMeta(name=f"{name}-{secrets.token_hex(3)}", labels={"proa.dev/run": name}),
        spec=PodSpec(containers=[container], restart_policy="Never"),
    )


async def _run_to_end(app: App, pods: Api[Pod], wanted: Pod, *, keep: bool) -> int:
    """Create the pod, copy its log to standard output, wait for its end; delete it unless it is to be
    kept.
    """
    pod = await pods.create(wanted)
    name = pod.metadata.name or ""
    follow = asyncio.create_task(_follow(pods, name))
    stop = asyncio.create_task(app.stopping.wait())
    try:
        await asyncio.wait({follow, stop}, return_when=asyncio.FIRST_COMPLETED)
        return 130 if not follow.done() else follow.result()
    finally:
        for task in (follow, stop):
            task.cancel()
        await asyncio.gather(follow, stop, return_exceptions=True)
        if not keep:
            await _delete(pods, name)


async def _delete(pods: Api[Pod], name: str) -> None:
    try:
        await pods.delete(name)
    except NotFoundError:
        return


async def _follow(pods: Api[Pod], name: str) -> int:
    await _until_started(pods, name)
    async for line in pods.logs(name, follow=True):
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
    return await _exit_code(pods, name)


async def _until_started(pods: Api[Pod], name: str) -> None:
    """Wait until the container has run or runs; raises RunFailedError when it never will."""
    async for pod in _states(pods, name):
        for status in pod.status.container_statuses:
            if status.state.running or status.state.terminated:
                return
            waiting = status.state.waiting
            if waiting and waiting.reason in HOPELESS:
                raise RunFailedError(f"pod {name} can't run: {waiting.reason}: {waiting.message}")
        if pod.status.phase == "Failed":
            raise RunFailedError(f"pod {name} failed: {pod.status.reason}: {pod.status.message}")
        _tell_unschedulable(pod)


def _tell_unschedulable(pod: Pod) -> None:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            sys.stderr.write(f"proa: waiting for a node: {condition.message}\n")


async def _exit_code(pods: Api[Pod], name: str) -> int:
    async for pod in _states(pods, name):
        for status in pod.status.container_statuses:
            if status.state.terminated:
                return status.state.terminated.exit_code
    raise AssertionError("unreachable: a watch ends only by an exception")


async def _states(pods: Api[Pod], name: str) -> AsyncIterator[Pod]:
    """The pod as it is and as it becomes; raises RunFailedError when somebody deletes it."""
    async with aclosing(watcher(pods, field_selector=f"metadata.name={name}")) as events:
        async for event in events:
            match event:
                case InitApply(pod) | Apply(pod):
                    yield pod
                case Delete():
                    raise RunFailedError(f"pod {name} was deleted before its program ended")
                case _:
                    pass
