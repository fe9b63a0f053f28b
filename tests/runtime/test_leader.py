"""Of several processes one leads, and it stops before another can begin; in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from proa.app.testing import run_virtual, virtual_time
from proa.kube import Api
from proa.kube.models.coordination_v1 import Lease, LeaseSpec
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import LeaderElection, LeadershipLostError, Terms
from proa.runtime._election import Observer
from proa.runtime.testing import Connection, Faults, MemoryServer, Rates


class Contender:
    """A process that competes for ever, and counts who works."""

    working: set[str]

    def __init__(self, name: str, server: MemoryServer, working: set[str]) -> None:
        self.name = name
        self.working = working
        self.connection = Connection(server)
        self.client = server.client(connection=self.connection)
        self.asleep = 0.0
        self.lost = 0
        self.began: list[float] = []
        self.election = LeaderElection(
            self.client, "work", namespace="default", identity=name, clock=self.clock
        )

    def clock(self) -> float:
        return asyncio.get_running_loop().time() + self.asleep

    async def work(self) -> None:
        assert not self.working, f"{self.name} begins while {self.working} works"
        self.working.add(self.name)
        self.began.append(asyncio.get_running_loop().time())
        try:
            await asyncio.Event().wait()
        finally:
            self.working.discard(self.name)

    async def run(self) -> None:
        while True:
            with suppress(LeadershipLostError):
                await self.election.run(self.work)
            self.lost += 1


@asynccontextmanager
async def contest(server: MemoryServer, *names: str) -> AsyncIterator[list[Contender]]:
    working: set[str] = set()
    async with AsyncExitStack() as stack:
        contenders = [Contender(name, server, working) for name in names]
        tasks = []
        for contender in contenders:
            await stack.enter_async_context(contender.client)
            tasks.append(asyncio.create_task(contender.run()))
        try:
            yield contenders
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@virtual_time
async def test_one_leads_and_goes_on_leading() -> None:
    server = MemoryServer()
    async with contest(server, "a", "b", "c") as contenders:
        await asyncio.sleep(3600)
        assert [len(each.began) for each in contenders] == [1, 0, 0]
        assert contenders[0].election.leading
        assert contenders[0].election.fence == 1
        assert not contenders[1].election.leading


@virtual_time
async def test_a_leader_that_ends_lets_the_next_begin_at_once() -> None:
    server = MemoryServer()
    async with server.client() as client:
        first = LeaderElection(client, "work", namespace="default", identity="first")

        async def brief() -> None:
            await asyncio.sleep(100)

        await first.run(brief)
        async with contest(server, "second") as (second,):
            await asyncio.sleep(3)
            assert second.began == [pytest.approx(100)]
            assert second.election.fence == 2


@virtual_time
async def test_the_work_s_own_error_reaches_the_caller_and_the_lease_is_given_back() -> None:
    server = MemoryServer()
    async with server.client() as client:

        async def broken() -> None:
            raise ValueError("broken")

        with pytest.raises(ValueError, match="broken"):
            await LeaderElection(client, "work", namespace="default").run(broken)
        lease = await Api(client, Lease, namespace="default").get("work")
        assert not lease.spec.holder_identity


@virtual_time
async def test_a_leader_cut_off_stops_before_the_next_begins() -> None:
    server = MemoryServer()
    async with contest(server, "a", "b") as (a, b):
        await asyncio.sleep(60)
        a.connection.cut = True
        await asyncio.sleep(7)
        assert a.working == {"a"}
        await asyncio.sleep(4)
        assert a.working == set()
        assert a.lost == 1
        await asyncio.sleep(10)
        assert b.working == {"b"}
        assert b.election.fence == 2
        a.connection.cut = False
        await asyncio.sleep(60)
        assert b.working == {"b"}


@virtual_time
async def test_a_short_outage_of_the_server_changes_nothing() -> None:
    server = MemoryServer()
    async with contest(server, "a", "b") as (a, b):
        await asyncio.sleep(60)
        server.stop()
        await asyncio.sleep(5)
        server.start()
        await asyncio.sleep(600)
        assert (a.lost, len(b.began)) == (0, 0)


@virtual_time
async def test_a_machine_that_slept_notices_that_its_time_is_over() -> None:
    server = MemoryServer()
    async with contest(server, "a", "b") as (a, _):
        await asyncio.sleep(61)
        a.connection.cut = True  # as long as it slept nothing was sent
        a.asleep += 3600
        assert not a.election.leading
        await asyncio.sleep(2)
        assert a.lost == 1


def test_only_what_was_seen_counts_not_the_times_in_the_lease() -> None:
    observer = Observer("me", Terms())

    def held(renewed: int) -> Lease:
        spec = LeaseSpec(holder_identity="you", lease_duration_seconds=15, lease_transitions=renewed)
        return Lease(metadata=ObjectMeta(name="work"), spec=spec)

    assert not observer.may_take(held(1), 1000)
    assert not observer.may_take(held(1), 1014)
    assert not observer.may_take(held(2), 1016)
    assert observer.may_take(held(2), 1031)
    assert observer.may_take(Lease(metadata=ObjectMeta(name="work")), 0)


def test_terms_that_leave_no_time_to_stop_are_refused() -> None:
    with pytest.raises(ValueError, match="0 < retry < give_up < duration"):
        Terms(duration=10, give_up=10)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_goes_wrong_never_do_two_work_at_once_and_in_the_end_one_does(seed: int) -> None:
    async def scenario() -> None:
        draw = random.Random(seed)
        server = MemoryServer(Faults(seed, Rates(slow=0.3)))
        async with contest(server, "a", "b", "c") as contenders:
            for _ in range(60):
                chosen = draw.choice(contenders)
                match draw.randrange(3):
                    case 0:
                        chosen.connection.cut = not chosen.connection.cut
                    case 1:
                        server.stop()
                        await asyncio.sleep(draw.uniform(0, 30))
                        server.start()
                await asyncio.sleep(draw.uniform(0, 20))
            server.faults = Faults()
            for contender in contenders:
                contender.connection.cut = False
            await asyncio.sleep(120)
            assert len(contenders[0].working) == 1

    run_virtual(scenario())
