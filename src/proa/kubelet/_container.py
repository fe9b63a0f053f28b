"""One container of a pod: what is known of it, and what its states (`_container_states`) work with."""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from msgspec import structs
from msgspec.structs import replace

from proa.kube.models import now
from proa.kube.models.core_v1 import Container as ContainerSpec
from proa.kube.models.core_v1 import ContainerStateTerminated, ContainerStatus, PodSpec
from proa.kubelet import (
    _container_status,
    _environment,
    _hooks,
    _mounts,
    _probes,
    _pull_secrets,
    _references,
    _termination_message,
    _victims,
    _wagi,
)
from proa.kubelet._actions import Target
from proa.kubelet._exits import container_id
from proa.kubelet._expansion import expand
from proa.kubelet._images import ImageReference, parse_image
from proa.kubelet._log_writer import LogFile
from proa.kubelet._outbound import outbound
from proa.kubelet._pod_context import PodContext
from proa.kubelet._restarts import RestartTimer, restart_policy, restarts
from proa.kubelet._sandbox_host import SandboxName
from proa.kubelet._standard_input import StandardInput
from proa.kubelet._users import guest_user
from proa.kubelet.errors import ContainerConfigError
from proa.oci import Credentials, PulledModule
from proa.wasm import CompiledModule, ModuleTerms, Sandbox, SandboxSpec, WasmError


