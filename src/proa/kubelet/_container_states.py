"""The life of a container: a machine (`proa.statemachine`) of states, drawn in docs/kubelet.md.

Any of them may be cancelled at any time and lost with the process: what a container has come to is known by
its saved status and its sandbox, and `resume` finds the way in again from these. When its pod ends it, the
way in is `stopping`. What a state tells by `status` is on disk before its `next` begins.
"""

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from proa.kube import KubeError
from proa.kube.models import now
from proa.kube.models.core_v1 import ContainerStateTerminated, ContainerStatus, Pod
from proa.kubelet import _container_status, _exits, _minding
from proa.kubelet._container import Container
from proa.kubelet._images import ImageReference, parse_image, pull_policy
from proa.kubelet._log_writer import duplicates
from proa.kubelet._progress import Progress, compiled
from proa.kubelet.errors import ContainerConfigError, ImageNeverPullError
from proa.oci import InvalidReferenceError, OciError, PulledModule, UnsignedImageError
from proa.statemachine import BackOff, Done, Latest, Machine, State, Wait
from proa.wasm import InvalidModuleError, Sandbox, SandboxExit, WasmError, ZygoteLostError


class Pulling(State[Container]):
    """The image is fetched, unless the node has it and the pull policy is content with that."""

    async def next(self, container: Container, _pod: Latest[Pod]) -> "Creating | PullFailed":
        image = container.spec.image or ""
        try:
            reference = parse_image(image)
            module = await self._get(container, reference)
        except InvalidReferenceError as error:
            return PullFailed("InvalidImageName", f'Failed to apply default image tag "{image}": {error}')
        except ImageNeverPullError as error:
            return PullFailed("ErrImageNeverPull", str(error))
        except UnsignedImageError as error:
            return PullFailed("SignatureValidationFailed", f'image "{image}" may not be run: {error}')
        except OciError as error:
            return PullFailed("ErrImagePull", f'failed to pull image "{image}": {error}')
        container.pull_failures.reset()
        container.use_image(reference, module)
        return Creating(module)

    async def _get(self, container: Container, reference: ImageReference) -> PulledModule:
        image, images = container.spec.image, container.context.services.images
        credentials = await container.pull_credentials()
        policy = pull_policy(container.spec)
        found = None
        if policy != "Always":
            found = await (images.find(reference) if policy == "Never" else images.find_or_await(reference))
        if found is not None:
            await images.check(reference, found, credentials)
            container.event("Pulled", f'Container image "{image}" already present on machine')
            return found
        if policy == "Never":
            raise ImageNeverPullError(f'Container image "{image}" is not present with pull policy of Never')
        container.event("Pulling", f'Pulling image "{image}"')
        began = time.monotonic()
        pulled = await images.pull(reference, credentials, Progress(container))
        await images.check(reference, pulled, credentials)
        took = f"{time.monotonic() - began:.3f}s"
        container.event(
            "Pulled", f'Successfully pulled image "{image}" in {took}. Image size: {pulled.size} bytes.'
        )
        return pulled


@dataclass(frozen=True)
class PullFailed(State[Container]):
    """The image could not be had: say why."""

    reason: str
    message: str

    def status(self, container: Container, _pod: Pod) -> ContainerStatus:
        return _container_status.waiting(container.status, self.reason, self.message)

    async def next(self, container: Container, _pod: Latest[Pod]) -> "ImagePullBackOff":
        container.event("Failed", self.message, "Warning")
        container.event("Failed", f"Error: {self.reason}", "Warning")
        return ImagePullBackOff(container.pull_failures, Pulling(), self.reason, self.message)


@dataclass(frozen=True)
class ImagePullBackOff(BackOff[Container, "Pulling"]):
    """Wait, longer each time; another image is tried at once."""

    reason: str
    message: str

    def status(self, container: Container, _pod: Pod) -> ContainerStatus | None:
        if self.reason != "ErrImagePull":
            return None  # The reason says more: no registry has been asked.
        what = f'Back-off pulling image "{container.spec.image}"'
        container.event("BackOff", what)
        message = f"{what}: {self.reason}: {self.message}"
        return _container_status.waiting(container.status, "ImagePullBackOff", message)

    def wakes(self, before: Pod, now: Pod) -> bool:
        return before.spec != now.spec


@dataclass(frozen=True)
class Creating(State[Container]):
    """The module is compiled, or found in the cache, and a sandbox is started with it."""

    image: PulledModule

    async def next(self, container: Container, _pod: Latest[Pod]) -> "Running | CreateFailed":
        try:
            module = await compiled(container.compile(self.image), container)
            sandbox = await container.start(module)
            await container.give_share(sandbox)
        except (ContainerConfigError, KubeError, OSError) as error:
            return CreateFailed("CreateContainerConfigError", str(error))
        except InvalidModuleError as error:
            return CreateFailed("CreateContainerError", f'image "{container.spec.image}": {error}')
        except WasmError as error:
            return CreateFailed("CreateContainerError", str(error))
        container.create_failures.reset()
        container.event("Created", f"Created container: {container.name}")
        container.event("Started", f"Started container {container.name}")
        return Running(sandbox)


