"""One object's machine, from the first sight of the object until it is gone."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from proa.app import Backoff, logs
from proa.kube import Api, ApiError, ConflictError, KubeError, Merge, NotFoundError, Resource
from proa.runtime import Finalizer, ObjectRef
from proa.statemachine._latest import Cell
from proa.statemachine._machine import Machine
from proa.statemachine._state import R, State
from proa.statemachine._status import status_patch

K = TypeVar("K", bound=Resource)

log = logs.get_logger(__name__)


@dataclass(frozen=True)
class Plan(Generic[K, R]):
    """What all lives of one operator have in common."""

    name: str
    api: Api[K]
    machine: Machine[R]
    begin: Callable[[K], R]
    finalizer: Finalizer | None
    backoff: Backoff
    running: asyncio.Semaphore
    deleting: asyncio.Semaphore


class Life(Generic[K, R]):
    """Runs the machine for one object; the operator tells it what it sees of the object."""

    def __init__(self, plan: Plan[K, R], obj: K) -> None:
        self._plan = plan
        self._latest = Cell(obj)
        self._going = asyncio.Event()
        self.title = str(ObjectRef.of(obj))
        self.state = ""
        """The name of the state it is in; empty before the first."""
        self.observe(obj)

    def observe(self, obj: K) -> None:
        """Take in a newer state of the object; an older one, late from a watch, is ignored."""
        if _version(obj) >= _version(self._latest.value):
            self._latest.set(obj)
        if obj.metadata.deletion_timestamp is not None:
            self._going.set()

    async def run(self) -> None:
        """Live until the object may go. What fails begins anew after a pause, longer each time."""
        # Drawn from the common generator, so that a simulation can repeat it.
        failures = self._plan.backoff.start(random.getrandbits(32))
        while True:
            try:
                await self._live()
                return
            except Exception as error:  # noqa: BLE001 - whatever a state raises concerns its object alone
                self._report(error)
            await asyncio.sleep(failures.next())

    def _report(self, error: Exception) -> None:
        expected = isinstance(error, KubeError)
        log.warning(
            "machine failed",
            operator=self._plan.name,
            object=self.title,
            state=self.state,
            error=str(error) or type(error).__name__,
            exc_info=None if expected else error,
        )

    async def _live(self) -> None:
        run = self._plan.begin(self._latest.value)
        if not self._going.is_set():
            await self._unless_going(self._run(run))
        await self._going.wait()
        async with self._plan.deleting:
            await self._delete(run)

    async def _run(self, run: R) -> None:
        async with self._plan.running:
            await self._add_finalizer()
            await self._plan.machine.run(run, self._latest, entered=lambda state: self._entered(run, state))

    async def _delete(self, run: R) -> None:
        finalizer = self._plan.finalizer
        if finalizer is None or not finalizer.stands_on(self._latest.value):
            return
        await self._plan.machine.delete(run, self._latest, entered=lambda state: self._entered(run, state))
        while finalizer.stands_on(self._latest.value):
            try:
                left = await finalizer.remove(self._plan.api, self._latest.value)
            except ConflictError:
                left = await self._read()
            if left is None:
                return
            self.observe(left)

    async def _add_finalizer(self) -> None:
        finalizer = self._plan.finalizer
        while finalizer is not None and not finalizer.stands_on(self._latest.value):
            try:
                self.observe(await finalizer.add(self._plan.api, self._latest.value))
            except ConflictError:
                if (obj := await self._read()) is not None:
                    self.observe(obj)
            if self._going.is_set():
                await asyncio.Event().wait()  # it may not be added any more; `_unless_going` ends this

    async def _read(self) -> K | None:
        """Return the object as the server has it now; None if it is gone, or another of its name."""
        known = self._latest.value.metadata
        found = await self._plan.api.get_opt(known.name or "", namespace=known.namespace)
        return found if found is not None and found.metadata.uid == known.uid else None

    async def _entered(self, run: R, state: State[R]) -> None:
        self.state = type(state).__name__
        log.debug("entered", operator=self._plan.name, object=self.title, state=self.state)
        wanted = state.status(run, self._latest.value)
        if wanted is None or not (change := status_patch(self._latest.value, wanted)):
            return
        metadata = self._latest.value.metadata
        patch = Merge({"metadata": {"uid": metadata.uid}, "status": change})
        try:
            patched = await self._plan.api.patch_status(
                metadata.name or "", patch, namespace=metadata.namespace
            )
        except ApiError as error:
            if error.retryable or error.code >= 500 or isinstance(error, NotFoundError | ConflictError):
                raise
            # What the server refuses now it will refuse again: the machine goes on without.
            self._report(error)
        else:
            self.observe(patched)

    async def _unless_going(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work until it is done or the object is to go."""
        working = asyncio.create_task(work, name=f"{self._plan.name}: {self.title}")
        going = asyncio.create_task(self._going.wait())
        try:
            await asyncio.wait({working, going}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            working.cancel()
            going.cancel()
            await asyncio.gather(working, going, return_exceptions=True)


def _version(obj: Resource) -> int:
    """Return the number of an object's version: since Kubernetes 1.35 they may be compared (KEP-5504)."""
    version = obj.metadata.resource_version or ""
    return int(version) if version.isdecimal() else 0
