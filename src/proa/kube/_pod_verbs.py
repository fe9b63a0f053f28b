"""The verbs that only pods have: logs, eviction, binding, ephemeral containers, resize."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from proa.kube._bound import Bound, K
from proa.kube.core import subresources, writing
from proa.kube.core.patches import Strategic
from proa.kube.core.request import Propagation
from proa.kube.core.subresources import LogOptions
from proa.kube.core.watching import Lines
from proa.kube.models.meta_v1 import ObjectMeta

if TYPE_CHECKING:
    from proa.kube.models.core_v1 import EphemeralContainer, Pod, ResourceRequirements
    from proa.kube.streams import PortConnection, Process


class PodVerbs(Bound[K]):
    """Verbs on pods."""

    async def logs(
        self,
        name: str,
        *,
        container: str | None = None,
        follow: bool = False,
        tail_lines: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
        since_seconds: int | None = None,
        since_time: datetime | None = None,
        limit_bytes: int | None = None,
        stream: Literal["All", "Stdout", "Stderr"] | None = None,
        namespace: str | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a container's log, without their line ends, as they come.

        A container may print anything: lines are bytes. Close the iterator (`contextlib.aclosing`) if you
        leave the loop early.

        Args:
            name: the pod's name.
            container: which container; may be left out where the pod has one.
            follow: go on until the container ends.
            tail_lines: only the last so many lines.
            previous: of the container's run before this one.
            timestamps: begin each line with its time (RFC 3339).
            since_seconds: only lines not older than that.
            since_time: only lines since then; instead of `since_seconds`.
            limit_bytes: at most so many bytes; the last line may be cut.
            stream: only what was written to one of the streams; servers since 1.32.
            namespace: for an Api over all namespaces.
        """
        options = LogOptions(
            container=container,
            follow=follow,
            tail_lines=tail_lines,
            previous=previous,
            timestamps=timestamps,
            since_seconds=since_seconds,
            since_time=since_time,
            limit_bytes=limit_bytes,
            stream=stream,
        )
        request = subresources.logs(self._in(namespace), name, options)
        silence = None if follow else self.client.timeouts.total
        lines = Lines()
        async with self.client.stream(request, silence=silence) as stream_:
            async for chunk in stream_.chunks():
                for line in lines.feed(chunk):
                    yield line
            if rest := lines.take():
                yield rest

    @asynccontextmanager
    async def exec(
        self: Bound[Pod],
        name: str,
        command: Sequence[str],
        *,
        container: str | None = None,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
        namespace: str | None = None,
    ) -> AsyncIterator[Process]:
        """Run a command in a container and be connected to it.

        Args:
            name: the pod's name.
            command: program and arguments; no shell reads them.
            container: which container; may be left out where the pod has one.
            stdin: whether `Process.write` is to reach it.
            stdout: whether to read its output.
            stderr: the same for standard error.
            tty: give it a terminal; standard error then comes with standard output.
            namespace: for an Api over all namespaces.
        """
        from proa.kube import streams

        joined = subresources.Streams(container=container, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
        request = subresources.execute(self._in(namespace), name, command, joined)
        async with streams.process(self.client, request) as process:
            yield process

    @asynccontextmanager
    async def attach(
        self: Bound[Pod],
        name: str,
        *,
        container: str | None = None,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
        namespace: str | None = None,
    ) -> AsyncIterator[Process]:
        """Be connected to the process that a container runs; for the arguments see `exec`."""
        from proa.kube import streams

        joined = subresources.Streams(container=container, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
        request = subresources.attach(self._in(namespace), name, joined)
        async with streams.process(self.client, request) as process:
            yield process

    @asynccontextmanager
    async def port_forward(
        self: Bound[Pod], name: str, port: int, *, namespace: str | None = None
    ) -> AsyncIterator[PortConnection]:
        """Connect to a port of a pod; each call is one connection."""
        from proa.kube import streams

        request = subresources.port_forward(self._in(namespace), name, port)
        async with streams.port(self.client, request, port) as connection:
            yield connection

    async def evict(
        self: Bound[Pod],
        name: str,
        *,
        grace_period: int | None = None,
        propagation: Propagation | None = None,
        uid: str | None = None,
        dry_run: bool = False,
        namespace: str | None = None,
    ) -> None:
        """Delete a pod, unless that would break its disruption budget.

        Raises:
            TooManyRequestsError: the budget forbids it now; `retry_after` says when to ask again.
        """
        from proa.kube.models.policy_v1 import Eviction

        options = writing.delete_options(grace_period, propagation, uid)
        eviction = Eviction(metadata=ObjectMeta(name=name), delete_options=options)
        request = subresources.post(self._in(namespace), name, "eviction", eviction, dry_run=dry_run)
        await self.client.request(request)

    async def bind(
        self: Bound[Pod], name: str, node: str, *, uid: str | None = None, namespace: str | None = None
    ) -> None:
        """Give a pod to a node, as a scheduler does; raises ConflictError if it has one already."""
        from proa.kube.models.core_v1 import Binding, ObjectReference

        binding = Binding(
            metadata=ObjectMeta(name=name, uid=uid), target=ObjectReference(kind="Node", name=node)
        )
        await self.client.request(subresources.post(self._in(namespace), name, "binding", binding))

    async def add_ephemeral_container(
        self: Bound[Pod], name: str, container: EphemeralContainer, *, namespace: str | None = None
    ) -> Pod:
        """Add a container for debugging to a pod that runs. It can be neither changed nor removed."""
        change = Strategic({"spec": {"ephemeralContainers": [container]}})
        return await self._send(writing.patch(self._in(namespace), name, change, "ephemeralcontainers"))

    async def resize(
        self: Bound[Pod],
        name: str,
        resources: Mapping[str, ResourceRequirements],
        *,
        namespace: str | None = None,
    ) -> Pod:
        """Change the requests and limits of containers, by name, while they run."""
        containers = [{"name": container, "resources": wanted} for container, wanted in resources.items()]
        change = Strategic({"spec": {"containers": containers}})
        return await self._send(writing.patch(self._in(namespace), name, change, "resize"))
