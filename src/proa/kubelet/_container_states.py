"""The life of a container, as states. Each says by its return annotation what may follow it.

::

    Pulling ──▶ Creating ──▶ Running ──▶ Ended ──▶ (done)
       │            │           │          ├─────▶ Pulling, at once
       ▼            ▼           ▼          ╰─────▶ CrashLooping ──▶ Pulling
    PullFailing  CreateFailing  Lost   Stopping (when the pod ends: instead of any of them) ──▶ Ended
       │            │           │
       ▼            ▼           ▼
    Pulling      Pulling      Ended

Any of them may be cancelled at any time and lost with the process: what a container has come to is known by
its saved status and its sandbox, and `first_state` finds the way in again from these.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from proa.kube import KubeError
from proa.kube.models import now
from proa.kube.models.core_v1 import ContainerStateTerminated
from proa.kubelet import _container_status, _exits, _minding
from proa.kubelet._container import Container
from proa.kubelet._images import ImageReference, parse_image, pull_policy
from proa.kubelet._log_writer import duplicates
from proa.kubelet.errors import ContainerConfigError, ImageNeverPullError
from proa.oci import InvalidReferenceError, OciError, PulledModule
from proa.wasm import InvalidModuleError, Sandbox, SandboxExit, WasmError, ZygoteLostError


class ContainerState(Protocol):
    """One state of a container."""

    async def next(self, container: Container) -> "ContainerState | None":
        """Do what is to be done in this state and return the state after it; None when there is none."""


async def live(container: Container, state: ContainerState | None) -> None:
    """Go from state to state to the end."""
    while state is not None:
        state = await state.next(container)


def first_state(container: Container) -> ContainerState | None:
    """Where a container's life goes on, by its status and what sandbox there is of it."""
    own = container.sandboxes()
    if own:
        return Running(own[-1])
    status = container.status
    if status.state.running is not None:
        return Lost()
    end = _container_status.last_end(status)
    return Ended(end) if end is not None else Pulling()


@dataclass(frozen=True)
class Pulling:
    """The image is fetched, unless the node has it and the pull policy is content with that."""

    async def next(self, container: Container) -> "Creating | PullFailing":
        image = container.spec.image or ""
        try:
            reference = parse_image(image)
            module = await self._get(container, reference)
        except InvalidReferenceError as error:
            return PullFailing("InvalidImageName", f'Failed to apply default image tag "{image}": {error}')
        except ImageNeverPullError as error:
            return PullFailing("ErrImageNeverPull", str(error))
        except OciError as error:
            return PullFailing("ErrImagePull", f'failed to pull image "{image}": {error}')
        container.pull_failures.reset()
        container.use_image(reference, module)
        return Creating(module)

    async def _get(self, container: Container, reference: ImageReference) -> PulledModule:
        image, images = container.spec.image, container.context.services.images
        policy = pull_policy(container.spec)
        found = await images.find(reference) if policy != "Always" else None
        if found is not None:
            container.event("Pulled", f'Container image "{image}" already present on machine')
            return found
        if policy == "Never":
            raise ImageNeverPullError(f'Container image "{image}" is not present with pull policy of Never')
        container.event("Pulling", f'Pulling image "{image}"')
        began = time.monotonic()
        pulled = await images.pull(reference)
        took = f"{time.monotonic() - began:.3f}s"
        container.event(
            "Pulled", f'Successfully pulled image "{image}" in {took}. Image size: {pulled.size} bytes.'
        )
        return pulled


@dataclass(frozen=True)
class PullFailing:
    """The image could not be had: say why, then wait longer each time."""

    reason: str
    message: str

    async def next(self, container: Container) -> Pulling:
        image = container.spec.image
        container.event("Failed", self.message, "Warning")
        container.event("Failed", f"Error: {self.reason}", "Warning")
        await container.wait(self.reason, self.message)
        delay = container.pull_failures.next()
        if self.reason == "ErrImagePull":
            container.event("BackOff", f'Back-off pulling image "{image}"')
            message = f'Back-off pulling image "{image}": {self.reason}: {self.message}'
            await container.wait("ImagePullBackOff", message)
        await asyncio.sleep(delay)
        return Pulling()