class Container:
    """A container through all its restarts.

    Attributes:
        context: Its pod.
        init: Whether it is an init container.
        status: As it is to be reported; set it by the methods only, so that it is saved.
        log: The log that is being written, or was last.
        stdin: Where those who attach to it write; None when its input is empty.
    """

    def __init__(
        self, context: PodContext, spec: ContainerSpec, status: ContainerStatus, *, init: bool
    ) -> None:
        pauses = context.services.pauses
        self.context = context
        self.init = init
        self.status = status
        self.log: LogFile | None = None
        self.pull_failures = pauses.pull.start()
        self.create_failures = pauses.configuration.start()
        self._restart_timer = RestartTimer(pauses.restart)
        self._spec = spec
        self._stop_at: float | None = None
        self._redefined = False
        directory = context.directory.path / spec.name
        self.stdin = StandardInput(directory / "stdin", once=bool(spec.stdin_once)) if spec.stdin else None
        self._started = asyncio.Event()
        self._note_started()

    @property
    def name(self) -> str:
        """Its name in the pod."""
        return self._spec.name

    @property
    def spec(self) -> ContainerSpec:
        """Its spec in the pod's newest version: the image may be changed while it lives."""
        spec = self.context.pod.spec
        own = spec.init_containers if self.init else spec.containers
        return next((container for container in own if container.name == self.name), self._spec)

    @property
    def is_sidecar(self) -> bool:
        """Whether it is a restartable init container: it runs beside the others until they have ended."""
        return self.init and self._spec.restart_policy == "Always"

    @property
    def target(self) -> Target:
        """It, for probes and hooks."""
        return Target(self.spec, self.context.ip)

    @property
    def next_restart(self) -> int:
        """The number that its next instance gets, from 0 on."""
        return self.status.restart_count + 1 if _container_status.last_end(self.status) else 0

    def sandboxes(self) -> list[Sandbox]:
        """The sandboxes of its instances that are there, oldest first."""
        found = self.context.services.sandboxes.of_pod(self.context.uid)
        named = [(SandboxName.parse(sandbox.id), sandbox) for sandbox in found]
        own = [
            (name.restart, sandbox)
            for name, sandbox in named
            if name is not None and name.container == self.name
        ]
        return [sandbox for _, sandbox in sorted(own, key=lambda one: one[0])]

    def event(self, reason: str, message: str, type: Literal["Normal", "Warning"] = "Normal") -> None:  # noqa: A002
        """Record an Event about this container."""
        place = "initContainers" if self.init else "containers"
        self.context.event(reason, message, type, field_path=f"spec.{place}{{{self.name}}}")

    async def set(self, status: ContainerStatus) -> None:
        """Its status is this now; when this returns, it is on disk."""
        self.status = status
        self._note_started()
        await self.context.changed()

    async def run(self, sandbox: Sandbox) -> LogFile:
        """It runs in this sandbox; returns the log to write."""
        name = SandboxName.parse(sandbox.id)
        assert name is not None
        path = self.context.directory.log(self.name, name.restart)
        if self.log is None or self.log.path != path:
            self.log = LogFile(path, self.context.services.log_limits)
            await self.context.directory.remove_old_logs(self.name, name.restart)
        identifier = container_id(sandbox.id)
        # A sandbox that was met before, adopted or ended, has its place in the status already.
        if self.status.container_id != identifier:
            started_at = sandbox.started_at.replace(microsecond=0)
            started = not (_probes.supported(self.spec.startup_probe) or _hooks.post_start(self))
            ready = started and not _probes.supported(self.spec.readiness_probe)
            await self.set(
                _container_status.running(
                    self.status, identifier, name.restart, started_at, started=started, ready=ready
                )
            )
        return self.log

    async def has_started(self) -> None:
        """Its hook and its startup probe are done with; it is ready unless a readiness probe must say so."""
        if not self.status.started:
            ready = not _probes.supported(self.spec.readiness_probe)
            await self.set(replace(self.status, started=True, ready=ready))

    async def set_ready(self, *, ready: bool) -> None:
        """It can do its work, or not."""
        if self.status.ready != ready:
            await self.set(replace(self.status, ready=ready))

    async def until_started(self) -> None:
        """Wait until an instance of it runs and has started."""
        await self._started.wait()

    async def until_redefined(self) -> None:
        """Wait until its image is not that of the instance that runs: then another is to be started."""
        if self.init and not self.is_sidecar:
            await asyncio.Event().wait()  # It has one task, and is not given another.
        await self.context.latest.until(lambda _: self.spec.image != self.status.image)
        self._redefined = True

    def is_stopping(self, seconds: float) -> None:
        """The pod ends it within so many seconds: it is not restarted."""
        self._stop_at = asyncio.get_running_loop().time() + seconds

    @property
    def seconds_left(self) -> float:
        """How long its hooks may still take once the pod ends it."""
        return max(0.0, (self._stop_at or 0.0) - asyncio.get_running_loop().time())

    def kill(self) -> None:
        """End it at once; its state tells when it has ended."""
        for sandbox in self.sandboxes():
            sandbox.kill()

    async def end(self, end: ContainerStateTerminated) -> None:
        """It has ended; when this returns, that will not be forgotten."""
        if self.log is not None:
            self.log.close()
        if self.stdin is not None:
            self.stdin.close()
        own_words = await asyncio.to_thread(self._termination_message, end.exit_code)
        if own_words:
            end = replace(end, message=own_words)
        once = self.init and not self.is_sidecar
        ended = _container_status.terminated(self.status, end, init=once)
        if self._redefined:
            # By some policies an end is for good, and an API server refuses that anything follows it.
            ended = _container_status.waiting(ended, _container_status.CREATING)
        await self.set(ended)

    def use_image(self, reference: ImageReference, image: PulledModule) -> None:
        """The next instance is of this image."""
        image_id = f"{reference.name}@{image.manifest_digest}"
        self.status = replace(self.status, image=self.spec.image or "", image_id=image_id)

    def restart_at(self, end: ContainerStateTerminated) -> datetime | None:
        """When it is to be started again after it ended so; None for never."""
        if self._stop_at is not None:
            return None
        if self._redefined:
            # Whatever its policy and its past: this was not its own doing.
            self._redefined, self._restart_timer = False, RestartTimer(self.context.services.pauses.restart)
            return now()
        policy = restart_policy(self.context.pod.spec, self.spec, init=self.init)
        again = restarts(policy, end.exit_code, self.spec.restart_policy_rules)
        return self._restart_timer.wait_until(end, now()) if again else None

    async def pull_credentials(self) -> Mapping[str, Credentials]:
        """What the pod brings for its images; secrets that are of no use are told of."""
        context = self.context
        found, problems = await _pull_secrets.credentials(context.services.client, context.pod)
        for problem in problems:
            message = f"Unable to use a pull secret: {problem}"
            context.event("FailedToRetrieveImagePullSecret", message, "Warning")
        return found

    async def sandbox_spec(self, module: CompiledModule) -> SandboxSpec:
        """What to run.

        Raises:
            proa.kubelet.errors.ContainerConfigError: Something that the spec refers to is missing or wrong.
            proa.kube.KubeError: The API server, asked for config maps and secrets, is away or refuses.
        """
        spec, context = self.spec, self.context
        references = _references.of_container(spec)
        referenced = await _references.fetch(context.services.client, context.namespace, references)
        links = await context.service_links()
        environment = _environment.environment(spec, referenced, context.fields, links)
        termination = context.directory.termination(self.name, self.next_restart)
        copies = context.directory.copies(self.name)
        mounts = await asyncio.to_thread(_mounts.mounts, spec, context.volumes, environment, copies)
        own_mount = await asyncio.to_thread(_termination_message.own_mount, spec, termination)
        command = [expand(word, environment) for word in spec.command or [self.name]]
        return SandboxSpec(
            id=str(SandboxName(context.uid, self.name, self.next_restart)),
            module=module,
            args=(*command, *(expand(word, environment) for word in spec.args)),
            env=environment,
            mounts=(*mounts, own_mount) if own_mount else mounts,
            memory_limit=_memory_limit(context.pod.spec, spec),
            working_dir=spec.working_dir,
            user=guest_user(context.pod.spec, spec),
            outbound=outbound(context.pod, context.services.dns),
        )

    def _termination_message(self, exit_code: int) -> str:
        restart, directory = self.status.restart_count, self.context.directory
        own = directory.termination(self.name, restart)
        most = _termination_message.most(len(self.context.pod.spec.containers))
        place = _termination_message.place(self.spec, own, self.context.volumes)
        message = _termination_message.read(place, most) if place is not None else ""
        if not message and exit_code and self.spec.termination_message_policy == "FallbackToLogsOnError":
            return _termination_message.end_of_log(directory.log(self.name, restart), most)
        return message

    async def compile(self, image: PulledModule) -> CompiledModule:
        """Compile the image's module; errors as of `Sandboxes.compile`, and ContainerConfigError."""
        context = self.context
        terms = ModuleTerms(http=outbound(context.pod, context.services.dns) is not None)
        return await context.services.sandboxes.compile(image.path, image.digest.rpartition(":")[2], terms)

    async def start(self, module: CompiledModule) -> Sandbox:
        """Start its next instance; errors as of `sandbox_spec` and `Sandboxes.start`."""
        spec, sandboxes = await self.sandbox_spec(module), self.context.services.sandboxes
        if await _wagi.is_server(self):
            return await _wagi.start(self, spec)
        if self.stdin is None:
            return await sandboxes.start(spec)
        stdin = await asyncio.to_thread(self.stdin.for_guest)
        try:
            return await sandboxes.start(spec, stdin)
        finally:
            os.close(stdin)

    async def give_share(self, sandbox: Sandbox) -> None:
        """Give an instance its share of processor time, and its place among those who go when memory ends."""
        await asyncio.to_thread(self._give, sandbox.id, sandbox.pid)

    def _give(self, group: str, pid: int) -> None:
        services, pod = self.context.services, self.context.pod
        services.processors.give(group, pid, self.spec.resources)
        _victims.mark(pid, _victims.score(pod, self.spec, int(services.allocatable["memory"].value)))

    async def start_command(self, name: str, words: list[str], stdin: int | None) -> Sandbox:
        """Run the module that this container runs with other arguments, in a sandbox of that name.

        Raises:
            proa.kubelet.errors.ContainerConfigError: The environment cannot be made, or the image is gone.
            proa.kube.KubeError: The API server is away or refuses.
            proa.wasm.WasmError: It cannot be started.
        """
        services = self.context.services
        image = await services.images.find(parse_image(self.status.image_id))
        if image is None:
            raise ContainerConfigError(f"the image {self.status.image_id} is not on the node any more")
        module = await self.compile(image)
        spec = await self.sandbox_spec(module)
        own = structs.replace(spec, id=f"{self.context.uid}/{self.name}/{name}", args=tuple(words))
        sandbox = await services.sandboxes.start(own, stdin)
        if running := self.sandboxes():
            # It shares what the container has, and adds nothing to it.
            await asyncio.to_thread(self._give, running[-1].id, sandbox.pid)
        return sandbox

    async def end_command(self, sandbox: Sandbox) -> None:
        """End what `start_command` started, and forget it."""
        sandbox.kill()
        with contextlib.suppress(WasmError):
            await sandbox.wait()
            await self.context.services.sandboxes.forget(sandbox.id)

    def _note_started(self) -> None:
        if self.status.started:
            self._started.set()
        else:
            self._started.clear()


def _memory_limit(pod: PodSpec, spec: ContainerSpec) -> int | None:
    limit = spec.resources.limits.get("memory")
    if limit is None and pod.resources is not None:
        limit = pod.resources.limits.get("memory")  # None of its containers has more than all together.
    try:
        return int(limit) if limit else None
    except ValueError as error:
        raise ContainerConfigError(f"limits.memory: {error}") from error