@dataclass(frozen=True)
class CreateFailed(State[Container]):
    """The container could not be created: say why."""

    reason: str
    message: str

    def status(self, container: Container, _pod: Pod) -> ContainerStatus:
        return _container_status.waiting(container.status, self.reason, self.message)

    async def next(self, container: Container, _pod: Latest[Pod]) -> "CreateBackOff":
        container.event("Failed", f"Error: {self.message}", "Warning")
        return CreateBackOff(container.create_failures, Pulling())


@dataclass(frozen=True)
class CreateBackOff(BackOff[Container, "Pulling"]):
    """Wait, longer each time: what is missing may come."""


@dataclass(frozen=True)
class Running(State[Container]):
    """The guest runs; its output goes to the log. It has ended once its output has been read to the end."""

    sandbox: Sandbox

    async def next(self, container: Container, _pod: Latest[Pod]) -> "Ended | Lost":
        await container.run(self.sandbox)
        async with asyncio.TaskGroup() as group:
            minding = group.create_task(_minding.mind(container))
            ended = await _follow_to_end(container, self.sandbox)
            minding.cancel()
        return ended


@dataclass(frozen=True)
class Stopping(State[Container]):
    """The pod ends it: its `preStop` hook runs for at most the grace period, then it is killed."""

    sandbox: Sandbox

    async def next(self, container: Container, _pod: Latest[Pod]) -> "Ended | Lost":
        if self.sandbox.exit is None:
            container.event("Killing", f"Stopping container {container.name}")
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(_minding.end(container, container.seconds_left))
            ended = await _follow_to_end(container, self.sandbox)
            ending.cancel()
        return ended


class Lost(State[Container]):
    """The guest's process went away with the machine or the zygote: nobody knows how it ended."""

    async def next(self, container: Container, _pod: Latest[Pod]) -> "Ended":
        end = _container_status.lost(container.status, now())
        await container.end(end)
        return Ended(end)


@dataclass(frozen=True)
class Ended(State[Container]):
    """The guest has ended; the restart policy says whether that is all. A pod that ends restarts nothing."""

    how: ContainerStateTerminated

    async def next(self, container: Container, _pod: Latest[Pod]) -> "Pulling | CrashLoopBackOff | Done":
        restart_at = container.restart_at(self.how)
        if restart_at is None:
            return Done()
        delay = (restart_at - now()).total_seconds()
        return CrashLoopBackOff(delay, Pulling()) if delay > 0 else Pulling()


@dataclass(frozen=True)
class CrashLoopBackOff(Wait[Container, "Pulling"]):
    """It has ended too often in short time: the restart waits."""

    def status(self, container: Container, _pod: Pod) -> ContainerStatus:
        what = f"restarting failed container {container.name} in pod {container.context.title}"
        container.event("BackOff", f"Back-off {what}", "Warning")
        message = f"back-off {self.seconds:.0f}s {what}"
        return _container_status.waiting(container.status, "CrashLoopBackOff", message)

    def wakes(self, before: Pod, now: Pod) -> bool:
        return before.spec != now.spec


def resume(container: Container, _pod: Pod) -> Pulling | Running | Lost | Ended:
    """Where a container's life goes on, by its status and what sandbox there is of it."""
    if own := container.sandboxes():
        return Running(own[-1])
    if container.status.state.running is not None:
        return Lost()
    end = _container_status.last_end(container.status)
    return Ended(end) if end is not None else Pulling()


def stopping(container: Container, _pod: Pod) -> Stopping | Lost | Done:
    """Where it goes when its pod ends it."""
    if own := container.sandboxes():
        return Stopping(own[-1])
    return Lost() if container.status.state.running is not None else Done()


CONTAINER: Final = Machine("container", initial=resume, deleted=stopping)


async def live(container: Container) -> None:
    """Go from state to state until it has ended for good."""
    await CONTAINER.run(container, container.context.latest, entered=partial(_tell, container))


async def stop(container: Container, seconds: float) -> None:
    """End it, with so many seconds for its hook; whatever it did before must have been cancelled."""
    container.is_stopping(seconds)
    await CONTAINER.delete(container, container.context.latest, entered=partial(_tell, container))


async def _tell(container: Container, state: State[Container]) -> None:
    status = state.status(container, container.context.pod)
    if isinstance(status, ContainerStatus):
        await container.set(status)


async def _follow_to_end(container: Container, sandbox: Sandbox) -> Ended | Lost:
    """Follow the guest to its end, and remember how it ended."""
    end = await _follow(container, sandbox)
    if end is None:
        return Lost()
    state = _exits.terminated(sandbox.id, end)
    await container.end(state)
    await container.context.services.sandboxes.forget(sandbox.id)
    await asyncio.to_thread(container.context.services.processors.forget, sandbox.id)
    return Ended(state)


async def _follow(container: Container, sandbox: Sandbox | None) -> SandboxExit | None:
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