@dataclass(frozen=True)
class Creating:
    """The module is compiled, or found in the cache, and a sandbox is started with it."""

    image: PulledModule

    async def next(self, container: Container) -> "Running | CreateFailing":
        sandboxes = container.context.services.sandboxes
        try:
            module = await sandboxes.compile(self.image.path, self.image.digest.rpartition(":")[2])
            sandbox = await sandboxes.start(await container.sandbox_spec(module))
        except (ContainerConfigError, KubeError, OSError) as error:
            return CreateFailing("CreateContainerConfigError", str(error))
        except InvalidModuleError as error:
            return CreateFailing("CreateContainerError", f'image "{container.spec.image}": {error}')
        except WasmError as error:
            return CreateFailing("CreateContainerError", str(error))
        container.create_failures.reset()
        container.event("Created", f"Created container: {container.name}")
        container.event("Started", f"Started container {container.name}")
        return Running(sandbox)


@dataclass(frozen=True)
class CreateFailing:
    """The container could not be created: say why, then wait longer each time."""

    reason: str
    message: str

    async def next(self, container: Container) -> Pulling:
        container.event("Failed", f"Error: {self.message}", "Warning")
        await container.wait(self.reason, self.message)
        await asyncio.sleep(container.create_failures.next())
        return Pulling()


@dataclass(frozen=True)
class Running:
    """The guest runs; its output goes to the log. It has ended once its output has been read to the end."""

    sandbox: Sandbox

    async def next(self, container: Container) -> "Ended | Lost":
        await container.run(self.sandbox)
        async with asyncio.TaskGroup() as group:
            minding = group.create_task(_minding.mind(container))
            ended = await self.follow(container)
            minding.cancel()
        return ended

    async def follow(self, container: Container) -> "Ended | Lost":
        """Follow the guest to its end without looking after it, and remember how it ended."""
        end = await self._follow(container)
        if end is None:
            return Lost()
        state = _exits.terminated(self.sandbox.id, end)
        await container.end(state)
        await container.context.services.sandboxes.forget(self.sandbox.id)
        return Ended(state)

    async def _follow(self, container: Container) -> SandboxExit | None:
        sandbox: Sandbox | None = self.sandbox
        while sandbox is not None:
            # Duplicates: the sandbox's own are closed when the connection to the zygote is lost.
            with duplicates(sandbox.stdout, sandbox.stderr) as (stdout, stderr):
                log = await container.run(sandbox)
                await log.copy(stdout, stderr)
            try:
                return await sandbox.wait()
            except ZygoteLostError:
                sandbox = await container.context.services.sandboxes.find_again(sandbox)
        return None


@dataclass(frozen=True)
class Stopping:
    """The pod ends it: its `preStop` hook runs for at most the grace period, then it is killed."""

    sandbox: Sandbox
    grace_period: float

    async def next(self, container: Container) -> "Ended | Lost":
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(_minding.end(container, self.grace_period))
            ended = await Running(self.sandbox).follow(container)
            ending.cancel()
        return ended


@dataclass(frozen=True)
class Lost:
    """The guest's process went away with the machine or the zygote: nobody knows how it ended."""

    async def next(self, container: Container) -> "Ended":
        end = _container_status.lost(container.status, now())
        await container.end(end)
        return Ended(end)


@dataclass(frozen=True)
class Ended:
    """The guest has ended; the restart policy says whether that is all."""

    how: ContainerStateTerminated

    async def next(self, container: Container) -> "Pulling | CrashLooping | None":
        restart_at = container.restart_at(self.how)
        if restart_at is None:
            return None
        return CrashLooping(restart_at) if restart_at > now() else Pulling()


@dataclass(frozen=True)
class CrashLooping:
    """It has ended too often in short time: the restart waits."""

    until: datetime

    async def next(self, container: Container) -> Pulling:
        delay = (self.until - now()).total_seconds()
        what = f"restarting failed container {container.name} in pod {container.context.title}"
        container.event("BackOff", f"Back-off {what}", "Warning")
        await container.wait("CrashLoopBackOff", f"back-off {delay:.0f}s {what}")
        await asyncio.sleep(delay)
        return Pulling()
