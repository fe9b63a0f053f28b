"""Operators against an API server in memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
import pytest

from proa.app.testing import capture_logs, virtual_time
from proa.kube import Api, Client, Merge, NotFoundError
from proa.kube.models import Model, Namespaced, ResourceInfo
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime.testing import MemoryServer
from proa.statemachine import Done, Final, Latest, Machine, Operator, State, StateMachineError

FINALIZER = "jobs.example.com/cleanup"


class JobSpec(Model, kw_only=True):
    seconds: float = 10.0


class JobStatus(Model, kw_only=True):
    phase: str | None = None
    message: str | None = None


class Job(Namespaced, kw_only=True):
    api_version: str = "jobs.example.com/v1"
    kind: str = "Job"
    spec: JobSpec = msgspec.field(default_factory=JobSpec)
    status: JobStatus = msgspec.field(default_factory=JobStatus)
    resource: ClassVar[ResourceInfo] = ResourceInfo("jobs.example.com", "v1", "Job", "jobs", "job", True)


@dataclass
class JobRun:
    """What a run carries, and what all runs of a test did."""

    name: str
    did: list[str]
    broken: set[str] = field(default_factory=set)


class Waiting(State[JobRun]):
    async def next(self, run: JobRun, job: Latest[Job]) -> Working:
        run.did.append(f"begin {run.name}")
        return Working()

    def status(self, run: JobRun, job: Job) -> JobStatus:
        return JobStatus(phase="Waiting", message="soon")


class Working(State[JobRun]):
    async def next(self, run: JobRun, job: Latest[Job]) -> Finished:
        run.did.append(f"work {run.name}")
        if run.name in run.broken:
            raise ValueError("broken")
        await asyncio.sleep(job.value.spec.seconds)
        return Finished()

    def status(self, run: JobRun, job: Job) -> dict[str, str]:
        return {"phase": "Working"}


class Finished(Final[JobRun]):
    def status(self, run: JobRun, job: Job) -> JobStatus:
        return JobStatus(phase="Finished")


class Cleaning(State[JobRun]):
    async def next(self, run: JobRun, job: Latest[Job]) -> Done:
        run.did.append(f"clean {run.name}")
        await asyncio.sleep(5)
        run.did.append(f"cleaned {run.name}")
        return Done()


def find(run: JobRun, job: Job) -> Waiting | Working | Done:
    match job.status.phase:
        case "Finished":
            return Done()
        case "Working":
            return Working()
    return Waiting()


JOBS = Machine("jobs", initial=find, deleted=Cleaning)


class Place:
    """A server, and what operators did on it."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.client = self.server.client()
        self.jobs = Api(self.client, Job, namespace="default")
        self.did: list[str] = []
        self.broken: set[str] = set()

    def operator(self, client: Client | None = None, **options: Any) -> Operator[Job, JobRun]:
        return Operator(
            Api(client or self.client, Job),
            JOBS,
            begin=lambda job: JobRun(job.metadata.name or "", self.did, self.broken),
            finalizer=FINALIZER,
            **options,
        )

    async def create(self, name: str, seconds: float = 10) -> Job:
        return await self.jobs.create(Job(metadata=ObjectMeta(name=name), spec=JobSpec(seconds=seconds)))

    async def phase(self, name: str) -> str | None:
        return (await self.jobs.get(name)).status.phase

    def patches(self) -> int:
        return sum(request.path.endswith("/status") for request in self.server.requests)


def placed(test: Callable[[Place], Any]) -> Callable[[], None]:
    @virtual_time
    async def run() -> None:
        place = Place()
        async with place.client:
            await test(place)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run.__name__ = test.__name__
    return run


@placed
async def test_each_object_goes_through_the_machine_and_tells_its_status(place: Place) -> None:
    await place.create("a")
    async with place.operator() as operator:
        await place.create("b", seconds=30)
        await asyncio.sleep(15)
        assert (await place.jobs.get("a")).status == JobStatus(phase="Finished")
        # A mapping leaves what it does not name; a model is the whole status.
        assert (await place.jobs.get("b")).status == JobStatus(phase="Working", message="soon")
        assert operator.states() == Counter(Finished=1, Working=1)
    assert sorted(place.did) == ["begin a", "begin b", "work a", "work b"]


@placed
async def test_a_status_that_is_told_already_is_not_written_again(place: Place) -> None:
    await place.create("a")
    async with place.operator():
        await asyncio.sleep(15)
    assert place.patches() == 3
    await place.jobs.patch_status("a", Merge({"status": {"phase": "Working"}}))
    async with place.operator():
        await asyncio.sleep(15)
    assert place.patches() == 3 + 1 + 1  # the test's own, and the one for Finished


