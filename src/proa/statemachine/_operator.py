"""The operator: a machine for each object of a Kubernetes resource."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Generic, Self

from proa.app import Backoff, logs
from proa.kube import Api
from proa.runtime import Apply, Delete, Finalizer, InitApply, Reflector, background
from proa.statemachine._errors import StateMachineError
from proa.statemachine._life import K, Life, Plan
from proa.statemachine._machine import Machine
from proa.statemachine._state import R

log = logs.get_logger(__name__)

BACKOFF = Backoff(initial=0.5, maximum=300.0, factor=2.0, jitter=0.3)


class Operator(Generic[K, R]):
    """Runs a machine for each object, from the first sight of it until it is gone.

    ::

        async with Operator(Api(client, Moose), MOOSE, begin=MooseRun, finalizer="moose.example.com/herd"):
            await app.run_until_stopped()

    - What a state's `status` says is written to the object when the state is entered, before its `next`, and
      only if it differs. So the machine's `initial`, given a function, can find by the status where an
      earlier process stopped.
    - With a branch for deletion, each object carries the finalizer before its machine begins. The branch is
      gone through to its end once; if the process dies on the way, the next one begins it again. Then the
      finalizer is taken off.
    - What a state raises without having declared it, and what the API server keeps failing with, ends the
      run of that object alone; it begins anew at `initial` after a pause of its own that grows.
    - An object whose machine is done is left alone until it is deleted.
    - Leaving cancels all states at whatever they await; nothing is written then.

    Args:
        api: The resource: of one namespace or of all.
        machine: What is run.
        begin: Makes what one run carries, from the object.
        finalizer: Its name; needed where the machine has a branch for deletion.
        reflector: One that is shared with others and runs by itself, to watch the objects with.
        name: What the operator is called in logs; by default the machine's name.
        concurrency: How many machines run at once; the others wait for their turn. As many branches for
            deletion run beside them, so that those that never end hold up nobody's deletion.
        backoff: The pauses after failures in a row of one object.

    Raises:
        StateMachineError: the machine has a branch for deletion and there is no finalizer, or the reverse.
    """

    def __init__(
        self,
        api: Api[K],
        machine: Machine[R],
        *,
        begin: Callable[[K], R],
        finalizer: str | None = None,
        reflector: Reflector[K] | None = None,
        name: str | None = None,
        concurrency: int = 1000,
        backoff: Backoff = BACKOFF,
    ) -> None:
        if machine.handles_deletion != (finalizer is not None):
            raise StateMachineError(
                f"the machine {machine.name} handles deletion, so its operator needs finalizer="
                if finalizer is None
                else f"the machine {machine.name} has no branch for deletion: finalizer= is of no use"
            )
        self.machine = machine
        self.name = name or machine.name
        self._plan = Plan(
            name=self.name,
            api=api,
            machine=machine,
            begin=begin,
            finalizer=None if finalizer is None else Finalizer(finalizer),
            backoff=backoff,
            running=asyncio.Semaphore(concurrency),
            deleting=asyncio.Semaphore(concurrency),
        )
        self._reflector = reflector or Reflector(api)
        self._shared = reflector is not None
        self._lives: dict[str, tuple[Life[K, R], asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    def states(self) -> Counter[str]:
        """Return how many objects are in each state, by its name; "" stands for those before the first."""
        return Counter(life.state for life, _ in self._lives.values())

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self._end)
        if not self._shared:
            await self._stack.enter_async_context(self._reflector)
        await self._stack.enter_async_context(background(self._follow(), f"{self.name}: follow"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel all machines, and wait for that."""
        await self._stack.aclose()

    async def _follow(self) -> None:
        async for event in self._reflector.subscribe():
            match event:
                case InitApply(obj) | Apply(obj):
                    self._see(obj)
                case Delete(obj):
                    self._forget(obj)

    def _see(self, obj: K) -> None:
        uid = obj.metadata.uid or ""
        if uid in self._lives:
            self._lives[uid][0].observe(obj)
            return
        life = Life(self._plan, obj)
        task = asyncio.create_task(life.run(), name=f"{self.name}: {life.title}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._lives[uid] = (life, task)

    def _forget(self, obj: K) -> None:
        known = self._lives.pop(obj.metadata.uid or "", None)
        if known is not None:
            known[1].cancel()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lives.clear()
