"""Of several processes that would do the same work, one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from proa.app import App
from proa.app.testing import virtual_time
from proa.cli._leading import LeaderSettings, work_as_leader
from proa.kube import Api
from proa.kube.models.coordination_v1 import Lease
from proa.runtime import LeadershipLostError
from proa.runtime.testing import MemoryServer


class Process:
    """A process that works when it leads."""

    def __init__(self, server: MemoryServer, settings: LeaderSettings) -> None:
        self.client = server.client()
        self.app = App()
        self.works = asyncio.Event()
        self.ended: BaseException | None = None
        self._task = asyncio.create_task(self._run(settings))

    async def _run(self, settings: LeaderSettings) -> None:
        async with self.client:
            await work_as_leader(self.app, self.client, settings, "kube-worker", self._part, "It works")

    @asynccontextmanager
    async def _part(self) -> AsyncIterator[None]:
        self.works.set()
        try:
            yield
        finally:
            self.works.clear()

    async def stop(self) -> None:
        self.app.stopping.set()
        await asyncio.wait({self._task}, timeout=5)
        assert self._task.done()
        self.ended = self._task.exception()


@asynccontextmanager
async def processes(*settings: LeaderSettings) -> AsyncIterator[tuple[MemoryServer, list[Process]]]:
    server = MemoryServer()
    made = [Process(server, each) for each in settings]
    try:
        yield server, made
    finally:
        for process in made:
            await process.stop()


@virtual_time
async def test_the_second_works_when_the_first_is_stopped_and_at_once() -> None:
    async with processes(LeaderSettings(), LeaderSettings()) as (server, (first, second)):
        await asyncio.sleep(60)
        assert [first.works.is_set(), second.works.is_set()] == [True, False]
        async with server.client() as client:
            lease = await Api(client, Lease, namespace="kube-system").get("kube-worker")
            assert lease.spec.lease_duration_seconds == 15
        await first.stop()
        await asyncio.wait_for(second.works.wait(), timeout=3)
    assert first.ended is second.ended is None


@virtual_time
async def test_without_an_election_both_work() -> None:
    alone = LeaderSettings(leader_elect=False)
    async with processes(alone, alone) as (_, both):
        for process in both:
            await asyncio.wait_for(process.works.wait(), timeout=1)


@virtual_time
async def test_who_cannot_renew_the_lease_ends() -> None:
    async with processes(LeaderSettings()) as (server, (only,)):
        await asyncio.wait_for(only.works.wait(), timeout=3)
        async with server.client() as client:
            leases = Api(client, Lease, namespace="kube-system")
            lease = await leases.get("kube-worker")
            lease.spec.holder_identity = "thief"
            await leases.replace(lease)
            await asyncio.sleep(12)
    assert not only.works.is_set()
    assert isinstance(only.ended, LeadershipLostError)


def test_times_that_make_no_sense_are_told_in_a_line() -> None:
    wrong = LeaderSettings(leader_elect_retry_period=timedelta(seconds=20))
    (problem,) = wrong.validate()
    assert "--leader-elect-retry-period" in problem
