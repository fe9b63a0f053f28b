"""Who has a say in which writes, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Protocol

from proa.controlplane.registry import Review

Hook = Callable[[Review], None]


Plan = tuple[tuple[Hook, ...], tuple[Hook, ...], tuple[Hook, ...]]
"""The hooks of one kind of object: those that may change it, that may refuse it, and that are asked last."""


class Outside(Protocol):
    """Those who are asked last, and may take their time: webhooks and policies."""

    def concerned(self, review: Review) -> bool:
        """Whether anybody is to be asked about a write; quick, for every write asks that."""

    async def mutate(self, review: Review) -> None:
        """Lets them change the object."""

    async def validate(self, review: Review) -> None:
        """Lets them refuse it."""


class Chain:
    """An `Admission` made of hooks, each for one kind of stored object or (`None`) for all."""

    def __init__(self) -> None:
        self._mutators: dict[str | None, list[Hook]] = defaultdict(list)
        self._validators: dict[str | None, list[Hook]] = defaultdict(list)
        self._outside: list[Outside] = []
        self._last: list[Hook] = []
        self._convert: Callable[[Review], Awaitable[None]] | None = None
        self._plans: dict[str, Plan] = {}

    def mutates(self, storage: str | None, hook: Hook) -> None:
        """Adds a hook that may change objects."""
        self._mutators[storage].append(hook)

    def validates(self, storage: str | None, hook: Hook) -> None:
        """Adds a hook that may refuse writes, deletions among them."""
        self._validators[storage].append(hook)

    def ends(self, hook: Hook) -> None:
        """Adds a hook that is asked after all others have agreed: it may count on the write."""
        self._last.append(hook)

    def asks(self, outside: Outside) -> None:
        """Adds somebody who is asked last."""
        self._outside.append(outside)

    def converts(self, convert: Callable[[Review], Awaitable[None]]) -> None:
        """Says who converts custom resources between their versions."""
        self._convert = convert

    async def convert(self, review: Review) -> None:
        """Makes of a custom resource what is stored."""
        if review.resource.is_custom and self._convert is not None:
            await self._convert(review)

    async def mutate(self, review: Review) -> None:
        """Runs the hooks that may change, those for all objects first; and all once more if anybody outside
        has changed the object, so that what they have added gets what it lacks.
        """
        await self._mutate_once(review)
        if review.changed:
            review.again = True
            await self._mutate_once(review)

    async def _mutate_once(self, review: Review) -> None:
        for hook in self._plan(review.resource.storage)[0]:
            hook(review)
        for outside in self._outside:
            if outside.concerned(review):
                await outside.mutate(review)

    async def validate(self, review: Review) -> None:
        """Asks the hooks, for what they refuse is nobody else's business; those outside; and the hooks once
        more, so that nothing comes between their word and the write.
        """
        _, checks, last = self._plan(review.resource.storage)
        concerned = [outside for outside in self._outside if outside.concerned(review)]
        if concerned:
            for hook in checks:
                hook(review)
            for outside in concerned:
                await outside.validate(review)
            if review.overtaken():
                return  # the write is done anew, or not at all: nobody must count on this one
        for hook in (*checks, *last):
            hook(review)

    async def connect(self, review: Review) -> None:
        """Asks those outside: the plug-ins have nothing to say of connections."""
        for outside in self._outside:
            if outside.concerned(review):
                await outside.validate(review)

    def _plan(self, storage: str) -> Plan:
        """The hooks for one kind of object, gathered once."""
        if storage not in self._plans:
            mutators = (*self._mutators[None], *self._mutators.get(storage, ()))
            validators = (*self._validators[None], *self._validators.get(storage, ()))
            self._plans[storage] = mutators, validators, tuple(self._last)
        return self._plans[storage]