@placed
async def test_a_restarted_operator_goes_on_where_the_status_says(place: Place) -> None:
    await place.create("a")
    async with place.operator():
        await asyncio.sleep(5)
    async with place.operator():
        await asyncio.sleep(5)
        assert await place.phase("a") == "Working"
        await asyncio.sleep(6)
        assert await place.phase("a") == "Finished"
    async with place.operator():
        await asyncio.sleep(5)
    assert place.did == ["begin a", "work a", "work a"]


@placed
async def test_deletion_takes_its_branch_once_from_any_state_and_then_lets_go(place: Place) -> None:
    await place.create("a", seconds=1000)
    await place.create("b", seconds=1)
    async with place.operator():
        await asyncio.sleep(5)
        assert (await place.jobs.get("a")).metadata.finalizers == [FINALIZER]
        await place.jobs.delete("a")
        await place.jobs.delete("b")
        await asyncio.sleep(4)
        await place.jobs.patch("a", Merge({"metadata": {"labels": {"changed": "yes"}}}))
        assert sorted(place.did[-2:]) == ["clean a", "clean b"]
        await asyncio.sleep(2)
        for name in ("a", "b"):
            assert place.did.count(f"clean {name}") == place.did.count(f"cleaned {name}") == 1
            with pytest.raises(NotFoundError):
                await place.jobs.get(name)


@placed
async def test_deletion_that_was_begun_by_another_process_is_begun_again(place: Place) -> None:
    await place.create("a", seconds=1000)
    async with place.operator():
        await asyncio.sleep(1)
        await place.jobs.delete("a")
        await asyncio.sleep(1)
    assert place.did[-1] == "clean a"
    async with place.operator():
        await asyncio.sleep(6)
    assert place.did == ["begin a", "work a", "clean a", "clean a", "cleaned a"]
    assert await place.jobs.get_opt("a") is None


@placed
async def test_what_goes_before_it_was_begun_is_never_begun(place: Place) -> None:
    job = Job(metadata=ObjectMeta(name="a", finalizers=["other.example.com/x"]))
    await place.jobs.create(job)
    await place.jobs.delete("a")
    async with place.operator():
        await asyncio.sleep(10)
    assert place.did == []
    assert (await place.jobs.get("a")).metadata.finalizers == ["other.example.com/x"]


@placed
async def test_an_object_replaced_by_another_of_its_name_begins_a_life_of_its_own(place: Place) -> None:
    await place.create("a", seconds=1000)
    async with place.operator():
        await asyncio.sleep(1)
        await place.jobs.patch("a", Merge({"metadata": {"finalizers": None}}))
        await place.jobs.delete("a")
        await place.create("a", seconds=1)
        await asyncio.sleep(10)
        assert await place.phase("a") == "Finished"
    assert place.did == ["begin a", "work a", "begin a", "work a"]


@placed
async def test_a_state_that_fails_begins_anew_ever_later_and_harms_no_other(place: Place) -> None:
    place.broken.add("a")
    await place.create("a")
    await place.create("b")
    with capture_logs("warning") as logged:
        async with place.operator():
            await asyncio.sleep(3600)
            assert 8 < place.did.count("work a") < 30
            assert await place.phase("b") == "Finished"
            place.broken.clear()
            await asyncio.sleep(400)
            assert await place.phase("a") == "Finished"
    assert logged[0]["error"] == "broken"
    assert logged[0]["object"] == "default/a"


@placed
async def test_no_more_machines_run_at_once_than_allowed_and_deletion_does_not_wait_for_them(
    place: Place,
) -> None:
    for number in range(6):
        await place.create(f"j{number}", seconds=100)
    async with place.operator(concurrency=2) as operator:
        await asyncio.sleep(10)
        assert operator.states() == Counter({"": 4, "Working": 2})
        await place.jobs.delete("j5")  # it waits for its turn and has no finalizer yet
        await place.jobs.delete("j0")
        await asyncio.sleep(10)
        assert operator.states() == Counter({"": 2, "Working": 2})
        await asyncio.sleep(300)
        assert operator.states() == Counter(Finished=4)


@placed
async def test_a_server_that_goes_away_for_a_while_ends_nothing(place: Place) -> None:
    await place.create("a")
    async with place.operator():
        await asyncio.sleep(5)
        place.server.stop()
        await asyncio.sleep(60)
        place.server.start()
        await asyncio.sleep(600)
        assert await place.phase("a") == "Finished"


def test_deletion_needs_a_finalizer_and_a_finalizer_needs_deletion() -> None:
    client: Any = None
    with pytest.raises(StateMachineError, match="so its operator needs finalizer="):
        Operator(Api(client, Job), JOBS, begin=lambda job: JobRun("", []))
    plain = Machine("plain", initial=Waiting, states=[])
    with pytest.raises(StateMachineError, match="finalizer= is of no use"):
        Operator(Api(client, Job), plain, begin=lambda job: JobRun("", []), finalizer=FINALIZER)
