"""Leader election on a Lease: of several processes, one works."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from proa.app import ProaError, logs
from proa.kube import Api, Client, KubeError
from proa.kube.models import MicroTime
from proa.kube.models.coordination_v1 import Lease, LeaseSpec
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime._election import Observer, Terms

__all__ = ["LeaderElection", "LeadershipLostError", "Terms"]

log = logs.get_logger(__name__)


class LeadershipLostError(ProaError):
    """The lease could not be renewed in time: the work was cancelled, before anyone else could begin it."""


class LeaderElection:
    """Runs work while this process leads.

    ::

        election = LeaderElection(client, "website-operator", namespace="default")
        await election.run(lambda: controller.run())

    Guarantees: the work is begun only while the lease is held, and it is cancelled at the latest
    `terms.give_up` seconds after the last renewal that succeeded was *sent*, which is before the lease can be
    taken by another; also when the process was suspended meanwhile, unless it is suspended between looking
    at the clock and acting on it. That last gap cannot be closed here: what must never be done by two sends
    `fence` along, for instance in an annotation, and whoever is written to refuses a lower number.

    Args:
        client: Where the lease is.
        name: The lease's name, the same for all who compete.
        namespace: Where the lease lives.
        identity: Who we are; by default the host's name and something random.
        terms: The times.
        clock: Seconds, of which those count too in which the machine slept; by default the event loop's with
            them added.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        namespace: str,
        identity: str | None = None,
        terms: Terms | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.identity = identity or f"{socket.gethostname()}_{uuid4()}"
        self.terms = terms or Terms()
        self._leases = Api(client, Lease, namespace=namespace)
        self._name = name
        self._clock = clock or _awake_or_not
        self._observer = Observer(self.identity, self.terms)
        self._held: Lease | None = None
        self._renewed_at = -math.inf

    @property
    def leading(self) -> bool:
        """Whether the lease is held at this moment, by our clock."""
        return self._held is not None and self._clock() < self._renewed_at + self.terms.give_up

    @property
    def fence(self) -> int:
        """A number that grows with each change of leader; 0 before we led."""
        return (self._held.spec.lease_transitions or 0) + 1 if self._held is not None else 0

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait until we lead, then work; give the lease back when the work ends.

        Cancelling cancels the work and gives the lease back.

        Raises:
            LeadershipLostError: the lease could not be renewed. The work has been cancelled. Call again to
                compete again, or end the process: what it holds in memory may be out of date.
        """
        while not await self._try():  # noqa: ASYNC110 - what is waited for happens on the server
            await asyncio.sleep(self.terms.retry)
        log.info("leading", lease=self._name, identity=self.identity, fence=self.fence)
        try:
            await self._lead(work)
        finally:
            await self._give_back()

    async def _lead(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        working = asyncio.create_task(work(), name=f"lead {self._name}")
        renewing = asyncio.create_task(self._renew(), name=f"renew {self._name}")
        try:
            while not working.done():
                left = self._renewed_at + self.terms.give_up - self._clock()
                if left <= 0 or renewing.done():
                    break
                # Looking again and again notices a clock that jumped while the machine slept.
                await asyncio.wait(
                    {working, renewing},
                    timeout=min(left, self.terms.retry),
                    return_when=asyncio.FIRST_COMPLETED,
                )
        finally:
            renewing.cancel()
            lost = not working.done()
            working.cancel()
            await asyncio.gather(working, renewing, return_exceptions=True)
        if lost:
            raise LeadershipLostError(f"lost the lease {self._name}: it could not be renewed in time")
        await working

    async def _renew(self) -> None:
        """Renew for as long as the lease is ours."""
        while True:
            await asyncio.sleep(self.terms.retry)
            if not await self._try() and self._held is None:
                return

    async def _try(self) -> bool:
        """Take or renew the lease; tell whether that succeeded."""
        sent_at = self._clock()
        try:
            async with asyncio.timeout(self.terms.give_up):
                self._held = await self._take(sent_at)
        except (KubeError, TimeoutError) as error:
            log.debug("cannot renew", lease=self._name, error=str(error))
            return False
        if self._held is not None:
            self._renewed_at = sent_at
        return self._held is not None

    async def _take(self, now: float) -> Lease | None:
        lease = await self._leases.get_opt(self._name)
        if lease is None:
            return await self._leases.create(
                Lease(metadata=ObjectMeta(name=self._name), spec=self._spec(None))
            )
        if not self._observer.may_take(lease, now):
            return None
        if self._clock() >= now + self.terms.give_up:
            return None  # the machine slept: what was read may be long out of date
        lease.spec = self._spec(lease.spec)
        return await self._leases.replace(lease)

    def _spec(self, before: LeaseSpec | None) -> LeaseSpec:
        now = MicroTime.fromtimestamp(datetime.now(UTC).timestamp(), UTC)
        ours = before is not None and before.holder_identity == self.identity
        transitions = 0 if before is None else (before.lease_transitions or 0) + (not ours)
        return LeaseSpec(
            holder_identity=self.identity,
            lease_duration_seconds=math.ceil(self.terms.duration),
            acquire_time=before.acquire_time if before is not None and ours else now,
            renew_time=now,
            lease_transitions=transitions,
        )

    async def _give_back(self) -> None:
        """Let the next one begin at once, if the lease is still ours."""
        lease, self._held = self._held, None
        if lease is None or self._clock() >= self._renewed_at + self.terms.give_up:
            return
        lease.spec.holder_identity = ""
        with suppress(KubeError, TimeoutError):
            async with asyncio.timeout(self.terms.retry):
                await self._leases.replace(lease)


def _awake_or_not() -> float:
    """The event loop's time, plus what it does not count on Linux: the time that the machine slept."""
    slept = 0.0
    if hasattr(time, "CLOCK_BOOTTIME"):
        slept = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return asyncio.get_running_loop().time() + slept
